// One block for each line.

__shared__ Number values[8];
__shared__ u32 places[8];

static void reduce(const Params& params, const Element* x, Result* y) {
    u32 line = group();
    if (line >= params.lines) return;
    u32 lane = threadIdx.x;
    u32 inner = params.inner;
    x += params.x + line / inner * params.pitch + line % inner;
    // Lanes beyond the line hold copies, which take no part.
    u32 filled = params.len < 256 ? params.len : 256;
    u32 start = lane < filled ? lane : filled - 1;
    Found found = {read(x[start * inner]), start};
    for (u32 l = lane + 256; l < params.len; l += 256) {
        Found next = {read(x[l * inner]), l};
        found = combine(found, next);
    }
    for (u32 half = 16; half > 0; half >>= 1) {
        Found other = {__shfl_down_sync(0xffffffffu, found.value, half), __shfl_down_sync(0xffffffffu, found.place, half)};
        if (lane % 32 + half < 32 && lane + half < filled) found = combine(found, other);
    }
    if (lane % 32 == 0) {
        values[lane / 32] = found.value;
        places[lane / 32] = found.place;
    }
    __syncthreads();
    if (lane == 0) {
        for (u32 w = 1; w * 32 < filled; w++) {
            Found other = {values[w], places[w]};
            found = combine(found, other);
        }
        y[params.y + line] = finish(found, params.whole);
    }
}
