// An invocation computes one element after the other: for integers of 64 bits, whose arithmetic is calls.

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let col = group.x * 64u + lane;
    if (col >= params.n) {
        return;
    }
    for (var batch = group.z; batch < params.batches; batch = batch + groups.z) {
        let first = starts(batch);
        for (var row = group.y * 8u; row < min(group.y * 8u + 8u, params.m); row = row + 1u) {
            let place = first.z + row * params.c_row + col;
            var sum = begin(place);
            for (var k = 0u; k < params.k; k = k + 1u) {
                let left = a_at(first.x + row * params.a_row + k * params.a_col);
                let right = b_at(first.y + k * params.b_row + col * params.b_col);
                sum = sum_wide(sum, product_wide(left, right));
            }
            y[params.c_first + place] = finish(sum, first.w + row, col, place);
        }
    }
}
