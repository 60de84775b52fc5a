// Writes the results of lines of which the first pairs and one more are in order. If some of these have equal keys, one thread
// goes through the exchanges of the plain form instead (`select` in the graph's `order`), on the positions of all elements.

__shared__ u32 equals;

// A list of positions of a line's elements, with as much memory behind it.
struct List {
    const Params& params;
    u32 line;
    const Element* x;
    u32* work;

    Key key_of(u32 a) const { return key(x[element_at(params, line, work[a])]); }

    // Whether the element that position a of the list names comes before that of position b.
    bool earlier(u32 a, u32 b) const { return key_of(a) < key_of(b); }

    void swap(u32 a, u32 b) {
        u32 kept = work[a];
        work[a] = work[b];
        work[b] = kept;
    }

    // Sorts a stretch; equal elements keep their order.
    void sort(u32 first, u32 n) {
        u32* aside = work + params.axis;
        for (u32 run = 1; run < n; run *= 2) {
            for (u32 start = 0; start < n; start += 2 * run) {
                u32 middle = start + run < n ? start + run : n;
                u32 end = middle + run < n ? middle + run : n;
                u32 a = start;
                u32 b = middle;
                for (u32 to = start; to < end; to++) {
                    bool takes_a = b >= end || (a < middle && !earlier(first + b, first + a));
                    aside[to] = work[first + (takes_a ? a++ : b++)];
                }
            }
            for (u32 i = 0; i < n; i++) work[first + i] = aside[i];
        }
    }

    // Divides a stretch by the median of three of its elements; gives where the second half starts.
    u32 divide(u32 first, u32 n) {
        u32 a = first + 1;
        u32 b = first + n / 2;
        u32 c = first + n - 1;
        bool ab = earlier(a, b);
        bool bc = earlier(b, c);
        bool ac = earlier(a, c);
        swap(first, ab == bc ? b : ab == ac ? c : a);
        u32 low = 1;
        u32 high = n;
        for (;;) {
            while (low < n && earlier(first + low, first)) low++;
            high--;
            while (high > 0 && earlier(first, first + high)) high--;
            if (low >= high) return low;
            swap(first + low, first + high);
            low++;
        }
    }

    void select() {
        for (u32 i = 0; i < params.axis; i++) work[i] = i;
        u32 first = 0;
        u32 last = params.axis;
        for (u32 round = 0; last - first > 3 && round < params.rounds; round++) {
            u32 cut = first + divide(first, last - first);
            if (cut <= params.given) {
                first = cut;
            } else {
                last = cut;
            }
        }
        sort(first, last - first);
        sort(0, params.given);
    }
};

static void select(const Params& params, const Element* x, const Key* keys, const u32* sorted, u32* work, Element* values,
                   Position* positions) {
    u32 line = group();
    if (line >= params.lines) return;
    u32 lane = threadIdx.x;
    u32 base = line * (params.given + 1);
    if (lane == 0) equals = 0;
    __syncthreads();
    for (u32 i = lane; i < params.given; i += 256) {
        if (!(keys[base + i] < keys[base + i + 1])) equals = 1;
    }
    __syncthreads();
    if (equals == 0) {
        for (u32 i = lane; i < params.given; i += 256) give(params, line, i, sorted[base + i], x, values, positions);
    } else if (lane == 0) {
        List list = {params, line, x, work + (u64)line * 2 * params.axis};
        list.select();
        for (u32 i = 0; i < params.given; i++) give(params, line, i, list.work[i], x, values, positions);
    }
}
