// EXCLUSIVE, REVERSE and the arithmetic of Number stand in front of this text; the functions `start`, what a total is before the
// first element, and `combine` follow it.

struct Params {
    // Lines, elements of a line, and elements between two of them.
    lines: u32,
    len: u32,
    inner: u32,
    // First elements.
    x_first: u32,
    y_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

// Where step `step` of a line lies, from the first elements on.
fn at(line: u32, step: u32) -> u32 {
    let l = select(step, params.len - 1u - step, REVERSE);
    return ((line / params.inner) * params.len + l) * params.inner + line % params.inner;
}
