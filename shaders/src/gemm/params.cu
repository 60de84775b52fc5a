struct Params {
    u32 m;
    u32 n;
    u32 k;
    u32 batches;
    u32 a_row;
    u32 a_col;
    u32 b_row;
    u32 b_col;
    u32 c_row;
    u32 a_first;
    u32 b_first;
    u32 c_first;
    // Extents of the batch dimensions, outermost first, and the strides of each matrix and of the numbers of rows.
    u32 batch[4];
    i32 a_batch[4];
    i32 b_batch[4];
    i32 c_batch[4];
    i32 row_batch[4];
    // First elements of the epilogue's operands.
    u32 firsts[32];
};

// Where the matrices of a batch start, c from c_first on, and the number of its first row.
struct Starts {
    i64 a, b, c, row;
};

inline Starts starts(const Params& params, u32 batch) {
    Starts at = {params.a_first, params.b_first, 0, 0};
    for (int d = 3; d >= 0; d--) {
        i64 i = batch % params.batch[d];
        batch /= params.batch[d];
        at.a += i * params.a_batch[d];
        at.b += i * params.b_batch[d];
        at.c += i * params.c_batch[d];
        at.row += i * params.row_batch[d];
    }
    return at;
}
