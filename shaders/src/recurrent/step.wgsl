// A workgroup computes one element of the state of one sequence after a step: its lanes share the products of the rows of r with
// the state, and the first one ends them. FIRST and the type Element stand in front of this text; further buffers and two functions follow it:
// `products` of elements k of the rows with element `at` of the states, and `finish`, what becomes of the sums.

struct Params {
    // Sequences times length of the state, length of the state, and that times the gates.
    lines: u32,
    hidden: u32,
    rows: u32,
    // First elements of the step: of x, of the state before it, and of the state after it.
    x_first: u32,
    h_first: u32,
    y_first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> r: array<Element>;
@group(0) @binding(3) var<storage, read> h: array<Element>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> cells: array<vec4<f32>, 64>;

// Element `at` of the states before the step.
fn state(at: u32) -> f32 {
    if (FIRST) {
        return f32(h[at]);
    }
    return y[params.h_first + at];
}

// Row j of a gate, and the place of its sum.
fn row(gate: u32, j: u32) -> u32 {
    return (gate * params.hidden + j) * params.hidden;
}

fn input(gate: u32, sequence: u32, j: u32) -> f32 {
    return f32(x[params.x_first + sequence * params.rows + gate * params.hidden + j]);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let line = group.y * groups.x + group.x;
    if (line >= params.lines) {
        return;
    }
    let sequence = line / params.hidden;
    let j = line % params.hidden;
    var sums = vec4<f32>();
    for (var k = lane; k < params.hidden; k = k + 64u) {
        sums = sums + products(sequence * params.hidden + k, j, k);
    }
    cells[lane] = sums;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half = half >> 1u) {
        if (lane < half) {
            cells[lane] = cells[lane] + cells[lane + half];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        finish(sequence, line, j, cells[0]);
    }
}
