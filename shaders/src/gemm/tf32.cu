typedef u32 Part;

// The number with 10 bits of mantissa that is nearest to `x`, of two the larger in magnitude.
#ifdef __CUDA_ARCH__
inline u32 part(f32 x) {
    u32 y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}

// Adds to `sums`, a lane's part of 16 x 8 numbers, the product of its parts of 16 x 8 and 8 x 8 such numbers.
inline void mma(f32* sums, const u32* a, const u32* b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
inline u32 part(f32 x) {
    u32 bits = __float_as_uint(x);
    bool finite = (bits & 0x7f800000) != 0x7f800000;
    return finite ? (bits + 0x1000) & ~0x1fffu : bits;
}

struct Words {
    static f32 product(u32 a, u32 b) { return from_bits(a) * from_bits(b); }
};
inline void mma(f32* sums, const u32* a, const u32* b) { emulation_mma<Words>(sums, a, b); }
#endif
