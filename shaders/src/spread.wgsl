// A workgroup covers WIDTH columns of 256 / WIDTH rows at a time, so that neighbours work on neighbouring columns; params have
// the numbers of rows and cols. The function element follows this text.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let height = 256u / WIDTH;
    for (var row = group.y * height + lane / WIDTH; row < params.rows; row = row + groups.y * height) {
        for (var col = group.x * WIDTH + lane % WIDTH; col < params.cols; col = col + groups.x * WIDTH) {
            element(row, col);
        }
    }
}
