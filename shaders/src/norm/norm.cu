// The types Element and Number, of computing, and CENTRED are declared in front of this text.

struct Params {
    u32 rows;
    u32 cols;
    // Added under the root: a number and what it lacks.
    f32 eps;
    f32 rest;
    // First elements of what is bound, in order.
    u32 firsts[8];
};

__shared__ Number cells[8];

// Normalises the row of this block. Operands and results that there are none of are null.
static void normalise(const Params& params, const Element* x, Element* y, const Element* gamma, const Element* beta,
                      f32* means, f32* factors) {
    u32 row = group();
    if (row >= params.rows) return;
    u32 cols = params.cols;
    x += params.firsts[0] + row * cols;
    y += params.firsts[1] + row * cols;
    Number mean = 0;
    if (CENTRED) {
        Number sum = 0;
        for (u32 j = threadIdx.x; j < cols; j += 256) sum += load(x[j]);
        mean = joined<Sum>(sum, cells) / (Number)cols;
    }
    Number spread = 0;
    for (u32 j = threadIdx.x; j < cols; j += 256) {
        Number d = load(x[j]) - mean;
        spread += d * d;
    }
    Number eps = (Number)params.eps + (Number)params.rest;
    Number factor = (Number)1 / fn::Sqrt(joined<Sum>(spread, cells) / (Number)cols + eps);
    for (u32 j = threadIdx.x; j < cols; j += 256) {
        Number value = (load(x[j]) - mean) * factor;
        if (gamma) value = value * load(gamma[j]);
        if (beta) value = value + load(beta[j]);
        y[j] = store<Element>(value);
    }
    if (threadIdx.x == 0) {
        if (means) means[row] = (f32)mean;
        if (factors) factors[row] = (f32)factor;
    }
}
