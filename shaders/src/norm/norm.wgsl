// The type Element stands in front of this text, the functions scale, shift, keep and fit follow it.

struct Params {
    rows: u32,
    cols: u32,
    // Added under the root.
    eps: f32,
    // First elements of what is bound, in order.
    firsts: array<vec4<u32>, 2>,
}

// Whether the mean is taken off: layer normalisation.
override centred: bool = true;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y * groups.x + group.x;
    if (row >= params.rows) {
        return;
    }
    let first = params.firsts[0].x + row * params.cols;
    let place = params.firsts[0].y + row * params.cols;
    var mean = 0.0;
    if (centred) {
        var sum = 0.0;
        for (var j = lane; j < params.cols; j = j + 256u) {
            sum = sum + f32(x[first + j]);
        }
        mean = group_sum(lane, sum) / f32(params.cols);
    }
    var spread = 0.0;
    for (var j = lane; j < params.cols; j = j + 256u) {
        let d = f32(x[first + j]) - mean;
        spread = spread + d * d;
    }
    let factor = 1.0 / sqrt(group_sum(lane, spread) / f32(params.cols) + params.eps);
    for (var j = lane; j < params.cols; j = j + 256u) {
        y[place + j] = Element(fit((f32(x[first + j]) - mean) * factor * scale(j) + shift(j)));
    }
    if (lane == 0u) {
        keep(row, mean, factor);
    }
}
