// One thread for each line.
static void scan(const Params& params, const Element* x, Element* y) {
    u32 line = group() * 64 + threadIdx.x;
    if (line >= params.lines) return;
    Number total = START;
    for (u32 step = 0; step < params.len; step++) {
        u32 place = at(params, line, step);
        Number next = combine(total, number(x[params.x_first + place]));
        y[params.y_first + place] = element_of(EXCLUSIVE ? total : next);
        total = next;
    }
}
