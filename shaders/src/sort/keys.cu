// Element, the type as it lies, and Number, what it is computed in, stand in front of this text, and DESCENDING.

// Unsigned numbers in the order of the elements. NaN is the largest, and zeros have one.
inline u32 ordered(f32 x) {
    u32 bits = __float_as_uint(x);
    if (x != x) return 0xffffffff;
    if (x == 0.0f) return 0x80000000;
    return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}
inline u64 ordered(f64 x) {
    u64 bits = (u64)__double_as_longlong(x);
    if (x != x) return 0xffffffffffffffff;
    if (x == 0.0) return 0x8000000000000000;
    return bits & 0x8000000000000000 ? ~bits : bits | 0x8000000000000000;
}
inline u32 ordered(i32 x) { return (u32)x ^ 0x80000000; }
inline u32 ordered(u32 x) { return x; }
inline u64 ordered(i64 x) { return (u64)x ^ 0x8000000000000000; }
inline u64 ordered(u64 x) { return x; }

inline Key key(Element x) {
    Key k = ordered(number(x));
    return DESCENDING ? ~k : k;
}

