// One thread for each line.

static void reduce(const Params& params, const Element* x, Result* y) {
    u32 line = group() * 64 + threadIdx.x;
    if (line >= params.lines) return;
    u32 inner = params.inner;
    x += params.x + line / inner * params.pitch + line % inner;
    Found found = {};
    // Parts of a long sum are summed by themselves, so that each is rounded fewer times.
    for (u32 start = 0; start < params.len; start += 128) {
        u32 end = params.len < start + 128 ? params.len : start + 128;
        Found part = {read(x[start * inner]), start};
        for (u32 l = start + 1; l < end; l++) {
            Found next = {read(x[l * inner]), l};
            part = combine(part, next);
        }
        found = start == 0 ? part : combine(found, part);
    }
    y[params.y + line] = finish(found, params.whole);
}
