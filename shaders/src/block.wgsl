// What the 256 invocations of a workgroup find out together; each of them calls these functions.

var<workgroup> cells: array<f32, 256>;

fn group_max(lane: u32, value: f32) -> f32 {
    cells[lane] = value;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half >> 1u) {
        if (lane < half) {
            cells[lane] = max(cells[lane], cells[lane + half]);
        }
        workgroupBarrier();
    }
    let result = cells[0];
    workgroupBarrier();
    return result;
}

fn group_sum(lane: u32, value: f32) -> f32 {
    cells[lane] = value;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half >> 1u) {
        if (lane < half) {
            cells[lane] = cells[lane] + cells[lane + half];
        }
        workgroupBarrier();
    }
    let result = cells[0];
    workgroupBarrier();
    return result;
}
