inline u32 nearest(const Axis& axis, u32 i) {
    f32 p = ((f32)i + axis.offset) * axis.scale;
    f32 below = floorf(p);
    u32 at = (u32)below + (ROUNDS && p - below >= 0.5f ? 1 : 0);
    return at < axis.size - 1 ? at : axis.size - 1;
}

inline Element resized(const Params& params, const Element* x, u32 iy, u32 ix) {
    return x[nearest(params.down, iy) * params.x_row + nearest(params.along, ix) * params.x_col];
}
