// The type Element and RANK, the dimensions in use, are declared in front of this text.

struct Params {
    // Elements of the block.
    u32 count;
    // First element read and first element written.
    u32 first_read;
    u32 first_written;
    u32 gap;
    // Extents of the block, outermost first, and its strides on both sides.
    u32 dims[8];
    i32 read[8];
    i32 written[8];
};

static void copy(const Params& params, const Element* x, Element* y) {
    u32 index = group() * 256 + threadIdx.x;
    if (index >= params.count) return;
    u32 rest = index;
    i64 source = params.first_read;
    i64 place = params.first_written;
    for (int d = RANK - 1; d >= 0; d--) {
        u32 i = d == 0 ? rest : rest % params.dims[d];
        rest /= params.dims[d];
        source += (i64)i * params.read[d];
        place += (i64)i * params.written[d];
    }
    y[place] = x[source];
}
