// A workgroup brings a block of 1024 pairs of a line in order. MERGES says that the block is what exchanges have left of longer
// sorted runs, so that steps of the last round are enough. The type Key with `before`, and the functions `take` and `give` follow
// this text.

struct Params {
    // Lines, elements and pairs of a line, and elements between two of a line.
    lines: u32,
    axis: u32,
    len: u32,
    inner: u32,
    // Blocks of a line, and how many pairs each gives.
    blocks: u32,
    keep: u32,
    // How many pairs a line gives.
    given: u32,
    // The power of two that holds a block.
    extent: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

var<workgroup> keys: array<Key, 1024>;
var<workgroup> places: array<u32, 1024>;

// Brings two places of the block in order, of which the second may be behind its end.
fn order(a: u32, b: u32, count: u32) {
    if (b >= count) {
        return;
    }
    let first = keys[a];
    let second = keys[b];
    let p = places[a];
    let q = places[b];
    if (before(second, first) || (!before(first, second) && q < p)) {
        keys[a] = second;
        keys[b] = first;
        places[a] = q;
        places[b] = p;
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = group.y * groups.x + group.x;
    let line = at / params.blocks;
    if (line >= params.lines) {
        return;
    }
    let block = at % params.blocks;
    let first = block * 1024u;
    let count = min(params.len - first, 1024u);
    for (var i = lane; i < count; i = i + 256u) {
        take(line, first + i, i);
    }
    workgroupBarrier();
    for (var size = select(2u, params.extent, MERGES); size <= params.extent; size = size << 1u) {
        if (!MERGES) {
            // Of two sorted runs the second is read from its end.
            let half = size >> 1u;
            for (var i = lane; i < params.extent / 2u; i = i + 256u) {
                let run = i / half * size;
                order(run + i % half, run + size - 1u - i % half, count);
            }
            workgroupBarrier();
        }
        for (var step = select(size >> 2u, size >> 1u, MERGES); step > 0u; step = step >> 1u) {
            for (var i = lane; i < params.extent / 2u; i = i + 256u) {
                let a = i / step * step * 2u + i % step;
                order(a, a + step, count);
            }
            workgroupBarrier();
        }
    }
    for (var i = lane; i < min(count, params.keep); i = i + 256u) {
        let place = block * params.keep + i;
        if (place < params.given) {
            give(line, place, keys[i], places[i]);
        }
    }
}
