// Brings pairs that lie far apart in order: the first step of joining two sorted runs, which reads the second from its end, or a
// later one. The type Key with `before`, the buffers `keys` and `places`, and the walk over `element`s stand around this text.

struct Params {
    // Lines, and exchanges of a line.
    rows: u32,
    cols: u32,
    // Pairs of a line.
    len: u32,
    // Places between the two of an exchange, or places of two runs.
    step: u32,
    // Whether this is the first step.
    mirrored: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

fn element(row: u32, col: u32) {
    let start = col / params.step * params.step * 2u;
    let into = col % params.step;
    let last = start + params.step + select(into, params.step - 1u - into, params.mirrored != 0u);
    if (last >= params.len) {
        return;
    }
    let a = row * params.len + start + into;
    let b = row * params.len + last;
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
