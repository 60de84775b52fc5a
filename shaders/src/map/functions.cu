// What instructions of programs compute, by their names.

namespace fn {

// What arithmetic that wraps is done in.
template <class T>
struct Wrap {
    typedef u32 Type;
};
template <>
struct Wrap<i64> {
    typedef u64 Type;
};
template <>
struct Wrap<u64> {
    typedef u64 Type;
};

template <class T>
struct Range {
    static const bool SIGNED = (T)-1 < (T)1;
    static T lowest() { return SIGNED ? (T)((u64)1 << (8 * sizeof(T) - 1)) : (T)0; }
    static T highest() { return (T)~lowest(); }
};

// Conversions: floats to integers toward zero, the nearest that there is, 0 for NaN; integers wrap.
template <class T, class F>
inline T saturate(F x) {
    if (x != x) return 0;
    if (x <= (F)Range<T>::lowest()) return Range<T>::lowest();
    if (x >= (F)Range<T>::highest()) return Range<T>::highest();
    return (T)x;
}

template <class T, class S>
struct Cast {
    static T of(S x) { return (T)x; }
};
template <class T>
struct Cast<T, f32> {
    static T of(f32 x) { return saturate<T, f32>(x); }
};
template <class T>
struct Cast<T, f64> {
    static T of(f64 x) { return saturate<T, f64>(x); }
};
template <>
struct Cast<bool, f32> {
    static bool of(f32 x) { return !(x == 0.0f); }
};
template <>
struct Cast<bool, f64> {
    static bool of(f64 x) { return !(x == 0.0); }
};
template <>
struct Cast<f32, f32> {
    static f32 of(f32 x) { return x; }
};
template <>
struct Cast<f64, f64> {
    static f64 of(f64 x) { return x; }
};
template <>
struct Cast<f64, f32> {
    static f64 of(f32 x) { return x; }
};
template <>
struct Cast<f32, f64> {
    static f32 of(f64 x) { return (f32)x; }
};
template <>
struct Cast<f32, i64> {
    static f32 of(i64 x) { return (f32)(f64)x; }
};
template <>
struct Cast<f32, u64> {
    static f32 of(u64 x) { return (f32)(f64)x; }
};

template <class T, class S>
inline T cast(S x) { return Cast<T, S>::of(x); }

template <class T>
inline T Add(T a, T b) { return (T)((typename Wrap<T>::Type)a + (typename Wrap<T>::Type)b); }
template <class T>
inline T Sub(T a, T b) { return (T)((typename Wrap<T>::Type)a - (typename Wrap<T>::Type)b); }
template <class T>
inline T Mul(T a, T b) { return (T)((typename Wrap<T>::Type)a * (typename Wrap<T>::Type)b); }
template <class T>
inline T Neg(T x) { return (T)((typename Wrap<T>::Type)0 - (typename Wrap<T>::Type)x); }
template <class T>
inline T Square(T x) { return Mul(x, x); }
template <class T>
inline T Sign(T x) { return (T)((x > (T)0) - (x < (T)0)); }
template <class T>
inline T Abs(T x) { return x < (T)0 ? Neg(x) : x; }
template <class T>
inline T Relu(T x) { return x < (T)0 ? (T)0 : x; }
template <class T>
inline T Relu6(T x) { return x < (T)0 ? (T)0 : x > (T)6 ? (T)6 : x; }
template <class T>
inline T Not(T x) { return (T)~x; }
inline bool Not(bool x) { return !x; }
template <class T>
inline T And(T a, T b) { return (T)(a & b); }
template <class T>
inline T Or(T a, T b) { return (T)(a | b); }
template <class T>
inline T Xor(T a, T b) { return (T)(a ^ b); }

template <class T>
inline T Div(T a, T b) {
    if (b == (T)0) return (T)0;
    // The quotient of the lowest number has no room, and wraps.
    return Range<T>::SIGNED && b == (T)-1 ? Neg(a) : (T)(a / b);
}
template <class T>
inline T Rem(T a, T b) {
    if (b == (T)0 || (Range<T>::SIGNED && b == (T)-1)) return (T)0;
    return (T)(a % b);
}
template <class T>
inline T FloorDiv(T a, T b) {
    T q = Div(a, b);
    return Rem(a, b) != (T)0 && (a < (T)0) != (b < (T)0) ? Sub(q, (T)1) : q;
}
template <class T>
inline T FloorMod(T a, T b) {
    T r = Rem(a, b);
    return r != (T)0 && (r < (T)0) != (b < (T)0) ? Add(r, b) : r;
}
template <class T>
inline T Pow(T a, T b) {
    if (b < (T)0) {
        if (a == (T)1) return (T)1;
        return a == (T)-1 ? ((b & (T)1) == (T)0 ? (T)1 : a) : (T)0;
    }
    u64 left = (u64)b > 0xffffffff ? 0xffffffff : (u64)b;
    T product = (T)1;
    for (T base = a; left > 0; left >>= 1) {
        if (left & 1) product = Mul(product, base);
        base = Mul(base, base);
    }
    return product;
}
template <class T>
inline T Max(T a, T b) { return b > a ? b : a; }
template <class T>
inline T Min(T a, T b) { return b < a ? b : a; }

template <class T>
inline bool Eq(T a, T b) { return a == b; }
template <class T>
inline bool Ne(T a, T b) { return !(a == b); }
template <class T>
inline bool Lt(T a, T b) { return a < b; }
template <class T>
inline bool Le(T a, T b) { return a <= b; }
template <class T>
inline bool Gt(T a, T b) { return a > b; }
template <class T>
inline bool Ge(T a, T b) { return a >= b; }

template <class T>
inline bool IsNan(T x) { return x != x; }
template <class T>
inline bool IsInf(T) { return false; }
template <class T>
inline bool IsFinite(T) { return true; }
inline bool IsInf(f32 x) { return fabsf(x) == from_bits(0x7f800000); }
inline bool IsInf(f64 x) { return fabs(x) == from_bits_64(0x7ff0000000000000); }
inline bool IsFinite(f32 x) { return fabsf(x) < from_bits(0x7f800000); }
inline bool IsFinite(f64 x) { return fabs(x) < from_bits_64(0x7ff0000000000000); }

inline f32 Not(f32 x) { return x == 0.0f ? 1.0f : 0.0f; }
inline f64 Not(f64 x) { return x == 0.0 ? 1.0 : 0.0; }

// A function of a float, which has the body `BODY` in both widths; integers go through f64.
#define FUNCTION(NAME, BODY)                                   \
    template <class F>                                         \
    inline F NAME##_of(F x) { return BODY; }                   \
    template <class T>                                         \
    inline T NAME(T x) { return cast<T>(NAME##_of((f64)x)); }  \
    inline f32 NAME(f32 x) { return NAME##_of(x); }            \
    inline f64 NAME(f64 x) { return NAME##_of(x); }

// The same for what integers compute on their own.
#define FLOAT(NAME, BODY)                            \
    template <class F>                               \
    inline F NAME##_of(F x) { return BODY; }         \
    inline f32 NAME(f32 x) { return NAME##_of(x); }  \
    inline f64 NAME(f64 x) { return NAME##_of(x); }

// Functions of the mathematical library in both widths.
#define LIBRARY(NAME, SINGLE, DOUBLE)             \
    inline f32 NAME(f32 x) { return ::SINGLE(x); } \
    inline f64 NAME(f64 x) { return ::DOUBLE(x); }

namespace lib {
LIBRARY(abs, fabsf, fabs)
LIBRARY(sqrt, sqrtf, sqrt)
LIBRARY(exp, expf, exp)
LIBRARY(expm1, expm1f, expm1)
LIBRARY(log, logf, log)
LIBRARY(log2, log2f, log2)
LIBRARY(log10, log10f, log10)
LIBRARY(log1p, log1pf, log1p)
LIBRARY(sin, sinf, sin)
LIBRARY(cos, cosf, cos)
LIBRARY(tan, tanf, tan)
LIBRARY(asin, asinf, asin)
LIBRARY(acos, acosf, acos)
LIBRARY(atan, atanf, atan)
LIBRARY(sinh, sinhf, sinh)
LIBRARY(cosh, coshf, cosh)
LIBRARY(tanh, tanhf, tanh)
LIBRARY(asinh, asinhf, asinh)
LIBRARY(acosh, acoshf, acosh)
LIBRARY(atanh, atanhf, atanh)
LIBRARY(erf, erff, erf)
LIBRARY(erfc, erfcf, erfc)
LIBRARY(floor, floorf, floor)
LIBRARY(ceil, ceilf, ceil)
LIBRARY(round, rintf, rint)
LIBRARY(trunc, truncf, trunc)
inline f32 fmod(f32 a, f32 b) { return ::fmodf(a, b); }
inline f64 fmod(f64 a, f64 b) { return ::fmod(a, b); }
inline f32 pow(f32 a, f32 b) { return ::powf(a, b); }
inline f64 pow(f64 a, f64 b) { return ::pow(a, b); }
inline f32 atan2(f32 a, f32 b) { return ::atan2f(a, b); }
inline f64 atan2(f64 a, f64 b) { return ::atan2(a, b); }
}  // namespace lib

template <class F>
inline F infinity() { return (F)from_bits(0x7f800000); }

template <class F>
inline F unit(F x) { return x < (F)0 ? (F)0 : x > (F)6 ? (F)6 : x; }

FLOAT(Abs, lib::abs(x))
FLOAT(Neg, -x)
FLOAT(Sign, x > (F)0 ? (F)1 : x < (F)0 ? (F)-1 : x)
FLOAT(Square, x * x)
FUNCTION(Sqrt, lib::sqrt(x))
FUNCTION(Rsqrt, (F)1 / lib::sqrt(x))
FUNCTION(Reciprocal, (F)1 / x)
FUNCTION(Exp, lib::exp(x))
FUNCTION(Expm1, lib::expm1(x))
FUNCTION(Log, lib::log(x))
FUNCTION(Log2, lib::log2(x))
FUNCTION(Log10, lib::log10(x))
FUNCTION(Log1p, lib::log1p(x))
FUNCTION(Sin, lib::sin(x))
FUNCTION(Cos, lib::cos(x))
FUNCTION(Tan, lib::tan(x))
FUNCTION(Asin, lib::asin(x))
FUNCTION(Acos, lib::acos(x))
FUNCTION(Atan, lib::atan(x))
FUNCTION(Sinh, lib::sinh(x))
FUNCTION(Cosh, lib::cosh(x))
FUNCTION(Tanh, lib::tanh(x))
FUNCTION(Asinh, lib::asinh(x))
FUNCTION(Acosh, lib::acosh(x))
FUNCTION(Atanh, lib::atanh(x))
FUNCTION(Erf, lib::erf(x))
FUNCTION(Erfc, lib::erfc(x))
FLOAT(Floor, lib::floor(x))
FLOAT(Ceil, lib::ceil(x))
FLOAT(Round, lib::round(x))
FLOAT(Trunc, lib::trunc(x))
FLOAT(Relu, x < (F)0 ? (F)0 : x)
FLOAT(Relu6, unit(x))
FUNCTION(Sigmoid, (F)1 / ((F)1 + lib::exp(-x)))
FUNCTION(Silu, x / ((F)1 + lib::exp(-x)))
FUNCTION(Gelu, (F)0.5 * x * lib::erfc(-x * (F)0.70710678118654752440))
FUNCTION(GeluTanh, x / ((F)1 + lib::exp((F)-1.5957691216057308 * (x + (F)0.044715 * x * x * x))))
FUNCTION(HSwish, x * unit(x + (F)3) / (F)6)
FUNCTION(HSigmoid, unit(x + (F)3) / (F)6)
FUNCTION(Softplus, x > (F)0 ? x + lib::log1p(lib::exp(-x)) : lib::log1p(lib::exp(x)))
FUNCTION(Mish, x * lib::tanh(Softplus_of(x)))

template <class T>
inline T Floor(T x) { return x; }
template <class T>
inline T Ceil(T x) { return x; }
template <class T>
inline T Round(T x) { return x; }
template <class T>
inline T Trunc(T x) { return x; }

// The same for functions of two floats.
#define PAIR(NAME, BODY)                                    \
    template <class F>                                      \
    inline F NAME##_of(F a, F b) { return BODY; }           \
    inline f32 NAME(f32 a, f32 b) { return NAME##_of(a, b); } \
    inline f64 NAME(f64 a, f64 b) { return NAME##_of(a, b); }

template <class F>
inline F turned(F r, F b) { return r != (F)0 && (r < (F)0) != (b < (F)0) ? r + b : r; }

PAIR(Add, a + b)
PAIR(Sub, a - b)
PAIR(Mul, a * b)
PAIR(Div, a / b)
PAIR(FloorMod, turned(lib::fmod(a, b), b))
PAIR(Rem, lib::fmod(a, b))
PAIR(Pow, lib::pow(a, b))
PAIR(Max, b != b || b > a ? b : a)
PAIR(Min, b != b || b < a ? b : a)
PAIR(And, a != (F)0 && b != (F)0 ? (F)1 : (F)0)
PAIR(Or, a != (F)0 || b != (F)0 ? (F)1 : (F)0)
PAIR(Xor, (a != (F)0) != (b != (F)0) ? (F)1 : (F)0)
PAIR(Atan2, lib::atan2(a, b))
template <class T>
inline T Atan2(T a, T b) { return (T)cast<i64>(lib::atan2((f64)(i64)a, (f64)(i64)b)); }
// A quotient of f32 may round up to a whole number; that of f64 does not.
inline f32 FloorDiv(f32 a, f32 b) { return (f32)::floor((f64)a / (f64)b); }
inline f64 FloorDiv(f64 a, f64 b) { return ::floor(a / b); }

}  // namespace fn

