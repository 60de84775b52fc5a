// Scalar functions where WGSL has none or promises too little. Blocks are separated by blank lines; a program gets the
// ones that it names, and those that they name.

// The number with these bits, kept from the compiler's eyes: WGSL has no literals for infinities and NaN.
fn from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// The value of x, out of sight of a compiler that would join its arithmetic with the next step's.
fn exact(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) | nothing());
}

// The nearest float of 16 bits, halves to even; below the smallest normal one in steps of 2^-24.
fn round_f16(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) {
        return x;
    }
    if (size < 0x38800000u) {
        return copy_sign(round(bitcast<f32>(size) * 16777216.0) * 5.9604645e-8, x);
    }
    let rounded = (size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u;
    return bitcast<f32>((bits ^ size) | select(rounded, 0x7f800000u, size >= 0x477ff000u));
}

// The nearest number with the upper 16 bits of a float, halves to even.
fn round_bf16(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u;
    return bitcast<f32>(select(rounded, bits, (bits & 0x7fffffffu) > 0x7f800000u));
}

// Whether x is neither 0 nor -0.
fn is_nonzero(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) != 0u;
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_inf(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// The magnitude of `x` with the sign of `s`.
fn copy_sign(x: f32, s: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(s) & 0x80000000u));
}

fn larger(a: f32, b: f32) -> f32 {
    return select(a, b, is_nan(b) || b > a);
}

fn smaller(a: f32, b: f32) -> f32 {
    return select(a, b, is_nan(b) || b < a);
}

// x, which is not -0: what a sum that starts from 0 is.
fn no_negative_zero(x: f32) -> f32 {
    return select(x, 0.0, x == 0.0);
}

fn sign_of(x: f32) -> f32 {
    return select(select(select(x, -1.0, x < 0.0), 1.0, x > 0.0), x, is_nan(x));
}

fn relu6(x: f32) -> f32 {
    return select(select(x, 0.0, x < 0.0), 6.0, x > 6.0);
}

// 2^n for n from -126 to 127.
fn power_of_two(n: i32) -> f32 {
    return bitcast<f32>(u32(n + 127) << 23u);
}

// eʳ - 1 for r up to ln 2 / 2 in size.
fn expm1_near(r: f32) -> f32 {
    return r + r * r * (0.49999994 + r * (0.16666521 + r * (0.041668262 + r * (0.008368674 + r * 0.0013821041))));
}

// The rest of x beyond n · ln 2, of which the first digits are taken off first. Compilers would join both products if they saw one
// factor in them.
fn beyond_powers(x: f32, n: f32) -> f32 {
    return fma(f32(i32(n)), 2.1219444e-4, fma(n, -0.6933594, x));
}

fn exponential(x: f32) -> f32 {
    let inside = clamp(x, -104.0, 89.0);
    let n = round(inside * 1.442695);
    let near = 1.0 + expm1_near(beyond_powers(inside, n));
    let half = i32(n) >> 1u;
    let value = near * power_of_two(half) * power_of_two(i32(n) - half);
    return select(select(value, from_bits(0x7f800000u), x > 88.72284), x, is_nan(x));
}

fn expm1(x: f32) -> f32 {
    let inside = clamp(x, -30.0, 89.0);
    let n = round(inside * 1.442695);
    let half = power_of_two(i32(n) - 1);
    let value = expm1_near(beyond_powers(inside, n)) * half + (half - 0.5);
    let ends = select(2.0 * value, from_bits(0x7f800000u), x > 88.72284);
    return select(ends, x, is_nan(x) || x == 0.0);
}

// x as 2^k · (1 + f) with 1 + f from √½ to √2: k and f, for numbers above 0.
fn log_parts(x: f32) -> vec2<f32> {
    let bits = bitcast<u32>(x);
    let shift = select(0u, countLeadingZeros(bits) - 8u, bits < 0x800000u);
    let k = (i32(bits << shift) - 0x3f3504f3) >> 23u;
    let f = bitcast<f32>((bits << shift) - (u32(k) << 23u)) - 1.0;
    return vec2<f32>(f32(k - i32(shift)), f);
}

