// One thread for each slice brings its list of updates in order, by merging runs of lengths that double.

struct Params {
    u32 rows;
    // Slices.
    u32 cols;
};

// The list of the elements of both.
static u32 merge(u32* nexts, u32 a, u32 b) {
    u32 head = 0;
    u32 tail = 0;
    while (a != 0 || b != 0) {
        bool takes_a = b == 0 || (a != 0 && a < b);
        u32 taken = takes_a ? a : b;
        u32 rest = nexts[taken - 1];
        if (takes_a) {
            a = rest;
        } else {
            b = rest;
        }
        if (tail == 0) {
            head = taken;
        } else {
            nexts[tail - 1] = taken;
        }
        tail = taken;
    }
    return head;
}

static void element(const Params&, u32, u32 col, u32* lists, u32* nexts) {
    // Run i is empty or has 2^i elements.
    u32 runs[32] = {};
    u32 rest = lists[col];
    while (rest != 0) {
        u32 run = rest;
        rest = nexts[run - 1];
        nexts[run - 1] = 0;
        u32 i = 0;
        for (; runs[i] != 0; i++) {
            run = merge(nexts, runs[i], run);
            runs[i] = 0;
        }
        runs[i] = run;
    }
    u32 all = 0;
    for (u32 i = 0; i < 32; i++) all = merge(nexts, all, runs[i]);
    lists[col] = all;
}
