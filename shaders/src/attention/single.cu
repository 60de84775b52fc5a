// A block of 256 threads weighs COLUMNS columns of the values for one query, 256 keys at a time: a thread has the score of one key,
// then a part of the sum of one column. The sums are kept as those of many queries are. COLUMNS and Scores, what becomes of
// products, are declared in front of this text.

__shared__ f32 query[64];
// exp(score - largest) of each key.
__shared__ f32 weights[256];
__shared__ f32 cells[256];

static void attention(const Params& params, const f32* q, const f32* keys, const f32* v, f32* y, Scores& scores) {
    u32 row = blockIdx.x;
    u32 lane = threadIdx.x;
    u32 col = blockIdx.y * COLUMNS + lane % COLUMNS;
    const f32 LOWEST = -fn::infinity<f32>();
    for (u32 batch = blockIdx.z; batch < params.batches; batch += gridDim.z) {
        Index index = index_of(params, batch);
        const f32* q_at = q + params.q_first + index.along(params.q_batch) + (u64)row * params.q_row;
        const f32* k_at = keys + params.k_first + index.along(params.k_batch);
        const f32* v_at = v + params.v_first + index.along(params.v_batch) + (u64)col * params.v_col;
        f32* y_at = y + params.y_first + index.along(params.y_batch) + (u64)row * params.y_row;
        scores.open(index);
        f32 largest = LOWEST, sum = 0, out = 0;
        for (u32 first = 0; first < params.n; first += 256) {
            u32 key = first + lane;
            f32 product = 0;
            for (u32 k = 0; k < params.k; k += 64) {
                u32 depth = params.k - k < 64 ? params.k - k : 64;
                if (lane < depth) query[lane] = q_at[(u64)(k + lane) * params.q_col];
                __syncthreads();
                if (key < params.n) {
                    const f32* from = k_at + (u64)key * params.k_row + (u64)k * params.k_col;
                    for (u32 l = 0; l < depth; l++) product = fmaf(query[l], from[(u64)l * params.k_col], product);
                }
                __syncthreads();
            }
            // Keys that are not there have the least score.
            f32 found = key < params.n ? scores.of(product, row, key) : LOWEST;
            f32 top = fn::Max(largest, joined<Largest>(found, cells));
            // Where every score so far is minus infinity, 0 is taken from them.
            f32 base = top == LOWEST ? 0.0f : top;
            f32 shrunk = fn::Exp(largest - base);
            f32 weight = fn::Exp(found - base);
            weights[lane] = weight;
            largest = top;
            sum = sum * shrunk + weight;
            out *= shrunk;
            __syncthreads();
            if (col < params.cols) {
                u32 end = params.n - first < 256 ? params.n - first : 256;
                for (u32 l = lane / COLUMNS; l < end; l += 256 / COLUMNS) {
                    out = fmaf(weights[l], v_at[(u64)(first + l) * params.v_row], out);
                }
            }
            __syncthreads();
        }
        sum = joined<Sum>(sum, cells);
        cells[lane] = out;
        __syncthreads();
        if (lane < COLUMNS && col < params.cols) {
            out = 0;
            for (u32 part = lane; part < 256; part += COLUMNS) out += cells[part];
            y_at[col] = out / sum;
        }
        __syncthreads();
    }
}