// ln(1 + f) - f for 1 + f from √½ to √2.
fn log1p_rest(f: f32) -> f32 {
    let p = 0.33333313 + f * (-0.2500001 + f * (0.20002072 + f * (-0.16667989 + f * (0.1422036 + f * (-0.1240624
        + f * (0.11883538 + f * (-0.11670016 + f * 0.06749175)))))));
    return f * f * (p * f - 0.5);
}

// y for finite numbers x above 0, else what a logarithm is there.
fn log_ends(x: f32, y: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if ((bits & 0x7fffffffu) == 0u) {
        return from_bits(0xff800000u);
    }
    return select(select(y, x, bits >= 0x7f800000u), from_bits(0x7fc00000u), bits > 0x80000000u);
}

fn ln(x: f32) -> f32 {
    let parts = log_parts(x);
    return log_ends(x, parts.x * 0.6933594 + (parts.y + fma(parts.x, -2.1219444e-4, log1p_rest(parts.y))));
}

fn log_of_two(x: f32) -> f32 {
    let parts = log_parts(x);
    return log_ends(x, parts.x + (parts.y + log1p_rest(parts.y)) * 1.442695);
}

fn log_of_ten(x: f32) -> f32 {
    let parts = log_parts(x);
    let low = (parts.y + log1p_rest(parts.y)) * 0.4342945 + parts.x * 4.605039e-6;
    return log_ends(x, parts.x * 0.3010254 + low);
}

// ln(1 + x); the series in s = x / (2 + x) serves where 1 + x would lose digits.
fn log1p(x: f32) -> f32 {
    let s = x / (2.0 + x);
    let t = s * s;
    let series = 2.0 * s * (1.0 + t * (0.3333334 + t * (0.19999343 + t * (0.14310442 + t * (0.10695685
        + t * 0.1221029)))));
    return select(ln(1.0 + x), select(series, x, x == 0.0), x > -0.5 && x < 1.0);
}

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exponential(-x));
}

fn softplus(x: f32) -> f32 {
    return select(x, 0.0, x < 0.0) + log1p(exponential(-abs(x)));
}

fn hyperbolic_tangent(x: f32) -> f32 {
    let e = expm1(-2.0 * abs(x));
    return copy_sign(e / (e + 2.0), x);
}

fn hyperbolic_sine(x: f32) -> f32 {
    let a = abs(x);
    let e = expm1(a);
    let half = exponential(0.5 * a);
    return copy_sign(select(0.5 * half * half, 0.5 * (e + e / (e + 1.0)), a < 20.0), x);
}

fn hyperbolic_cosine(x: f32) -> f32 {
    let half = exponential(0.5 * abs(x));
    let whole = half * half;
    return select(0.5 * half * half, 0.5 * (whole + 1.0 / whole), abs(x) < 20.0);
}

fn area_sine(x: f32) -> f32 {
    let a = abs(x);
    let near = log1p(a + a * a / (1.0 + sqrt(1.0 + a * a)));
    return copy_sign(select(ln(a) + 0.6931472, near, a < 1.0e9), x);
}

fn area_cosine(x: f32) -> f32 {
    let t = x - 1.0;
    let near = log1p(t + sqrt(2.0 * t + t * t));
    let inside = select(ln(x) + 0.6931472, near, x < 1.0e9);
    return select(inside, from_bits(0x7fc00000u), x < 1.0 || is_nan(x));
}

fn area_tangent(x: f32) -> f32 {
    let a = abs(x);
    let inside = copy_sign(0.5 * log1p(2.0 * a / (1.0 - a)), x);
    let edge = copy_sign(from_bits(0x7f800000u), x);
    return select(select(inside, edge, a == 1.0), from_bits(0x7fc00000u), a > 1.0 || is_nan(x));
}

// Inverse sine of 0 to 1/2.
fn asin_series(x: f32) -> f32 {
    let t = x * x;
    return x * (1.0 + t * (0.16666791 + t * (0.07494435 + t * (0.045550168 + t * (0.023858257 + t * 0.042635504)))));
}

fn inverse_sine(x: f32) -> f32 {
    let a = abs(x);
    let near = asin_series(min(a, 0.5));
    let far = 1.5707964 - 2.0 * asin_series(sqrt(max(0.5 - 0.5 * a, 0.0)));
    let inside = copy_sign(select(far, near, a < 0.5), x);
    return select(inside, from_bits(0x7fc00000u), a > 1.0 || is_nan(x));
}

