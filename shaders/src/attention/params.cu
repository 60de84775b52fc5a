struct Params {
    // Queries, keys, elements of each, and columns of the values.
    u32 m;
    u32 n;
    u32 k;
    u32 cols;
    u32 batches;
    // Elements between queries, keys and values, and between the elements of one.
    u32 q_row;
    u32 q_col;
    u32 k_row;
    u32 k_col;
    u32 v_row;
    u32 v_col;
    u32 y_row;
    u32 q_first;
    u32 k_first;
    u32 v_first;
    u32 y_first;
    // Extents of the batch dimensions, outermost first, and strides.
    u32 batch[4];
    i32 q_batch[4];
    i32 k_batch[4];
    i32 v_batch[4];
    i32 y_batch[4];
    // Where the program's other operands start, and their steps from query to query, from key to key and along the batches.
    u32 firsts[8];
    u32 rows[8];
    u32 columns[8];
    i32 steps[8][4];
};

// The index of a batch along each dimension.
struct Index {
    i64 of[4];
    i64 along(const i32* strides) const {
        return of[0] * strides[0] + of[1] * strides[1] + of[2] * strides[2] + of[3] * strides[3];
    }
};

inline Index index_of(const Params& params, u32 batch) {
    Index index;
    for (int d = 3; d >= 0; d--) {
        index.of[d] = batch % params.batch[d];
        batch /= params.batch[d];
    }
    return index;
}
