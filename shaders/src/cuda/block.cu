// What all threads of a block find out together.

struct Sum {
    template <class T>
    static T of(T a, T b) { return a + b; }
};

struct Largest {
    template <class T>
    static T of(T a, T b) { return fn::Max(a, b); }
};

// `x` of all threads joined by `F`, in an order that does not change. `cells` has room for one number of each warp; the block
// has whole warps.
template <class F, class T>
inline T joined(T x, T* cells) {
    for (int half = 16; half > 0; half >>= 1) x = F::of(x, __shfl_xor_sync(0xffffffffu, x, half));
    if (threadIdx.x % 32 == 0) cells[threadIdx.x / 32] = x;
    __syncthreads();
    x = cells[0];
    for (u32 w = 1; w < blockDim.x / 32; w++) x = F::of(x, cells[w]);
    __syncthreads();
    return x;
}

