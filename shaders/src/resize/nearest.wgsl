fn nearest(axis: Axis, i: u32) -> u32 {
    let p = (f32(i) + axis.offset) * axis.scale;
    let below = floor(p);
    let up = ROUNDS && p - below >= 0.5;
    return min(u32(below) + select(0u, 1u, up), axis.size - 1u);
}

fn resized(first: u32, iy: u32, ix: u32) -> Element {
    return x[first + nearest(params.down, iy) * params.x_row + nearest(params.along, ix) * params.x_col];
}
