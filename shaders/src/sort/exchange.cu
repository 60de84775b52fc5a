// Brings pairs that lie far apart in order: the first step of joining two sorted runs, which reads the second from its end, or a
// later one.

struct Params {
    // Lines, and exchanges of a line.
    u32 rows;
    u32 cols;
    // Pairs of a line.
    u32 len;
    // Places between the two of an exchange, or places of two runs.
    u32 step;
    // Whether this is the first step.
    u32 mirrored;
};

static void element(const Params& params, u32 row, u32 col, Key* keys, u32* places) {
    u32 start = col / params.step * params.step * 2;
    u32 into = col % params.step;
    u32 last = start + params.step + (params.mirrored != 0 ? params.step - 1 - into : into);
    if (last >= params.len) return;
    u32 a = row * params.len + start + into;
    u32 b = row * params.len + last;
    Key first = keys[a];
    Key second = keys[b];
    u32 p = places[a];
    u32 q = places[b];
    if (second < first || (second == first && q < p)) {
        keys[a] = second;
        keys[b] = first;
        places[a] = q;
        places[b] = p;
    }
}
