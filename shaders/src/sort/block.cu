// A block of threads brings a block of 1024 pairs of a line in order. MERGES says that it is what exchanges have left of longer
// sorted runs, so that steps of the last round are enough; PAIRS that it starts with pairs, and ENDS that it gives results.

__shared__ Key keys[1024];
__shared__ u32 places[1024];

// Brings two places of the block in order, of which the second may be behind its end.
static void order(u32 a, u32 b, u32 count) {
    if (b >= count) return;
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

static void sort(const Params& params, const Element* x, const Key* from_keys, const u32* from_places, Key* to_keys,
                 u32* to_places, Element* values, Position* positions) {
    u32 line = group() / params.blocks;
    if (line >= params.lines) return;
    u32 lane = threadIdx.x;
    u32 block = group() % params.blocks;
    u32 first = block * 1024;
    u32 count = params.len - first < 1024 ? params.len - first : 1024;
    for (u32 i = lane; i < count; i += 256) {
        u32 from = line * params.len + first + i;
        keys[i] = PAIRS ? from_keys[from] : key(x[element_at(params, line, first + i)]);
        places[i] = PAIRS ? from_places[from] : first + i;
    }
    __syncthreads();
    for (u32 size = MERGES ? params.extent : 2; size <= params.extent; size *= 2) {
        if (!MERGES) {
            // Of two sorted runs the second is read from its end.
            u32 half = size / 2;
            for (u32 i = lane; i < params.extent / 2; i += 256) {
                u32 run = i / half * size;
                order(run + i % half, run + size - 1 - i % half, count);
            }
            __syncthreads();
        }
        for (u32 step = MERGES ? size / 2 : size / 4; step > 0; step /= 2) {
            for (u32 i = lane; i < params.extent / 2; i += 256) {
                u32 a = i / step * step * 2 + i % step;
                order(a, a + step, count);
            }
            __syncthreads();
        }
    }
    for (u32 i = lane; i < count && i < params.keep; i += 256) {
        u32 place = block * params.keep + i;
        if (place >= params.given) continue;
        if (ENDS) {
            give(params, line, place, places[i], x, values, positions);
        } else {
            to_keys[line * params.given + place] = keys[i];
            to_places[line * params.given + place] = places[i];
        }
    }
}
