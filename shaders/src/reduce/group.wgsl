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

var<workgroup> values: array<Number, 256>;
var<workgroup> places: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let line = group.y * groups.x + group.x;
    if (line >= params.lines) {
        return;
    }
    let inner = params.inner;
    let first = params.x + (line / inner) * params.pitch + line % inner;
    let start = min(lane, params.len - 1u);
    var found = Found(load(first + start * inner), start);
    for (var l = lane + 256u; l < params.len; l = l + 256u) {
        found = combine(found, Found(load(first + l * inner), l));
    }
    values[lane] = found.value;
    places[lane] = found.place;
    workgroupBarrier();
    // Lanes beyond the line hold copies, which take no part.
    let filled = min(256u, params.len);
    for (var half = 128u; half > 0u; half = half >> 1u) {
        if (lane < half && lane + half < filled) {
            let other = Found(values[lane + half], places[lane + half]);
            let both = combine(Found(values[lane], places[lane]), other);
            values[lane] = both.value;
            places[lane] = both.place;
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        put(params.y + line, Found(values[0], places[0]));
    }
}
