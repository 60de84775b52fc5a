// The value of x, out of sight of a compiler that would join its arithmetic with the next step's.
fn exact(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) | nothing());
}

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
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
    let tail = exp(-head * head) * exp((head - x) * (head + x)) * series;
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
