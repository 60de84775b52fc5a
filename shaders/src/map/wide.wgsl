// Integers of 64 bits as two words, the lower one first. Names end in the type where the sign matters. Blocks are used as
// those of functions.wgsl.

fn is_negative(a: vec2<u32>) -> bool {
    return (a.y & 0x80000000u) != 0u;
}

fn same(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.x == b.x && a.y == b.y;
}

fn below_u64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

fn below_i64(a: vec2<u32>, b: vec2<u32>) -> bool {
    return below_u64(vec2<u32>(a.x, a.y ^ 0x80000000u), vec2<u32>(b.x, b.y ^ 0x80000000u));
}

fn sum_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn negative(a: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(0u - a.x, ~a.y + select(0u, 1u, a.x == 0u));
}

fn difference_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

// The product of two words, of which WGSL gives the lower half only.
fn product_of_words(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let left = (a >> 16u) * (b & 0xffffu);
    let right = (a & 0xffffu) * (b >> 16u);
    let middle = (low >> 16u) + (left & 0xffffu) + (right & 0xffffu);
    let high = (a >> 16u) * (b >> 16u) + (left >> 16u) + (right >> 16u) + (middle >> 16u);
    return vec2<u32>(a * b, high);
}

fn product_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = product_of_words(a.x, b.x);
    return vec2<u32>(low.x, low.y + a.x * b.y + a.y * b.x);
}

fn larger_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, below_u64(a, b));
}

fn larger_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, below_i64(a, b));
}

fn smaller_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, below_u64(b, a));
}

fn smaller_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return select(a, b, below_i64(b, a));
}

fn sign_i64(a: vec2<u32>) -> vec2<u32> {
    return select(vec2<u32>(select(0u, 1u, (a.x | a.y) != 0u), 0u), vec2<u32>(0xffffffffu, 0xffffffffu), is_negative(a));
}

fn size_i64(a: vec2<u32>) -> vec2<u32> {
    return select(a, negative(a), is_negative(a));
}

// Quotient and remainder of division bit by bit; both 0 for division by 0.
fn long_division(a: vec2<u32>, b: vec2<u32>) -> vec4<u32> {
    if ((b.x | b.y) == 0u) {
        return vec4<u32>();
    }
    if ((a.y | b.y) == 0u) {
        return vec4<u32>(a.x / b.x, 0u, a.x % b.x, 0u);
    }
    var quotient = a;
    var rest = vec2<u32>();
    for (var i = 0u; i < 64u; i = i + 1u) {
        // A remainder that lost its top bit in the shift is larger than b.
        let full = is_negative(rest);
        rest = vec2<u32>((rest.x << 1u) | (quotient.y >> 31u), (rest.y << 1u) | (rest.x >> 31u));
        quotient = vec2<u32>(quotient.x << 1u, (quotient.y << 1u) | (quotient.x >> 31u));
        if (full || !below_u64(rest, b)) {
            rest = difference_wide(rest, b);
            quotient.x = quotient.x | 1u;
        }
    }
    return vec4<u32>(quotient, rest);
}

fn divide_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return long_division(a, b).xy;
}

fn rest_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return long_division(a, b).zw;
}

fn divide_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let quotient = long_division(size_i64(a), size_i64(b)).xy;
    return select(quotient, negative(quotient), is_negative(a) != is_negative(b));
}

fn rest_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let rest = long_division(size_i64(a), size_i64(b)).zw;
    return select(rest, negative(rest), is_negative(a));
}

fn floor_quotient_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let parts = long_division(size_i64(a), size_i64(b));
    let beyond = sum_wide(parts.xy, vec2<u32>(select(0u, 1u, (parts.z | parts.w) != 0u), 0u));
    return select(parts.xy, negative(beyond), is_negative(a) != is_negative(b));
}

fn floor_rest_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let r = rest_i64(a, b);
    return select(r, sum_wide(r, b), (r.x | r.y) != 0u && is_negative(a) != is_negative(b));
}

// Exponents beyond 32 bits count as the largest of 32.
fn power_u64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    var base = a;
    var product = vec2<u32>(1u, 0u);
    for (var left = select(b.x, 0xffffffffu, b.y != 0u); left > 0u; left = left >> 1u) {
        product = select(product, product_wide(product, base), (left & 1u) == 1u);
        base = product_wide(base, base);
    }
    return product;
}

fn power_i64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    if (!is_negative(b)) {
        return power_u64(a, b);
    }
    let unit = (a.x == 1u && a.y == 0u) || (a.x == 0xffffffffu && a.y == 0xffffffffu && (b.x & 1u) == 0u);
    let minus = a.x == 0xffffffffu && a.y == 0xffffffffu && (b.x & 1u) == 1u;
    return select(select(vec2<u32>(), a, minus), vec2<u32>(1u, 0u), unit);
}

fn u64_to_f32(a: vec2<u32>) -> f32 {
    if (a.y == 0u) {
        return f32(a.x);
    }
    // The top 32 bits, the last of which stands for all that is below: the conversion rounds them to 24.
    let shift = countLeadingZeros(a.y);
    let above = (a.y << shift) | select(a.x >> (32u - shift), 0u, shift == 0u);
    let sticky = select(0u, 1u, (a.x << shift) != 0u);
    return f32(above | sticky) * bitcast<f32>((159u - shift) << 23u);
}

fn i64_to_f32(a: vec2<u32>) -> f32 {
    let size = u64_to_f32(size_i64(a));
    return select(size, -size, is_negative(a));
}

fn to_u64(x: f32) -> vec2<u32> {
    let bits = bitcast<u32>(x);
    // Exponents below 127 and negative numbers are 0, and so is NaN.
    if (is_nan(x) || bits < 0x3f800000u || bits >= 0x80000000u) {
        return vec2<u32>();
    }
    let exponent = (bits >> 23u) - 127u;
    if (exponent > 63u) {
        return vec2<u32>(0xffffffffu, 0xffffffffu);
    }
    let digits = (bits & 0x7fffffu) | 0x800000u;
    if (exponent <= 23u) {
        return vec2<u32>(digits >> (23u - exponent), 0u);
    }
    let shift = exponent - 23u;
    if (shift >= 32u) {
        return vec2<u32>(0u, digits << (shift - 32u));
    }
    return vec2<u32>(digits << shift, digits >> (32u - shift));
}

fn to_i64(x: f32) -> vec2<u32> {
    let below = (bitcast<u32>(x) & 0x80000000u) != 0u;
    let size = to_u64(bitcast<f32>(bitcast<u32>(x) & 0x7fffffffu));
    let inside = select(size, negative(size), below);
    let edge = vec2<u32>(select(0xffffffffu, 0u, below), select(0x7fffffffu, 0x80000000u, below));
    return select(inside, edge, is_negative(size));
}

fn i32_to_wide(x: i32) -> vec2<u32> {
    return vec2<u32>(bitcast<u32>(x), select(0u, 0xffffffffu, x < 0));
}
