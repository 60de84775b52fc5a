struct Params {
    // Elements of the result.
    count: u32,
    // Extents of the result, outermost first.
    dims: array<vec4<u32>, 2>,
    // First elements of the operands, then of the result.
    firsts: array<vec4<u32>, 8>,
    // Two vectors of strides for each.
    strides: array<vec4<u32>, 64>,
}

@group(0) @binding(0) var<uniform> params: Params;

// Zero, which the compiler cannot foresee: a buffer holds fewer than 2^31 elements.
fn nothing() -> u32 {
    return params.count >> 31u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.y * groups.x + group.x) * 256u + lane;
    if (index < params.count) {
        put(index);
    }
}
@group(0) @binding(1) var<storage, read> a0: array<f32>;
@group(0) @binding(2) var<storage, read> a1: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// The number with these bits, kept from the compiler's eyes: WGSL has no literals for infinities and NaN.
fn from_bits(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// The value of x, out of sight of a compiler that would join its arithmetic with the next step's.
fn exact(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) | nothing());
}

fn program(x0: f32, x1: bool) -> f32 {
    let r0: f32 = x0;
    let r1: bool = x1;
    let r2: f32 = exact(from_bits(0xff800000u));
    let r3: f32 = select(r0, r2, r1);
    return r3;
}

fn put(index: u32) {
    var rest = index;
    let i2 = rest % params.dims[0].z;
    rest = rest / params.dims[0].z;
    let i1 = rest % params.dims[0].y;
    rest = rest / params.dims[0].y;
    let i0 = rest;
    y[params.firsts[0].z + index] = program(a0[params.firsts[0].x + index], (a1[params.firsts[0].y + i0 * params.strides[2].x + i1 * params.strides[2].y + i2 * params.strides[2].z] != 0u));
}
