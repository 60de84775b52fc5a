// A workgroup takes 256 steps of its line at a time, and carries their total on.
var<workgroup> cells: array<Number, 256>;

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
    var carry = start();
    for (var first = 0u; first < params.len; first = first + 256u) {
        let step = first + lane;
        let place = at(line, min(step, params.len - 1u));
        var total = start();
        if (step < params.len) {
            total = load(x[params.x_first + place]);
        }
        cells[lane] = total;
        workgroupBarrier();
        // Each lane has the total of twice as many steps up to its own in every round.
        for (var reach = 1u; reach < 256u; reach = reach << 1u) {
            if (lane >= reach) {
                total = combine(cells[lane - reach], total);
            }
            workgroupBarrier();
            cells[lane] = total;
            workgroupBarrier();
        }
        if (EXCLUSIVE) {
            total = start();
            if (lane > 0u) {
                total = cells[lane - 1u];
            }
        }
        if (step < params.len) {
            y[params.y_first + place] = store(combine(carry, total));
        }
        carry = combine(carry, cells[255]);
        workgroupBarrier();
    }
}
