struct Params {
    // Elements of the result.
    u32 count;
    u32 gap[3];
    // Extents of the result, outermost first.
    u32 dims[8];
    // First elements of the operands, then of the result.
    u32 firsts[32];
    // Strides of each.
    u32 strides[32][8];
};
