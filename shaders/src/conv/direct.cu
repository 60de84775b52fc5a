// One thread computes one output. Planes are the rows if the layout is channels-first, else pixels; the columns are the other
// ones. CHANNELS_LAST, SCALED, the types Element, Number, Scale and Result with their arithmetic, and Finish, what becomes of a
// sum, are declared in front of this text.

static void element(const Params& params, u32 row, u32 col, const Element* x, const Element* w, const Scale* scale, Result* y,
                    const Finish& finish) {
    u32 size = params.out_h * params.out_w;
    u32 image = CHANNELS_LAST ? row / size : row / params.channels;
    u32 channel = CHANNELS_LAST ? col : row % params.channels;
    u32 pixel = CHANNELS_LAST ? row % size : col;
    u32 top = pixel / params.out_w * params.stride[0];
    u32 left = pixel % params.out_w * params.stride[1];
    x += params.x_first + (u64)image * params.x_image + (u64)(channel / params.group) * params.depth * params.x_channel;
    w += (u64)channel * params.depth * params.kernel[0] * params.kernel[1];
    Number sum = 0;
    for (u32 c = 0; c < params.depth; c++) {
        for (u32 ky = 0; ky < params.kernel[0]; ky++) {
            // What lies before the input wraps and is beyond its end.
            u32 iy = top + ky * params.dilation[0] - params.pad[0];
            for (u32 kx = 0; kx < params.kernel[1]; kx++) {
                u32 ix = left + kx * params.dilation[1] - params.pad[1];
                bool inside = iy < params.h && ix < params.w;
                Number value = inside ? number(x[iy * params.x_row + ix * params.x_col]) : (Number)0;
                sum = plus_product(sum, value, number(*w++));
            }
        }
        x += params.x_channel;
    }
    if (SCALED) sum = fn::Mul(sum, (Number)load(scale[channel]));
    u32 place = row * params.cols + col;
    y[params.y_first + place] = finish.of(sum, image * size + pixel, channel, place);
}
