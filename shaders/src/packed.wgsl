// Element `at` of an array of floats of 16 bits, of which two are the word.
fn packed_bf16(word: u32, at: u32) -> f32 {
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (at & 1u) != 0u));
}

fn packed_f16(word: u32, at: u32) -> f32 {
    let bits = word >> (16u * (at & 1u));
    let sign = (bits & 0x8000u) << 16u;
    let size = bits & 0x7fffu;
    // The exponent counts from another start, and infinity and NaN have the largest.
    let shifted = (size << 13u) + select(0x38000000u, 0x70000000u, size >= 0x7c00u);
    let subnormal = bitcast<u32>(f32(size) * 5.9604645e-8f);
    return bitcast<f32>(sign | select(shifted, subnormal, size < 0x0400u));
}
