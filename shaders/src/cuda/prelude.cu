// Element types and how they are read and written. Everything is device code (`--device-as-default-execution-space`), and
// no step of arithmetic joins the next one (`--fmad=false`) unless it says so (`fmaf`).

typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;

// Where a member lies, for assertions.
#ifdef __CUDACC_RTC__
#define OFFSET(type, member) __INTADDR__(&((type*)0)->member)
#else
#define OFFSET(type, member) __builtin_offsetof(type, member)
#endif

// Stored forms whose registers have another type.
struct f16 {
    u16 bits;
};

struct bf16 {
    u16 bits;
};

struct flag {
    u8 byte;
};

inline f32 from_bits(u32 bits) { return __uint_as_float(bits); }
inline f64 from_bits_64(u64 bits) { return __longlong_as_double((i64)bits); }

#ifdef __CUDA_ARCH__
inline f32 widen(f16 x) {
    f32 y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

inline f16 to_f16(f32 x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
#else
inline f32 widen(f16 x) {
    u32 sign = (u32)(x.bits & 0x8000) << 16;
    u32 size = x.bits & 0x7fff;
    if (size >= 0x7c00) return from_bits(sign | 0x7f800000 | (size & 0x3ff) << 13);
    // Subnormal halves are multiples of 2^-24.
    if (size < 0x400) return (sign ? -1.0f : 1.0f) * ((f32)size * 5.9604644775390625e-8f);
    return from_bits(sign | ((size << 13) + 0x38000000));
}

inline f16 to_f16(f32 x) {
    u32 bits = __float_as_uint(x);
    u32 sign = bits >> 16 & 0x8000;
    u32 size = bits & 0x7fffffff;
    u32 y;
    if (size > 0x7f800000) {
        y = 0x7e00;
    } else if (size >= 0x477ff000) {
        y = 0x7c00;
    } else if (size < 0x38800000) {
        // The sum with 1/2 rounds to a multiple of 2^-24.
        y = __float_as_uint(from_bits(size) + 0.5f) - 0x3f000000;
    } else {
        y = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
    }
    f16 half = {(u16)(sign | y)};
    return half;
}
#endif

inline f32 widen(bf16 x) { return from_bits((u32)x.bits << 16); }

inline bf16 to_bf16(f32 x) {
    u32 bits = __float_as_uint(x);
    bool nan = (bits & 0x7fffffff) > 0x7f800000;
    bf16 half = {(u16)(nan ? (bits >> 16 | 0x40) : ((bits + 0x7fff + (bits >> 16 & 1)) >> 16))};
    return half;
}

// The register value of a stored element.
template <class T>
inline T load(T x) { return x; }
inline f32 load(f16 x) { return widen(x); }
inline f32 load(bf16 x) { return widen(x); }
inline bool load(flag x) { return x.byte != 0; }

// The stored element of a register value.
template <class T>
struct Store {
    static T of(T x) { return x; }
};
template <>
struct Store<f16> {
    static f16 of(f32 x) { return to_f16(x); }
};
template <>
struct Store<bf16> {
    static bf16 of(f32 x) { return to_bf16(x); }
};
template <>
struct Store<flag> {
    static flag of(bool x) {
        flag y = {(u8)(x ? 1 : 0)};
        return y;
    }
};

template <class T, class V>
inline T store(V x) { return Store<T>::of(x); }

// A register value rounded to what an element holds.
inline f32 round_f16(f32 x) { return widen(to_f16(x)); }
inline f32 round_bf16(f32 x) { return widen(to_bf16(x)); }

// Number of this block in a grid of up to two dimensions.
inline u32 group() { return blockIdx.y * gridDim.x + blockIdx.x; }

