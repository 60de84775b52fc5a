// One invocation for each update finds the slice that it meets. REPLACES stands in front of this text, the indices and the
// function refuse behind it.

struct Params {
    rows: u32,
    // Updates, and coordinates of each.
    cols: u32,
    rank: u32,
    // Lengths of the dimensions that the coordinates address.
    axes: array<vec4<u32>, 8>,
}

@group(0) @binding(0) var<uniform> params: Params;
// For each slice the last update, or one of a list of updates; for each update the next one of its list. Counted from 1.
@group(0) @binding(2) var<storage, read_write> lists: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> nexts: array<u32>;

fn element(row: u32, col: u32) {
    var slice = 0u;
    for (var a = 0u; a < params.rank; a = a + 1u) {
        let len = params.axes[a / 4u][a % 4u];
        let index = index_at(col * params.rank + a);
        let i = place(index, len);
        if (i >= len) {
            refuse(index, len);
            return;
        }
        slice = slice * len + i;
    }
    if (REPLACES) {
        atomicMax(&lists[slice], col + 1u);
    } else {
        nexts[col] = atomicExchange(&lists[slice], col + 1u);
    }
}
