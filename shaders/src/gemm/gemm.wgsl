// Tiles, whose declarations stand in front of this text with A_ALONG_K and B_ALONG_K.

// Consecutive lanes walk along the dimension whose elements are neighbours.
fn load_a(first: u32, row: u32, k: u32, lane: u32) {
    for (var s = 0u; s < 2u * REPEAT; s = s + 1u) {
        let e = lane + 64u * s;
        let i = select(e % ROWS, e / 16u, A_ALONG_K);
        let l = select(e / ROWS, e % 16u, A_ALONG_K);
        var value = Number();
        if (row + i < params.m && k + l < params.k) {
            value = a_at(first + (row + i) * params.a_row + (k + l) * params.a_col);
        }
        tile_a[l * A_PITCH + i] = value;
    }
}

fn load_b(first: u32, k: u32, col: u32, lane: u32) {
    for (var s = 0u; s < 16u; s = s + 1u) {
        let e = lane + 64u * s;
        let j = select(e % 64u, e / 16u, B_ALONG_K);
        let l = select(e / 64u, e % 16u, B_ALONG_K);
        var value = Number();
        if (col + j < params.n && k + l < params.k) {
            value = b_at(first + (k + l) * params.b_row + (col + j) * params.b_col);
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
    let i = lane / 8u;
    let j = lane % 8u;
    let row = group.y * ROWS + i;
    let col = group.x * 64u + j;
    for (var batch = group.z; batch < params.batches; batch = batch + groups.z) {
        let at = starts(batch);
        SUMS;
        for (var k = 0u; k < params.k; k = k + 16u) {
            load_a(at.x, group.y * ROWS, k, lane);
            load_b(at.y, k, group.x * 64u, lane);
            workgroupBarrier();
            for (var l = 0u; l < 16u; l = l + 1u) {
                MULTIPLY;
            }
            workgroupBarrier();
        }
        PUT;
    }
}
