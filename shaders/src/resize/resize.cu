
// One thread computes one element. Planes are the rows if the layout is channels-first, else pixels; the columns are the other
// ones.
static void element(const Params& params, u32 row, u32 col, const Element* x, Element* y) {
    u32 size = params.down.out * params.along.out;
    x += params.x_first + (CHANNELS_LAST ? (u64)(row / size) * params.x_image + col : (u64)row * params.x_image);
    u32 pixel = CHANNELS_LAST ? row % size : col;
    u32 iy = pixel / params.along.out;
    u32 ix = pixel % params.along.out;
    y[params.y_first + row * params.cols + col] = resized(params, x, iy, ix);
}
