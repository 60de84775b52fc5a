// A workgroup of 8 x 8 invocations computes a tile of 8·REPEAT rows and 64 columns, 16 steps of k at a time. The rows and
// columns of an invocation lie 8 apart, so that neighbours read and write neighbours. REPEAT is 1 or 8; it, A_ALONG_K and
// B_ALONG_K are declared in front of this text.

const ROWS: u32 = 8u * REPEAT;
const A_PITCH: u32 = ROWS + 1u;
const B_PITCH: u32 = 65u;

var<workgroup> tile_a: array<Element, 16u * A_PITCH>;
var<workgroup> tile_b: array<Element, 16u * B_PITCH>;

// Consecutive lanes walk along the dimension whose elements are neighbours.
fn load_a(first: u32, row: u32, k: u32, lane: u32) {
    for (var s = 0u; s < 2u * REPEAT; s = s + 1u) {
        let e = lane + 64u * s;
        let i = select(e % ROWS, e / 16u, A_ALONG_K);
        let l = select(e / ROWS, e % 16u, A_ALONG_K);
        var value = Element();
        if (row + i < params.m && k + l < params.k) {
            value = a[first + (row + i) * params.a_row + (k + l) * params.a_col];
        }
        tile_a[l * A_PITCH + i] = value;
    }
}

fn load_b(first: u32, k: u32, col: u32, lane: u32) {
    for (var s = 0u; s < 16u; s = s + 1u) {
        let e = lane + 64u * s;
        let j = select(e % 64u, e / 16u, B_ALONG_K);
        let l = select(e / 64u, e % 16u, B_ALONG_K);
        var value = Element();
        if (col + j < params.n && k + l < params.k) {
            value = b[first + (k + l) * params.b_row + (col + j) * params.b_col];
        }
        tile_b[l * B_PITCH + j] = value;
    }
}

fn put(first: vec4<u32>, row: u32, col: u32, sums: vec4<Number>) {
    if (row >= params.m) {
        return;
    }
    for (var s = 0u; s < 4u; s = s + 1u) {
        let j = col + 8u * s;
        if (j < params.n) {
            let place = first.z + row * params.c_row + j;
            y[params.c_first + place] = finish(begin(place) + sums[s], first.w + row, j, place);
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y * ROWS;
    let col = group.x * 64u;
    let i = lane / 8u;
    let j = lane % 8u;
    for (var batch = group.z; batch < params.batches; batch = batch + groups.z) {
        let first = starts(batch);
        var left_0 = vec4<Number>();
        var right_0 = vec4<Number>();
        var left_1 = vec4<Number>();
        var right_1 = vec4<Number>();
        var left_2 = vec4<Number>();
        var right_2 = vec4<Number>();
        var left_3 = vec4<Number>();
        var right_3 = vec4<Number>();
        var left_4 = vec4<Number>();
        var right_4 = vec4<Number>();
        var left_5 = vec4<Number>();
        var right_5 = vec4<Number>();
        var left_6 = vec4<Number>();
        var right_6 = vec4<Number>();
        var left_7 = vec4<Number>();
        var right_7 = vec4<Number>();
        for (var k = 0u; k < params.k; k = k + 16u) {
            load_a(first.x, row, k, lane);
            load_b(first.y, k, col, lane);
            workgroupBarrier();
            for (var l = 0u; l < 16u; l = l + 1u) {
                let p = l * A_PITCH + i;
                let q = l * B_PITCH + j;
                let b_0 = vec4<Number>(tile_b[q], tile_b[q + 8u], tile_b[q + 16u], tile_b[q + 24u]);
                let b_1 = vec4<Number>(tile_b[q + 32u], tile_b[q + 40u], tile_b[q + 48u], tile_b[q + 56u]);
                let a_0 = tile_a[p];
                left_0 = left_0 + a_0 * b_0;
                right_0 = right_0 + a_0 * b_1;
                if (REPEAT > 1u) {
                    let a_1 = tile_a[p + 8u];
                    left_1 = left_1 + a_1 * b_0;
                    right_1 = right_1 + a_1 * b_1;
                    let a_2 = tile_a[p + 16u];
                    left_2 = left_2 + a_2 * b_0;
                    right_2 = right_2 + a_2 * b_1;
                    let a_3 = tile_a[p + 24u];
                    left_3 = left_3 + a_3 * b_0;
                    right_3 = right_3 + a_3 * b_1;
                    let a_4 = tile_a[p + 32u];
                    left_4 = left_4 + a_4 * b_0;
                    right_4 = right_4 + a_4 * b_1;
                    let a_5 = tile_a[p + 40u];
                    left_5 = left_5 + a_5 * b_0;
                    right_5 = right_5 + a_5 * b_1;
                    let a_6 = tile_a[p + 48u];
                    left_6 = left_6 + a_6 * b_0;
                    right_6 = right_6 + a_6 * b_1;
                    let a_7 = tile_a[p + 56u];
                    left_7 = left_7 + a_7 * b_0;
                    right_7 = right_7 + a_7 * b_1;
                }
            }
            workgroupBarrier();
        }
        put(first, row + i, col + j, left_0);
        put(first, row + i, col + j + 32u, right_0);
        if (REPEAT > 1u) {
            put(first, row + i + 8u, col + j, left_1);
            put(first, row + i + 8u, col + j + 32u, right_1);
            put(first, row + i + 16u, col + j, left_2);
            put(first, row + i + 16u, col + j + 32u, right_2);
            put(first, row + i + 24u, col + j, left_3);
            put(first, row + i + 24u, col + j + 32u, right_3);
            put(first, row + i + 32u, col + j, left_4);
            put(first, row + i + 32u, col + j + 32u, right_4);
            put(first, row + i + 40u, col + j, left_5);
            put(first, row + i + 40u, col + j + 32u, right_5);
            put(first, row + i + 48u, col + j, left_6);
            put(first, row + i + 48u, col + j + 32u, right_6);
            put(first, row + i + 56u, col + j, left_7);
            put(first, row + i + 56u, col + j + 32u, right_7);
        }
    }
}
