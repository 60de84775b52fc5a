// One invocation computes one element. Planes are the rows if the layout is channels-first, else pixels; the columns are the
// other ones. CHANNELS_LAST stands in front of this text; the buffers and the function `resized` follow it.

// How positions of the result map to positions of the operand along a dimension.
struct Axis {
    // Lengths of the operand and the result.
    size: u32,
    out: u32,
    // Exactly: position i lies at (i · step + start) · times / parts − shift / parts, but not below 0.
    step: u32,
    start: u32,
    times: u32,
    parts: u32,
    shift: u32,
    // In f32: (i + offset) · scale.
    scale: f32,
    offset: f32,
}

struct Params {
    rows: u32,
    cols: u32,
    // First elements.
    x_first: u32,
    y_first: u32,
    // Elements between images or planes, rows and columns of the operand.
    x_image: u32,
    x_row: u32,
    x_col: u32,
    @align(16) down: Axis,
    @align(16) along: Axis,
}

@group(0) @binding(0) var<uniform> params: Params;

fn element(row: u32, col: u32) {
    var first = params.x_first + row * params.x_image;
    var pixel = col;
    if (CHANNELS_LAST) {
        let size = params.down.out * params.along.out;
        first = params.x_first + row / size * params.x_image + col;
        pixel = row % size;
    }
    let iy = pixel / params.along.out;
    let ix = pixel % params.along.out;
    y[params.y_first + row * params.cols + col] = resized(first, iy, ix);
}
