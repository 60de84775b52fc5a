// The number with these bits, kept from the compiler's eyes: WGSL has no literals for infinities and NaN.
fn from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// The value of x, out of sight of a compiler that would join its arithmetic with the next step's.
fn exact(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) | nothing());
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
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

fn gelu(x: f32) -> f32 {
    return 0.5 * x * erfc(-0.70710677 * x);
}

fn program(x0: f32, x1: f32) -> f32 {
    let r0: f32 = x0;
    let r1: f32 = x1;
    let r2: f32 = exact(r0 + r1);
    let r3: f32 = gelu(r2);
    return r3;
}
