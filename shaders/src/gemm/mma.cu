// Products on tensor cores. A block of four warps computes a tile of 64 rows and 64 columns, DEPTH steps of k at a time; each warp
// computes a quarter of 32 rows and 32 columns, in pieces of 16 x 8. A_ALONG_K, B_ALONG_K, the types Element, Part, which tensor
// cores multiply, and Result, and Finish, what becomes of a sum, are declared in front of this text, and the functions part, of an
// element, and mma(sums, a, b), which adds to a piece the product of 16 rows and 8 columns, each of 8 words of parts.

// Steps of k that 16 words hold.
const u32 DEPTH = 64 / sizeof(Part);
// Words of a row of `a` and of a column of `b`, with a gap that keeps the banks apart.
const u32 PITCH = 20;

__shared__ __align__(16) u32 tile_a[64 * PITCH];
__shared__ __align__(16) u32 tile_b[64 * PITCH];

// Loads 64 lines of DEPTH steps; elements of a line lie `step` apart, lines `line_step`. Consecutive threads walk along the
// dimension whose elements are neighbours.
template <bool ALONG_K>
inline void load_lines(u32* tile, const Element* from, u32 first, u32 lines, u32 line_step, u32 k, u32 depth, u32 step) {
    for (u32 e = threadIdx.x; e < 64 * DEPTH; e += 128) {
        u32 i = ALONG_K ? e / DEPTH : e % 64;
        u32 l = ALONG_K ? e % DEPTH : e / 64;
        bool inside = first + i < lines && k + l < depth;
        Part* line = (Part*)(tile + i * PITCH);
        line[l] = inside ? part(from[(u64)(first + i) * line_step + (u64)(k + l) * step]) : (Part)0;
    }
}

static void product(const Params& params, const Element* a, const Element* b, Result* y, const Finish& finish) {
    u32 row = blockIdx.y * 64;
    u32 col = blockIdx.x * 64;
    u32 warp = threadIdx.x / 32;
    u32 lane = threadIdx.x % 32;
    // The quarter of this warp, and this lane's place in a piece.
    u32 top = warp / 2 * 32;
    u32 left = warp % 2 * 32;
    u32 g = lane / 4;
    u32 t = lane % 4;
    for (u32 batch = blockIdx.z; batch < params.batches; batch += gridDim.z) {
        Starts at = starts(params, batch);
        f32 sums[2][4][4] = {};
        for (u32 k = 0; k < params.k; k += DEPTH) {
            load_lines<A_ALONG_K>(tile_a, a + at.a, row, params.m, params.a_row, k, params.k, params.a_col);
            load_lines<B_ALONG_K>(tile_b, b + at.b, col, params.n, params.b_col, k, params.k, params.b_row);
            __syncthreads();
            for (u32 l = 0; l < 16; l += 8) {
                u32 right[4][2];
                for (u32 j = 0; j < 4; j++) {
                    const u32* line = tile_b + (left + 8 * j + g) * PITCH + l + t;
                    right[j][0] = line[0];
                    right[j][1] = line[4];
                }
                for (u32 i = 0; i < 2; i++) {
                    const u32* line = tile_a + (top + 16 * i + g) * PITCH + l + t;
                    u32 from[4] = {line[0], line[8 * PITCH], line[4], line[8 * PITCH + 4]};
                    for (u32 j = 0; j < 4; j++) mma(sums[i][j], from, right[j]);
                }
            }
            __syncthreads();
        }
        for (u32 i = 0; i < 2; i++) {
            for (u32 j = 0; j < 4; j++) {
                for (u32 s = 0; s < 4; s++) {
                    u32 at_row = row + top + 16 * i + g + s / 2 * 8;
                    u32 at_col = col + left + 8 * j + 2 * t + s % 2;
                    if (at_row < params.m && at_col < params.n) {
                        u32 place = (u32)(at.c + (i64)at_row * params.c_row + at_col);
                        y[params.c_first + place] = finish.of(sums[i][j][s], (u32)at.row + at_row, at_col, place);
                    }
                }
            }
        }
    }
}
