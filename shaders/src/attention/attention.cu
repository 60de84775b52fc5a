// A block of 8 x 8 threads weighs COLUMNS columns of the values for 8·REPEAT queries, 32 keys at a time. The queries, keys and
// columns of a thread lie 8 apart. Of each query it keeps the largest score so far and, for the keys so far, the sums of
// exp(score - largest) and of these times the values; they shrink whenever a larger score comes. REPEAT, COLUMNS, Q_ALONG,
// K_ALONG, V_ALONG and Scores, what becomes of products, are declared in front of this text.

const u32 ROWS = 8 * REPEAT;
const u32 WIDE = COLUMNS / 8;

// Queries and keys, or values.
const u32 KEYS = 16 * (ROWS + 1);
const u32 BOTH = KEYS + 16 * 33;
const u32 VALUES = 16 * (COLUMNS + 1);
__shared__ f32 tile[BOTH > VALUES ? BOTH : VALUES];
// exp(score - largest) of each query and key.
__shared__ f32 weights[ROWS][33];

// Loads 16 steps of `COUNT` lines; elements of a line lie `step` apart, lines `line_step`. Consecutive threads walk along the
// dimension whose elements are neighbours.
template <u32 COUNT, bool ALONG>
inline void load_lines(f32* to, const f32* from, u32 first, u32 lines, u32 line_step, u32 k, u32 depth, u32 step) {
    for (u32 e = threadIdx.x; e < 16 * COUNT; e += 64) {
        u32 i = ALONG ? e / 16 : e % COUNT;
        u32 l = ALONG ? e % 16 : e / COUNT;
        bool inside = first + i < lines && k + l < depth;
        to[l * (COUNT + 1) + i] = inside ? from[(u64)(first + i) * line_step + (u64)(k + l) * step] : 0.0f;
    }
}

// The largest number, or the sum, of the eight threads of a query.
inline f32 largest_of_eight(f32 x) {
    for (int half = 4; half > 0; half >>= 1) x = fn::Max(x, __shfl_xor_sync(0xffffffffu, x, half));
    return x;
}
inline f32 sum_of_eight(f32 x) {
    for (int half = 4; half > 0; half >>= 1) x += __shfl_xor_sync(0xffffffffu, x, half);
    return x;
}

static void attention(const Params& params, const f32* q, const f32* keys, const f32* v, f32* y, Scores& scores) {
    u32 row = blockIdx.x * ROWS;
    u32 col = blockIdx.y * COLUMNS;
    u32 i = threadIdx.x / 8;
    u32 j = threadIdx.x % 8;
    const f32 LOWEST = -fn::infinity<f32>();
    for (u32 batch = blockIdx.z; batch < params.batches; batch += gridDim.z) {
        Index index = index_of(params, batch);
        const f32* q_at = q + params.q_first + index.along(params.q_batch);
        const f32* k_at = keys + params.k_first + index.along(params.k_batch);
        const f32* v_at = v + params.v_first + index.along(params.v_batch);
        f32* y_at = y + params.y_first + index.along(params.y_batch);
        scores.open(index);
        f32 largest[REPEAT], sums[REPEAT] = {}, out[REPEAT][WIDE] = {};
        for (u32 r = 0; r < REPEAT; r++) largest[r] = LOWEST;
        for (u32 key = 0; key < params.n; key += 32) {
            f32 found[REPEAT][4] = {};
            for (u32 k = 0; k < params.k; k += 16) {
                load_lines<ROWS, Q_ALONG>(tile, q_at, row, params.m, params.q_row, k, params.k, params.q_col);
                load_lines<32, K_ALONG>(tile + KEYS, k_at, key, params.n, params.k_row, k, params.k, params.k_col);
                __syncthreads();
                for (u32 l = 0; l < 16; l++) {
                    f32 right[4];
                    for (u32 s = 0; s < 4; s++) right[s] = tile[KEYS + l * 33 + j + 8 * s];
                    for (u32 r = 0; r < REPEAT; r++) {
                        f32 left = tile[l * (ROWS + 1) + i + 8 * r];
                        for (u32 s = 0; s < 4; s++) found[r][s] = fmaf(left, right[s], found[r][s]);
                    }
                }
                __syncthreads();
            }
            for (u32 r = 0; r < REPEAT; r++) {
                u32 query = row + i + 8 * r < params.m ? row + i + 8 * r : params.m - 1;
                f32 top = LOWEST;
                for (u32 s = 0; s < 4; s++) {
                    u32 at = key + j + 8 * s;
                    // Keys that are not there have the least score.
                    found[r][s] = at < params.n ? scores.of(found[r][s], query, at) : LOWEST;
                    top = fn::Max(top, found[r][s]);
                }
                top = fn::Max(largest[r], largest_of_eight(top));
                // Where every score so far is minus infinity, 0 is taken from them.
                f32 base = top == LOWEST ? 0.0f : top;
                f32 shrunk = fn::Exp(largest[r] - base);
                largest[r] = top;
                sums[r] *= shrunk;
                for (u32 s = 0; s < 4; s++) {
                    f32 weight = fn::Exp(found[r][s] - base);
                    weights[i + 8 * r][j + 8 * s] = weight;
                    sums[r] += weight;
                }
                for (u32 s = 0; s < WIDE; s++) out[r][s] *= shrunk;
            }
            for (u32 h = 0; h < 32; h += 16) {
                load_lines<COLUMNS, !V_ALONG>(tile, v_at, col, params.cols, params.v_col, key + h, params.n, params.v_row);
                __syncthreads();
                for (u32 l = 0; l < 16; l++) {
                    f32 right[WIDE];
                    for (u32 s = 0; s < WIDE; s++) right[s] = tile[l * (COLUMNS + 1) + j + 8 * s];
                    for (u32 r = 0; r < REPEAT; r++) {
                        f32 left = weights[i + 8 * r][h + l];
                        for (u32 s = 0; s < WIDE; s++) out[r][s] = fmaf(left, right[s], out[r][s]);
                    }
                }
                __syncthreads();
            }
        }
        for (u32 r = 0; r < REPEAT; r++) {
            f32 sum = sum_of_eight(sums[r]);
            u32 at_row = row + i + 8 * r;
            for (u32 s = 0; s < WIDE; s++) {
                u32 at_col = col + j + 8 * s;
                if (at_row < params.m && at_col < params.cols) {
                    y_at[(u64)at_row * params.y_row + at_col] = out[r][s] / sum;
                }
            }
        }
    }
}
