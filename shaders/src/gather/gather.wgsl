// A row is a slice, a column an element of it. ZEROS, the type Element, the operand and the function x_at stand in front of this text, the indices and the
// function refuse behind it.

struct Params {
    rows: u32,
    // Elements of a slice, at least 1 so that its index is looked at, and in truth.
    cols: u32,
    inner: u32,
    // Slices picked for each outer position, of `axis`, of which those from `start` to `end` are bound.
    count: u32,
    axis: u32,
    start: u32,
    end: u32,
    // Elements between outer positions.
    x_outer: u32,
    index_outer: u32,
    y_outer: u32,
    // First elements.
    x_first: u32,
    index_first: u32,
    y_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> y: array<Element>;

fn element(row: u32, col: u32) {
    let outer = row / params.count;
    let slice = row % params.count;
    let index = index_at(params.index_first + outer * params.index_outer + slice);
    let picked = place(index, params.axis);
    let outside = picked >= params.axis;
    if (outside && !ZEROS) {
        refuse(index, params.axis);
    }
    let bound = picked >= params.start && picked < params.end && !outside;
    if (col < params.inner && (bound || (outside && params.start == 0u))) {
        var value = Element();
        if (bound) {
            value = x_at(params.x_first + outer * params.x_outer + (picked - params.start) * params.inner + col);
        }
        y[params.y_first + outer * params.y_outer + slice * params.inner + col] = value;
    }
}
