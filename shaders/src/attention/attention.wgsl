// A workgroup of 8 x 8 invocations weighs COLUMNS columns of the values for ROWS queries, 32 keys at a time. The queries, keys and
// columns of an invocation lie 8 apart. Of each query it keeps the largest score so far and, for the keys so far, the sums of
// exp(score - largest) and of these times the values; they shrink whenever a larger score comes.

var<workgroup> tile: array<f32, TILE>;
// exp(score - largest) of each query and key.
var<workgroup> weights: array<f32, ROWS * 33u>;
// What the eight invocations of a query find out together.
var<workgroup> cells: array<f32, ROWS * 9u>;

// Consecutive lanes walk along the dimension whose elements are neighbours.
fn load_q(first: u32, row: u32, k: u32, lane: u32) {
    for (var e = lane; e < 16u * ROWS; e = e + 64u) {
        let i = select(e % ROWS, e / 16u, Q_ALONG);
        let l = select(e / ROWS, e % 16u, Q_ALONG);
        var value = 0.0;
        if (row + i < params.m && k + l < params.k) {
            value = q[first + (row + i) * params.q_row + (k + l) * params.q_col];
        }
        tile[l * PITCH + i] = value;
    }
}

fn load_k(first: u32, key: u32, k: u32, lane: u32) {
    for (var e = lane; e < 512u; e = e + 64u) {
        let j = select(e % 32u, e / 16u, K_ALONG);
        let l = select(e / 32u, e % 16u, K_ALONG);
        var value = 0.0;
        if (key + j < params.n && k + l < params.k) {
            value = keys[first + (key + j) * params.k_row + (k + l) * params.k_col];
        }
        tile[16u * PITCH + l * 33u + j] = value;
    }
}

fn load_v(first: u32, key: u32, col: u32, lane: u32) {
    for (var e = lane; e < 16u * COLUMNS; e = e + 64u) {
        let j = select(e / 16u, e % COLUMNS, V_ALONG);
        let l = select(e % 16u, e / COLUMNS, V_ALONG);
        var value = 0.0;
        if (key + l < params.n && col + j < params.cols) {
            value = v[first + (key + l) * params.v_row + (col + j) * params.v_col];
        }
        tile[l * (COLUMNS + 1u) + j] = value;
    }
}

// The scores of a query and four keys; keys that are not there have the least.
fn scores(row: u32, key: u32, sums: vec4<f32>) -> vec4<f32> {
    let query = min(row, params.m - 1u);
    var found = vec4<f32>(from_bits(0xff800000u));
    for (var s = 0u; s < 4u; s = s + 1u) {
        if (key + 8u * s < params.n) {
            found[s] = score(query, key + 8u * s, sums[s]);
        }
    }
    return found;
}

fn largest_of(x: vec4<f32>) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

fn largest_cell(i: u32, before: f32) -> f32 {
    var largest = before;
    for (var j = 0u; j < 8u; j = j + 1u) {
        largest = max(largest, cells[i * 9u + j]);
    }
    return largest;
}

fn sum_of_cells(i: u32) -> f32 {
    var sum = 0.0;
    for (var j = 0u; j < 8u; j = j + 1u) {
        sum = sum + cells[i * 9u + j];
    }
    return sum;
}

// What is taken from scores: their largest, if any is more than minus infinity.
fn base_of(largest: f32) -> f32 {
    return select(largest, 0.0, bitcast<u32>(largest) == 0xff800000u);
}

fn weigh(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(exponential(x.x), exponential(x.y), exponential(x.z), exponential(x.w));
}

fn keep(i: u32, j: u32, x: vec4<f32>) {
    for (var s = 0u; s < 4u; s = s + 1u) {
        weights[i * 33u + j + 8u * s] = x[s];
    }
}

fn put(first: u32, row: u32, col: u32, values: vec4<f32>) {
    if (row >= params.m) {
        return;
    }
    for (var s = 0u; s < 4u; s = s + 1u) {
        let j = col + 8u * s;
        if (j < params.cols) {
            y[first + row * params.y_row + j] = values[s];
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = lane / 8u;
    let j = lane % 8u;
    let row = group.x * ROWS;
    let col = group.y * COLUMNS;
    for (var batch = group.z; batch < params.batches; batch = batch + groups.z) {
        let index = index_of(batch);
        let at = starts(index);
        open(index);
        BEGIN;
        for (var key = 0u; key < params.n; key = key + 32u) {
            SCORES;
            for (var k = 0u; k < params.k; k = k + 16u) {
                load_q(at.x, row, k, lane);
                load_k(at.y, key, k, lane);
                workgroupBarrier();
                for (var l = 0u; l < 16u; l = l + 1u) {
                    MULTIPLY;
                }
                workgroupBarrier();
            }
            LARGEST;
            workgroupBarrier();
            WEIGH;
            for (var h = 0u; h < 32u; h = h + 16u) {
                load_v(at.z, key + h, col, lane);
                workgroupBarrier();
                for (var l = 0u; l < 16u; l = l + 1u) {
                    ADD;
                }
                workgroupBarrier();
            }
        }
        SUMS;
        workgroupBarrier();
        PUT;
        workgroupBarrier();
    }
}