fn inverse_cosine(x: f32) -> f32 {
    let a = abs(x);
    let near = 1.5707964 - copy_sign(asin_series(min(a, 0.5)), x);
    let far = 2.0 * asin_series(sqrt(max(0.5 - 0.5 * a, 0.0)));
    let inside = select(select(3.1415927 - far, far, x > 0.0), near, a < 0.5);
    return select(inside, from_bits(0x7fc00000u), a > 1.0 || is_nan(x));
}

fn inverse_tangent(x: f32) -> f32 {
    let a = abs(x);
    let big = a > 1.0;
    let b = select(a, 1.0 / a, big);
    let mid = b > 0.41421357;
    let c = select(b, (b - 1.0) / (b + 1.0), mid);
    let t = c * c;
    let series = c * (1.0 + t * (-0.33333308 + t * (0.1999821 + t * (-0.14239962 + t * (0.10572578 - t * 0.060324535)))));
    let low = select(series, 0.7853982 + series, mid);
    return copy_sign(select(low, 1.5707964 - low, big), x);
}

fn angle(y: f32, x: f32) -> f32 {
    let ay = abs(y);
    let ax = abs(x);
    let equal = select(ay / ax, 1.0, ay == ax);
    let quotient = select(equal, 0.0, ay == 0.0);
    let first = inverse_tangent(quotient);
    let left = (bitcast<u32>(x) & 0x80000000u) != 0u;
    let turned = copy_sign(select(first, 3.1415927 - first, left), y);
    return select(turned, from_bits(0x7fc00000u), is_nan(x) || is_nan(y));
}

// Quarter turns of `x` and the rest, which is at most π/4 in size.
fn quarter_turns(x: f32) -> vec2<f32> {
    if (abs(x) > 1024.0) {
        return many_turns(x);
    }
    let n = round(x * 0.63661975);
    let rest = fma(n, -7.54979e-8, fma(n, -0.0004837513, x - n * 1.5703125));
    return vec2<f32>(n, rest);
}

// The same modulo 4 of large numbers: of 2/π only the 96 bits count that make less than four turns of the last digit of x, and
// the product with the 24 digits of x is kept modulo 4.
fn many_turns(x: f32) -> vec2<f32> {
    var parts = array<u32, 8>(
        0u,
        0xa2f9836eu,
        0x4e441529u,
        0xfc2757d1u,
        0xf534ddc0u,
        0xdb629599u,
        0x3c439041u,
        0xfe5163abu,
    );
    let bits = bitcast<u32>(x) & 0x7fffffffu;
    let start = min(bits >> 23u, 254u) - 120u;
    let at = start / 32u;
    let shift = start % 32u;
    var window = vec3<u32>(parts[at], parts[at + 1u], parts[at + 2u]);
    if (shift > 0u) {
        let next = vec3<u32>(parts[at + 1u], parts[at + 2u], parts[at + 3u]);
        window = (window << vec3<u32>(shift)) | (next >> vec3<u32>(32u - shift));
    }
    let digits = (bits & 0x7fffffu) | 0x800000u;
    let low = product_of_words(digits, window.z);
    let middle = sum_wide(product_of_words(digits, window.y), vec2<u32>(low.y, 0u));
    let high = digits * window.x + middle.y;
    let part = vec2<u32>((middle.x << 2u) | (low.x >> 30u), (high << 2u) | (middle.x >> 30u));
    // A part of a turn beyond a half belongs to the next one.
    let beyond = is_negative(part);
    let size = u64_to_f32(select(part, negative(part), beyond)) * 8.515304e-20;
    let turns = f32((high >> 30u) + select(0u, 1u, beyond));
    let sign = select(1.0, -1.0, x < 0.0);
    return vec2<f32>(sign * turns, sign * select(size, -size, beyond));
}

fn sine_series(r: f32) -> f32 {
    let t = r * r;
    return r * (1.0 + t * (-0.16666667 + t * (0.008333328 + t * (-0.00019839093 + t * 0.0000027163783))));
}

