// The two elements around a position, and how far it is from the first towards the second. Where it lies on an element or
// beyond the last, both are one element and the part is a half: no weight is 0, so that infinities stay what they are.
struct Source {
    first: u32,
    second: u32,
    part: f32,
}

fn source(axis: Axis, i: u32) -> Source {
    let product = product_of_words(i * axis.step + axis.start, axis.times);
    let division = long_division(product, vec2<u32>(axis.parts, 0u));
    var whole = division.x;
    var over = division.z;
    if (over >= axis.shift) {
        over = over - axis.shift;
    } else if (whole > 0u) {
        whole = whole - 1u;
        over = over + (axis.parts - axis.shift);
    } else {
        over = 0u;
    }
    let first = min(whole, axis.size - 1u);
    let second = min(whole + select(0u, 1u, over > 0u), axis.size - 1u);
    return Source(first, second, select(f32(over) / f32(axis.parts), 0.5, first == second));
}

fn between(a: f32, b: f32, part: f32) -> f32 {
    return a * (1.0 - part) + b * part;
}

fn resized(first: u32, iy: u32, ix: u32) -> Stored {
    let down = source(params.down, iy);
    let along = source(params.along, ix);
    let above = first + down.first * params.x_row;
    let below = first + down.second * params.x_row;
    let left = along.first * params.x_col;
    let right = along.second * params.x_col;
    let upper = between(load(x[above + left]), load(x[above + right]), along.part);
    let lower = between(load(x[below + left]), load(x[below + right]), along.part);
    return store(between(upper, lower, down.part));
}
