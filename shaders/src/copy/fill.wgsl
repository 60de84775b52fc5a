// The type Element and the function element, which makes one of params.words, are declared in front of this text.

struct Params {
    // Elements to write, the first one, and the words of each.
    count: u32,
    first: u32,
    words: vec2<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.y * groups.x + group.x) * 256u + lane;
    if (index < params.count) {
        y[params.first + index] = element();
    }
}
