// One invocation computes one window. Planes are the rows if the layout is channels-first, else pixels; the columns are the
// other ones. CHANNELS_LAST, the arithmetic of Number and the functions start, join and finish stand in front of this text.

struct Params {
    rows: u32,
    cols: u32,
    // Input and output sizes.
    h: u32,
    w: u32,
    out_h: u32,
    out_w: u32,
    // Rows and columns.
    kernel: vec2<u32>,
    stride: vec2<u32>,
    dilation: vec2<u32>,
    // Padding in front, and where the padding at the end ends.
    pad: vec2<u32>,
    end: vec2<u32>,
    // Elements of the input between images or planes, rows and columns.
    x_image: u32,
    x_row: u32,
    x_col: u32,
    // First elements of the input and the output.
    x_first: u32,
    y_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

fn element(row: u32, col: u32) {
    var first = params.x_first + row * params.x_image;
    var pixel = col;
    if (CHANNELS_LAST) {
        let size = params.out_h * params.out_w;
        first = params.x_first + row / size * params.x_image + col;
        pixel = row % size;
    }
    let top = pixel / params.out_w * params.stride.x;
    let left = pixel % params.out_w * params.stride.y;
    var window = start();
    var inside = 0u;
    var padded = 0u;
    for (var ky = 0u; ky < params.kernel.x; ky = ky + 1u) {
        // What lies before the input wraps and is beyond its end.
        let py = top + ky * params.dilation.x;
        let iy = py - params.pad.x;
        for (var kx = 0u; kx < params.kernel.y; kx = kx + 1u) {
            let px = left + kx * params.dilation.y;
            let ix = px - params.pad.y;
            padded = padded + select(0u, 1u, py < params.end.x && px < params.end.y);
            if (iy < params.h && ix < params.w) {
                window = join(window, load(x[first + iy * params.x_row + ix * params.x_col]), inside == 0u);
                inside = inside + 1u;
            }
        }
    }
    y[params.y_first + row * params.cols + col] = store(finish(window, inside, padded));
}
