// A block takes 256 steps of its line at a time, and carries their total on.

__shared__ Number cells[256];

static void scan(const Params& params, const Element* x, Element* y) {
    u32 line = group();
    if (line >= params.lines) return;
    u32 lane = threadIdx.x;
    Number carry = START;
    for (u32 first = 0; first < params.len; first += 256) {
        u32 step = first + lane;
        bool inside = step < params.len;
        Number total = inside ? number(x[params.x_first + at(params, line, step)]) : START;
        cells[lane] = total;
        __syncthreads();
        // Each lane has the total of twice as many steps up to its own in every round.
        for (u32 reach = 1; reach < 256; reach *= 2) {
            if (lane >= reach) total = combine(cells[lane - reach], total);
            __syncthreads();
            cells[lane] = total;
            __syncthreads();
        }
        if (EXCLUSIVE) total = lane > 0 ? cells[lane - 1] : START;
        if (inside) y[params.y_first + at(params, line, step)] = element_of(combine(carry, total));
        carry = combine(carry, cells[255]);
        __syncthreads();
    }
}