fn cosine_series(r: f32) -> f32 {
    let t = r * r;
    return 1.0 + t * (-0.5 + t * (0.041666608 + t * (-0.0013886432 + t * 0.000024363959)));
}

fn sine(x: f32) -> f32 {
    let turns = quarter_turns(x);
    let quadrant = i32(turns.x) & 3;
    let value = select(sine_series(turns.y), cosine_series(turns.y), (quadrant & 1) == 1);
    let inside = select(select(value, -value, quadrant >= 2), x, x == 0.0);
    return select(inside, from_bits(0x7fc00000u), !is_finite(x));
}

fn cosine(x: f32) -> f32 {
    let turns = quarter_turns(x);
    let quadrant = i32(turns.x) & 3;
    let value = select(cosine_series(turns.y), sine_series(turns.y), (quadrant & 1) == 1);
    let negative = quadrant == 1 || quadrant == 2;
    return select(select(value, -value, negative), from_bits(0x7fc00000u), !is_finite(x));
}

fn tangent(x: f32) -> f32 {
    let turns = quarter_turns(x);
    let s = sine_series(turns.y);
    let c = cosine_series(turns.y);
    let value = select(s / c, -c / s, (i32(turns.x) & 1) == 1);
    return select(select(value, x, x == 0.0), from_bits(0x7fc00000u), !is_finite(x));
}

// Error function of -1 to 1.
fn erf_series(x: f32) -> f32 {
    let t = x * x;
    return x * (1.1283791 + t * (-0.37612626 + t * (0.112835854 + t * (-0.026853811 + t * (0.0051883273
        + t * (-0.00080101914 + t * 0.000078538542))))));
}

// 1 - erf x for x from 1 up. The square in the exponent is taken of few digits, the rest put back as a factor.
fn erfc_tail(x: f32) -> f32 {
    let t = 1.0 / x;
    let series = t * (0.56421304 + t * (-0.0008450455 + t * (-0.2694729 + t * (-0.10272619 + t * (0.9234919
        + t * (-1.4736828 + t * (1.277904 + t * (-0.65101844 + t * (0.17972295 - t * 0.020002952)))))))));
    let head = bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
    let tail = exponential(-head * head) * exponential((head - x) * (head + x)) * series;
    return select(tail, 0.0, x > 10.5);
}

fn erfc(x: f32) -> f32 {
    let a = abs(x);
    let tail = erfc_tail(max(a, 1.0));
    let far = select(tail, 2.0 - tail, x < 0.0);
    return select(select(far, 1.0 - erf_series(clamp(x, -1.0, 1.0)), a < 1.0), x, is_nan(x));
}

fn erf(x: f32) -> f32 {
    let a = abs(x);
    let far = copy_sign(1.0 - erfc_tail(max(a, 1.0)), x);
    return select(select(far, erf_series(clamp(x, -1.0, 1.0)), a < 1.0), x, is_nan(x));
}

fn gelu(x: f32) -> f32 {
    return 0.5 * x * erfc(-0.70710677 * x);
}

fn gelu_tanh(x: f32) -> f32 {
    return x / (1.0 + exponential(-1.5957692 * (x + 0.044715 * x * x * x)));
}

// aᵇ by repeated squaring, for whole b from -16 to 16.
fn small_power(a: f32, b: i32) -> f32 {
    var base = a;
    var left = abs(b);
    var product = 1.0;
    for (; left > 0; left = left >> 1u) {
        product = select(product, product * base, (left & 1) == 1);
        base = base * base;
    }
    return select(product, 1.0 / product, b < 0);
}

fn power(a: f32, b: f32) -> f32 {
    let whole = trunc(b) == b;
    if (whole && abs(b) <= 16.0) {
        return small_power(a, i32(b));
    }
    if (is_nan(a) || is_nan(b)) {
        return select(from_bits(0x7fc00000u), a, a == 1.0);
    }
    if (is_inf(b) && abs(a) == 1.0) {
        return 1.0;
    }
    let edge = select(0.0, from_bits(0x7f800000u), (abs(a) > 1.0) == (b > 0.0));
    let size = select(pow(abs(a), b), edge, a == 0.0 || is_inf(a) || is_inf(b));
    let odd = whole && abs(b) < 16777216.0 && (i32(clamp(b, -16777216.0, 16777216.0)) & 1) == 1;
    let below = (bitcast<u32>(a) & 0x80000000u) != 0u;
    return select(select(size, -size, odd && below), from_bits(0x7fc00000u), !whole && a < 0.0 && !is_inf(a));
}

