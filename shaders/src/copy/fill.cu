// The type Element is declared in front of this text.

struct Params {
    // Elements to write, the first one, and the bytes of each.
    u32 count;
    u32 first;
    u32 words[2];
};

static void fill(const Params& params, Element* y) {
    u32 index = group() * 256 + threadIdx.x;
    if (index >= params.count) return;
    y[params.first + index] = (Element)((u64)params.words[1] << 32 | params.words[0]);
}
