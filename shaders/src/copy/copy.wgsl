// The type Element is declared in front of this text.

struct Params {
    // Elements of the block.
    count: u32,
    // First element read and first element written.
    first_read: u32,
    first_written: u32,
    // Extents of the block, outermost first, and its strides on both sides.
    dims: array<vec4<u32>, 2>,
    read: array<vec4<i32>, 2>,
    written: array<vec4<i32>, 2>,
}

// Dimensions in use.
override rank: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.y * groups.x + group.x) * 256u + lane;
    if (index >= params.count) {
        return;
    }
    var rest = index;
    var source = i32(params.first_read);
    var place = i32(params.first_written);
    for (var d = rank; d > 0u; d = d - 1u) {
        let at = (d - 1u) / 4u;
        let part = (d - 1u) % 4u;
        let extent = params.dims[at][part];
        let i = i32(select(rest % extent, rest, d == 1u));
        rest = rest / extent;
        source = source + i * params.read[at][part];
        place = place + i * params.written[at][part];
    }
    y[u32(place)] = x[u32(source)];
}
