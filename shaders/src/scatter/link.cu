// One thread for each update finds the slice that it meets. REPLACES and the type Index stand in front of this text.

struct Params {
    u32 rows;
    // Updates, and coordinates of each.
    u32 cols;
    u32 rank;
    u32 gap;
    // Lengths of the dimensions that the coordinates address.
    u32 axes[32];
};

// For each slice `lists` has the last update, or one of a list of updates; for each update `nexts` has the next one of its list.
// Counted from 1.
static void element(const Params& params, u32 row, u32 col, const Index* indices, u32* lists, u32* nexts, Status* status) {
    u32 slice = 0;
    for (u32 a = 0; a < params.rank; a++) {
        u32 len = params.axes[a];
        i64 index = indices[col * params.rank + a];
        u32 i = place(index, len);
        if (i >= len) return refuse(status, index, len);
        slice = slice * len + i;
    }
    if (REPLACES) {
        atomicMax(&lists[slice], col + 1);
    } else {
        nexts[col] = atomicExch(&lists[slice], col + 1);
    }
}
