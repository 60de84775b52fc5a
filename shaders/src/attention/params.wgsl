// Functions behind this text: open, which finds what the program reads for a batch, and score, what becomes of a product.

struct Params {
    // Queries, keys, elements of each, and columns of the values.
    m: u32,
    n: u32,
    k: u32,
    cols: u32,
    batches: u32,
    // Elements between queries, keys and values, and between the elements of one.
    q_row: u32,
    q_col: u32,
    k_row: u32,
    k_col: u32,
    v_row: u32,
    v_col: u32,
    y_row: u32,
    q_first: u32,
    k_first: u32,
    v_first: u32,
    y_first: u32,
    // Extents of the batch dimensions, outermost first, and strides.
    batch: vec4<u32>,
    q_batch: vec4<i32>,
    k_batch: vec4<i32>,
    v_batch: vec4<i32>,
    y_batch: vec4<i32>,
    // Where the program's other operands start, and their steps from query to query, from key to key and along the batches.
    firsts: array<vec4<u32>, 2>,
    rows: array<vec4<u32>, 2>,
    columns: array<vec4<u32>, 2>,
    steps: array<vec4<i32>, 8>,
}

@group(0) @binding(0) var<uniform> params: Params;

// Zero, which the compiler cannot foresee: a buffer holds fewer than 2^31 elements.
fn nothing() -> u32 {
    return params.m >> 31u;
}

// The index of a batch along each dimension.
fn index_of(batch: u32) -> vec4<i32> {
    var rest = batch;
    var index = vec4<i32>();
    for (var d = 4u; d > 0u; d = d - 1u) {
        index[d - 1u] = i32(rest % params.batch[d - 1u]);
        rest = rest / params.batch[d - 1u];
    }
    return index;
}

fn along(index: vec4<i32>, strides: vec4<i32>) -> i32 {
    let steps = index * strides;
    return steps.x + steps.y + steps.z + steps.w;
}

// Where queries, keys, values and results of a batch start.
fn starts(index: vec4<i32>) -> vec4<u32> {
    return vec4<u32>(
        params.q_first + u32(along(index, params.q_batch)),
        params.k_first + u32(along(index, params.k_batch)),
        params.v_first + u32(along(index, params.v_batch)),
        params.y_first + u32(along(index, params.y_batch)),
    );
}
