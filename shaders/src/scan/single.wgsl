@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let line = (group.y * groups.x + group.x) * 64u + lane;
    if (line >= params.lines) {
        return;
    }
    var total = start();
    for (var step = 0u; step < params.len; step = step + 1u) {
        let place = at(line, step);
        let next = combine(total, load(x[params.x_first + place]));
        if (EXCLUSIVE) {
            y[params.y_first + place] = store(total);
        } else {
            y[params.y_first + place] = store(next);
        }
        total = next;
    }
}
