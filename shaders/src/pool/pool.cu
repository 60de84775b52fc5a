// One thread computes one window. Planes are the rows if the layout is channels-first, else pixels; the columns are the other
// ones. CHANNELS_LAST, the types Element and Number, and the functions start, join and finish stand in front of this text.

static void element(const Params& params, u32 row, u32 col, const Element* x, Element* y) {
    u32 size = params.out_h * params.out_w;
    x += params.x_first + (CHANNELS_LAST ? (u64)(row / size) * params.x_image + col : (u64)row * params.x_image);
    u32 pixel = CHANNELS_LAST ? row % size : col;
    u32 top = pixel / params.out_w * params.stride[0];
    u32 left = pixel % params.out_w * params.stride[1];
    Number window = start();
    u32 inside = 0;
    u32 padded = 0;
    for (u32 ky = 0; ky < params.kernel[0]; ky++) {
        // What lies before the input wraps and is beyond its end.
        u32 py = top + ky * params.dilation[0];
        u32 iy = py - params.pad[0];
        for (u32 kx = 0; kx < params.kernel[1]; kx++) {
            u32 px = left + kx * params.dilation[1];
            u32 ix = px - params.pad[1];
            if (py < params.end[0] && px < params.end[1]) padded++;
            if (iy < params.h && ix < params.w) {
                window = join(window, number(x[iy * params.x_row + ix * params.x_col]), inside == 0);
                inside++;
            }
        }
    }
    y[params.y_first + row * params.cols + col] = finish(window, inside, padded);
}
