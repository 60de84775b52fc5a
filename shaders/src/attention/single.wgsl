// A workgroup of 256 invocations weighs COLUMNS columns of the values for one query, 256 keys at a time: an invocation has the score
// of one key, then a part of the sum of one column. The sums are kept as those of many queries are.

const PARTS: u32 = 256u / COLUMNS;

var<workgroup> query: array<f32, 64>;
// exp(score - largest) of each key.
var<workgroup> weights: array<f32, 256>;

fn load_q(first: u32, row: u32, k: u32, lane: u32) {
    if (lane < min(64u, params.k - k)) {
        query[lane] = q[first + row * params.q_row + (k + lane) * params.q_col];
    }
}

// What is taken from scores: their largest, if any is more than minus infinity.
fn base_of(largest: f32) -> f32 {
    return select(largest, 0.0, bitcast<u32>(largest) == 0xff800000u);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x;
    let col = group.y * COLUMNS + lane % COLUMNS;
    for (var batch = group.z; batch < params.batches; batch = batch + groups.z) {
        let index = index_of(batch);
        let at = starts(index);
        open(index);
        var largest = from_bits(0xff800000u);
        var sum = 0.0;
        var out = 0.0;
        for (var first = 0u; first < params.n; first = first + 256u) {
            let key = first + lane;
            var product = 0.0;
            for (var k = 0u; k < params.k; k = k + 64u) {
                load_q(at.x, row, k, lane);
                workgroupBarrier();
                if (key < params.n) {
                    for (var l = 0u; l < min(64u, params.k - k); l = l + 1u) {
                        product = product + query[l] * keys[at.y + key * params.k_row + (k + l) * params.k_col];
                    }
                }
                workgroupBarrier();
            }
            // Keys that are not there have the least score.
            var found = from_bits(0xff800000u);
            if (key < params.n) {
                found = score(row, key, product);
            }
            let top = max(largest, group_max(lane, found));
            let base = base_of(top);
            let shrunk = exponential(largest - base);
            let weight = exponential(found - base);
            weights[lane] = weight;
            largest = top;
            sum = sum * shrunk + weight;
            out = out * shrunk;
            workgroupBarrier();
            if (col < params.cols) {
                for (var l = lane / COLUMNS; l < min(256u, params.n - first); l = l + PARTS) {
                    out = out + weights[l] * v[at.z + (first + l) * params.v_row + col * params.v_col];
                }
            }
            workgroupBarrier();
        }
        let all = group_sum(lane, sum);
        cells[lane] = out;
        workgroupBarrier();
        if (lane < COLUMNS && col < params.cols) {
            var total = 0.0;
            for (var part = lane; part < 256u; part = part + COLUMNS) {
                total = total + cells[part];
            }
            y[at.w + row * params.y_row + col] = total / all;
        }
        workgroupBarrier();
    }
}