// The digits of a finite number and its exponent, which is 1 for subnormal ones.
fn digits_of(size: u32) -> vec2<u32> {
    let exponent = size >> 23u;
    return vec2<u32>((size & 0x7fffffu) | select(0x800000u, 0u, exponent == 0u), max(exponent, 1u));
}

// The exact remainder of a / b with the sign of a, by long division.
fn remainder(a: f32, b: f32) -> f32 {
    let sign = bitcast<u32>(a) & 0x80000000u;
    let above = bitcast<u32>(a) & 0x7fffffffu;
    let below = bitcast<u32>(b) & 0x7fffffffu;
    if (above >= 0x7f800000u || below > 0x7f800000u || below == 0u) {
        return from_bits(0x7fc00000u);
    }
    if (above < below) {
        return a;
    }
    let left = digits_of(above);
    let right = digits_of(below);
    var rest = left.x % right.x;
    for (var e = left.y; e > right.y; e = e - 1u) {
        rest = (rest << 1u) % right.x;
    }
    if (rest == 0u) {
        return from_bits(sign);
    }
    let shift = countLeadingZeros(rest) - 8u;
    if (shift >= right.y) {
        return from_bits(sign | (rest << (right.y - 1u)));
    }
    return from_bits(sign | ((right.y - shift) << 23u) | ((rest << shift) & 0x7fffffu));
}

fn floor_remainder(a: f32, b: f32) -> f32 {
    let r = remainder(a, b);
    return select(r, r + b, r != 0.0 && (r < 0.0) != (b < 0.0));
}

fn floor_quotient(a: f32, b: f32) -> f32 {
    let q = floor(a / b);
    let r = fma(-q, b, a);
    return select(q, q - 1.0, r != 0.0 && (r < 0.0) != (b < 0.0) && abs(q) < 16777216.0);
}

fn to_i32(x: f32) -> i32 {
    let inside = i32(clamp(x, -2147483648.0, 2147483520.0));
    return select(select(inside, 2147483647, x >= 2147483648.0), 0, is_nan(x));
}

fn to_u32(x: f32) -> u32 {
    let inside = u32(clamp(x, 0.0, 4294967040.0));
    return select(select(inside, 0xffffffffu, x >= 4294967296.0), 0u, is_nan(x));
}

fn divide_i32(a: i32, b: i32) -> i32 {
    return select(a / select(b, 1, b == 0), 0, b == 0);
}

fn divide_u32(a: u32, b: u32) -> u32 {
    return select(a / select(b, 1u, b == 0u), 0u, b == 0u);
}

fn rest_i32(a: i32, b: i32) -> i32 {
    return select(a % select(b, 1, b == 0), 0, b == 0);
}

fn rest_u32(a: u32, b: u32) -> u32 {
    return select(a % select(b, 1u, b == 0u), 0u, b == 0u);
}

fn floor_quotient_i32(a: i32, b: i32) -> i32 {
    let q = divide_i32(a, b);
    return select(q, q - 1, rest_i32(a, b) != 0 && (a < 0) != (b < 0));
}

fn floor_rest_i32(a: i32, b: i32) -> i32 {
    let r = rest_i32(a, b);
    return select(r, r + b, r != 0 && (a < 0) != (b < 0));
}

fn power_u32(a: u32, b: u32) -> u32 {
    var base = a;
    var left = b;
    var product = 1u;
    for (; left > 0u; left = left >> 1u) {
        product = select(product, product * base, (left & 1u) == 1u);
        base = base * base;
    }
    return product;
}

fn power_i32(a: i32, b: i32) -> i32 {
    let inverse = select(select(0, select(-1, 1, (b & 1) == 0), a == -1), 1, a == 1);
    return select(bitcast<i32>(power_u32(bitcast<u32>(a), bitcast<u32>(max(b, 0)))), inverse, b < 0);
}
