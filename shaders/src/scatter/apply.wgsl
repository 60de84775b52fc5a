// A row is a slice, a column an element of it. The function updated follows this text, and gives the element `x` of a column
// with the updates of the list.

struct Params {
    rows: u32,
    cols: u32,
    // First elements of the operand and the result, and first slice.
    x_first: u32,
    y_first: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> u: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<storage, read> lists: array<u32>;

fn element(row: u32, col: u32) {
    let place = row * params.cols + col;
    y[params.y_first + place] = updated(x[params.x_first + place], lists[params.first + row], col);
}
