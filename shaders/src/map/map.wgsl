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
