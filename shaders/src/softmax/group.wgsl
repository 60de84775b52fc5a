// The type Element stands in front of this text, the function fit follows it.

struct Params {
    // Lines, elements of a line, and elements between two of them.
    lines: u32,
    len: u32,
    inner: u32,
    // First elements of the operand and of the result.
    x: u32,
    y: u32,
}

// Whether the result is the logarithm.
override logarithm: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

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
    let place = (line / inner) * params.len * inner + line % inner;
    var largest = f32(x[params.x + place]);
    for (var l = lane; l < params.len; l = l + 256u) {
        largest = max(largest, f32(x[params.x + place + l * inner]));
    }
    largest = group_max(lane, largest);
    var sum = 0.0;
    for (var l = lane; l < params.len; l = l + 256u) {
        sum = sum + exponential(f32(x[params.x + place + l * inner]) - largest);
    }
    sum = group_sum(lane, sum);
    let size = ln(sum);
    for (var l = lane; l < params.len; l = l + 256u) {
        let shifted = f32(x[params.x + place + l * inner]) - largest;
        if (logarithm) {
            y[params.y + place + l * inner] = Element(fit(shifted - size));
        } else {
            y[params.y + place + l * inner] = Element(fit(exponential(shifted) / sum));
        }
    }
}
