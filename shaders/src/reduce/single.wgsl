// The type Number, the functions load, combine and put, and the buffers x and y follow this text.

struct Params {
    // Lines, elements of a line, and elements between two of them.
    lines: u32,
    len: u32,
    inner: u32,
    // Elements from one group of `inner` lines to the next.
    pitch: u32,
    // Elements of a whole line, of which the others are left to other launches.
    whole: u32,
    // First elements of the operand and of the result.
    x: u32,
    y: u32,
}

// A value and its position in the line.
struct Found {
    value: Number,
    place: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let line = (group.y * groups.x + group.x) * 64u + lane;
    if (line >= params.lines) {
        return;
    }
    let inner = params.inner;
    let first = params.x + (line / inner) * params.pitch + line % inner;
    var found = Found(load(first), 0u);
    for (var l = 1u; l < min(params.len, 128u); l = l + 1u) {
        found = combine(found, Found(load(first + l * inner), l));
    }
    // Parts of a long sum are summed by themselves, so that each is rounded fewer times.
    for (var start = 128u; start < params.len; start = start + 128u) {
        var part = Found(load(first + start * inner), start);
        for (var l = start + 1u; l < min(params.len, start + 128u); l = l + 1u) {
            part = combine(part, Found(load(first + l * inner), l));
        }
        found = combine(found, part);
    }
    put(params.y + line, found);
}
