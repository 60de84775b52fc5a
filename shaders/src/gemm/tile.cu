// A block of 8 x 8 threads computes a tile of 8·REPEAT rows and 64 columns, 16 steps of k at a time. The rows and columns of a
// thread lie 8 apart, so that neighbours read and write neighbours. REPEAT is 1 or 8; it, A_ALONG_K, B_ALONG_K, the types
// Element, Number, of sums, and Result, and Finish, what becomes of a sum, are declared in front of this text.

const u32 ROWS = 8 * REPEAT;

__shared__ Number tile_a[16][ROWS + 1];
__shared__ Number tile_b[16][65];

// Consecutive threads walk along the dimension whose elements are neighbours.
static void load_a(const Params& params, const Element* a, u32 row, u32 k) {
    for (u32 e = threadIdx.x; e < 16 * ROWS; e += 64) {
        u32 i = A_ALONG_K ? e / 16 : e % ROWS;
        u32 l = A_ALONG_K ? e % 16 : e / ROWS;
        bool inside = row + i < params.m && k + l < params.k;
        tile_a[l][i] = inside ? number(a[(u64)(row + i) * params.a_row + (u64)(k + l) * params.a_col]) : (Number)0;
    }
}

static void load_b(const Params& params, const Element* b, u32 k, u32 col) {
    for (u32 e = threadIdx.x; e < 16 * 64; e += 64) {
        u32 j = B_ALONG_K ? e / 16 : e % 64;
        u32 l = B_ALONG_K ? e % 16 : e / 64;
        bool inside = col + j < params.n && k + l < params.k;
        tile_b[l][j] = inside ? number(b[(u64)(k + l) * params.b_row + (u64)(col + j) * params.b_col]) : (Number)0;
    }
}

static void product(const Params& params, const Element* a, const Element* b, Result* y, const Finish& finish) {
    u32 row = blockIdx.y * ROWS;
    u32 col = blockIdx.x * 64;
    u32 i = threadIdx.x / 8;
    u32 j = threadIdx.x % 8;
    for (u32 batch = blockIdx.z; batch < params.batches; batch += gridDim.z) {
        Starts at = starts(params, batch);
        Number sums[REPEAT][8] = {};
        for (u32 k = 0; k < params.k; k += 16) {
            load_a(params, a + at.a, row, k);
            load_b(params, b + at.b, k, col);
            __syncthreads();
            for (u32 l = 0; l < 16; l++) {
                Number right[8];
                for (u32 s = 0; s < 8; s++) right[s] = tile_b[l][j + 8 * s];
                for (u32 r = 0; r < REPEAT; r++) {
                    Number left = tile_a[l][i + 8 * r];
                    for (u32 s = 0; s < 8; s++) sums[r][s] = plus_product(sums[r][s], left, right[s]);
                }
            }
            __syncthreads();
        }
        for (u32 r = 0; r < REPEAT; r++) {
            u32 at_row = row + i + 8 * r;
            for (u32 s = 0; s < 8; s++) {
                u32 at_col = col + j + 8 * s;
                if (at_row < params.m && at_col < params.n) {
                    u32 place = (u32)(at.c + (i64)at_row * params.c_row + at_col);
                    y[params.c_first + place] = finish.of(sums[r][s], (u32)at.row + at_row, at_col, place);
                }
            }
        }
    }
}
