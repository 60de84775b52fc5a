// CUDA's builtins for a kernel that runs on the processor: what NVRTC declares of itself, in the way of a C++ compiler.
//
// The kernel becomes a shared object. The driver gives it an `EmulationMachine` and calls `emulation_run` once for each thread, on a
// fiber of its own; barriers and shuffles give way to the other fibers.
#pragma once

#define __global__
#define __device__
#define __shared__ static __attribute__((section("shared_memory"), used))
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict

struct EmulationIndex {
    unsigned x, y, z;
};

struct EmulationMachine {
    EmulationIndex thread, block, threads, blocks;
    // Waits for the threads of the block, or of the warp; `line` says at which place.
    void (*barrier)(int line);
    void (*warp)(int line);
    // Four words for each lane of this thread's warp.
    unsigned long long* lanes;
};

static EmulationMachine* emulation_machine;

#define threadIdx (emulation_machine->thread)
#define blockIdx (emulation_machine->block)
#define blockDim (emulation_machine->threads)
#define gridDim (emulation_machine->blocks)
#define warpSize 32

#define __syncthreads() emulation_machine->barrier(__LINE__)
#define __syncwarp() emulation_machine->warp(__LINE__)

extern "C" {
#define FLOATS(name) float name##f(float); double name(double);
FLOATS(fabs) FLOATS(sqrt) FLOATS(exp) FLOATS(expm1) FLOATS(log) FLOATS(log2) FLOATS(log10) FLOATS(log1p) FLOATS(sin)
FLOATS(cos) FLOATS(tan) FLOATS(asin) FLOATS(acos) FLOATS(atan) FLOATS(sinh) FLOATS(cosh) FLOATS(tanh) FLOATS(asinh)
FLOATS(acosh) FLOATS(atanh) FLOATS(erf) FLOATS(erfc) FLOATS(floor) FLOATS(ceil) FLOATS(rint) FLOATS(trunc)
#undef FLOATS
float fmodf(float, float);
double fmod(double, double);
float powf(float, float);
double pow(double, double);
float atan2f(float, float);
double atan2(double, double);
float fmaf(float, float, float);
double fma(double, double, double);
}

template <class To, class From>
inline To emulation_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "types of one size");
    To y;
    __builtin_memcpy(&y, &x, sizeof y);
    return y;
}
inline float __uint_as_float(unsigned x) { return emulation_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return emulation_bits<unsigned>(x); }
inline double __longlong_as_double(long long x) { return emulation_bits<double>(x); }
inline long long __double_as_longlong(double x) { return emulation_bits<long long>(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }

// Threads come one after the other, so this is how it looks.
inline unsigned atomicExch(unsigned* place, unsigned value) {
    unsigned old = *place;
    *place = value;
    return old;
}
inline unsigned atomicMax(unsigned* place, unsigned value) {
    unsigned old = *place;
    if (value > old) *place = value;
    return old;
}

// What lane `from` of the warp gives as `x`. Every lane takes part.
template <class T>
inline T emulation_exchange(T x, unsigned from, int line) {
    static_assert(sizeof(T) <= 8, "a word");
    unsigned long long word = 0;
    __builtin_memcpy(&word, &x, sizeof x);
    emulation_machine->lanes[threadIdx.x % 32 * 4] = word;
    emulation_machine->warp(line);
    word = emulation_machine->lanes[from % 32 * 4];
    emulation_machine->warp(line);
    T y;
    __builtin_memcpy(&y, &word, sizeof y);
    return y;
}
#define EMULATION_LANE (threadIdx.x % 32)
#define __shfl_sync(mask, value, lane) emulation_exchange(value, lane, __LINE__)
#define __shfl_xor_sync(mask, value, bits) emulation_exchange(value, EMULATION_LANE ^ (bits), __LINE__)
#define __shfl_down_sync(mask, value, n) \
    emulation_exchange(value, EMULATION_LANE + (EMULATION_LANE + (n) < 32 ? (n) : 0), __LINE__)

// The part of this lane in `sums`, 16 x 8 numbers, plus the product of 16 rows and 8 columns of 8 words each, as `mma.sync.m16n8k16`
// of halves and `mma.sync.m16n8k8` of tf32 part them among the lanes. `Words` gives the product of what two words hold.
template <class Words>
inline void emulation_mma(float* sums, const unsigned* a, const unsigned* b) {
    unsigned lane = threadIdx.x % 32;
    unsigned words[8] = {a[0], a[1], a[2], a[3], b[0], b[1], 0, 0};
    __builtin_memcpy(emulation_machine->lanes + lane * 4, words, sizeof words);
    emulation_machine->warp(__LINE__);
    auto word = [](unsigned lane, unsigned place) {
        unsigned bits;
        __builtin_memcpy(&bits, (const char*)(emulation_machine->lanes + lane * 4) + 4 * place, 4);
        return bits;
    };
    float products[4];
    for (unsigned s = 0; s < 4; s++) {
        unsigned row = lane / 4 + s / 2 * 8, col = lane % 4 * 2 + s % 2;
        products[s] = 0;
        for (unsigned k = 0; k < 8; k++) {
            unsigned left = word(row % 8 * 4 + k % 4, row / 8 + k / 4 * 2);
            unsigned right = word(col * 4 + k % 4, 4 + k / 4);
            products[s] += Words::product(left, right);
        }
    }
    emulation_machine->warp(__LINE__);
    for (unsigned s = 0; s < 4; s++) sums[s] += products[s];
}

// Bounds of the shared memory, if the kernel has any.
extern "C" char __start_shared_memory[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_shared_memory[] __attribute__((weak, visibility("hidden")));

template <int... I>
struct EmulationPlaces {};
template <int N, int... I>
struct EmulationCounted : EmulationCounted<N - 1, N - 1, I...> {};
template <int... I>
struct EmulationCounted<0, I...> {
    typedef EmulationPlaces<I...> Type;
};

template <class... A, int... I>
inline void emulation_apply(void (*kernel)(A...), void** args, EmulationPlaces<I...>) {
    kernel(*(A*)args[I]...);
}
template <class... A>
inline void emulation_call(void (*kernel)(A...), void** args) {
    emulation_apply(kernel, args, typename EmulationCounted<sizeof...(A)>::Type());
}
template <class... A>
inline int emulation_measure(void (*)(A...), unsigned* sizes) {
    const unsigned all[] = {(unsigned)sizeof(A)...};
    for (unsigned i = 0; i < sizeof...(A); i++) sizes[i] = all[i];
    return sizeof...(A);
}

// Follows the text of a kernel.
#define EMULATION_OF(kernel)                                                                    \
    extern "C" void emulation_bind(EmulationMachine* m) { emulation_machine = m; }                                 \
    extern "C" void emulation_run(void** args) { emulation_call(kernel, args); }                \
    extern "C" int emulation_sizes(unsigned* sizes) { return emulation_measure(kernel, sizes); } \
    extern "C" __attribute__((no_sanitize("address"))) void emulation_soil() {                                                          \
        for (char* p = __start_shared_memory; p != __stop_shared_memory; p++) *p = (char)0xcd;  \
    }
