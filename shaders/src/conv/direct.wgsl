// One invocation computes one output. Planes are the rows if the layout is channels-first, else pixels; the columns are the
// other ones. CHANNELS_LAST, the arithmetic of Number, and the functions weight, scaled and finish stand around this text.

struct Params {
    rows: u32,
    cols: u32,
    // Output channels of all groups and of one, input channels of a group.
    channels: u32,
    group: u32,
    depth: u32,
    // Input and output sizes.
    h: u32,
    w: u32,
    out_h: u32,
    out_w: u32,
    // First element of the input.
    x_first: u32,
    // Rows and columns.
    kernel: vec2<u32>,
    stride: vec2<u32>,
    dilation: vec2<u32>,
    pad: vec2<u32>,
    // Elements of the input between images, channels, rows and columns.
    x_image: u32,
    x_channel: u32,
    x_row: u32,
    x_col: u32,
    // First element of the output, and of the epilogue's operands.
    y_first: u32,
    firsts: array<vec4<u32>, 8>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;

// Zero, which the compiler cannot foresee.
fn nothing() -> u32 {
    return params.channels >> 31u;
}

fn element(row: u32, col: u32) {
    let size = params.out_h * params.out_w;
    var image = row / params.channels;
    var channel = row % params.channels;
    var pixel = col;
    if (CHANNELS_LAST) {
        image = row / size;
        channel = col;
        pixel = row % size;
    }
    let top = pixel / params.out_w * params.stride.x;
    let left = pixel % params.out_w * params.stride.y;
    var first = params.x_first + image * params.x_image + channel / params.group * params.depth * params.x_channel;
    var at = channel * params.depth * params.kernel.x * params.kernel.y;
    var sum = zero();
    for (var c = 0u; c < params.depth; c = c + 1u) {
        for (var ky = 0u; ky < params.kernel.x; ky = ky + 1u) {
            // What lies before the input wraps and is beyond its end.
            let iy = top + ky * params.dilation.x - params.pad.x;
            for (var kx = 0u; kx < params.kernel.y; kx = kx + 1u) {
                let ix = left + kx * params.dilation.y - params.pad.y;
                var value = zero();
                if (iy < params.h && ix < params.w) {
                    value = load(x[first + iy * params.x_row + ix * params.x_col]);
                }
                sum = plus(sum, times(value, weight(at)));
                at = at + 1u;
            }
        }
        first = first + params.x_channel;
    }
    let place = row * params.cols + col;
    y[params.y_first + place] = finish(scaled(sum, channel), image * size + pixel, channel, place);
}
