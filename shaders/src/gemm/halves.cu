typedef u16 Part;

inline u16 part(Element x) { return x.bits; }

// Adds to `sums`, a lane's part of 16 x 8 numbers, the product of its parts of 16 x 16 and 16 x 8 halves.
#ifdef __CUDA_ARCH__
inline void mma(f32* sums, const u32* a, const u32* b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.HALF.HALF.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
struct Words {
    static f32 product(u32 a, u32 b) {
        f32 low = widen(half(a)) * widen(half(b));
        return low + widen(half(a >> 16)) * widen(half(b >> 16));
    }
    static Element half(u32 bits) {
        Element x = {(u16)bits};
        return x;
    }
};
inline void mma(f32* sums, const u32* a, const u32* b) { emulation_mma<Words>(sums, a, b); }
#endif
