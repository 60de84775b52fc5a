// The type Number, of sums, is declared in front of this text, and a and b with the functions a_at and b_at, which give their
// elements. Functions behind it: begin, the sum
// that the result holds already, and finish, what becomes of a sum.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    batches: u32,
    a_row: u32,
    a_col: u32,
    b_row: u32,
    b_col: u32,
    c_row: u32,
    a_first: u32,
    b_first: u32,
    c_first: u32,
    // Extents of the batch dimensions, outermost first, and the strides of each matrix and of the numbers of rows.
    batch: vec4<u32>,
    a_batch: vec4<i32>,
    b_batch: vec4<i32>,
    c_batch: vec4<i32>,
    row_batch: vec4<i32>,
    // First elements of the epilogue's operands.
    firsts: array<vec4<u32>, 8>,
}

@group(0) @binding(0) var<uniform> params: Params;

// Zero, which the compiler cannot foresee: a buffer holds fewer than 2^31 elements.
fn nothing() -> u32 {
    return params.m >> 31u;
}

// Where the matrices of a batch start, a, b, c from c_first on, and the number of its first row.
fn starts(batch: u32) -> vec4<u32> {
    var rest = batch;
    var place = vec4<i32>(i32(params.a_first), i32(params.b_first), 0, 0);
    for (var d = 4u; d > 0u; d = d - 1u) {
        let i = i32(rest % params.batch[d - 1u]);
        rest = rest / params.batch[d - 1u];
        place = place + i * vec4<i32>(
            params.a_batch[d - 1u],
            params.b_batch[d - 1u],
            params.c_batch[d - 1u],
            params.row_batch[d - 1u],
        );
    }
    return vec4<u32>(place);
}

