// One invocation for each slice brings its list of updates in order, by merging runs of lengths that double.

struct Params {
    rows: u32,
    // Slices.
    cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> lists: array<u32>;
@group(0) @binding(2) var<storage, read_write> nexts: array<u32>;

// The list of the elements of both.
fn merge(first: u32, second: u32) -> u32 {
    var a = first;
    var b = second;
    var head = 0u;
    var tail = 0u;
    while (a != 0u || b != 0u) {
        let takes_a = b == 0u || (a != 0u && a < b);
        let taken = select(b, a, takes_a);
        let rest = nexts[taken - 1u];
        a = select(a, rest, takes_a);
        b = select(rest, b, takes_a);
        if (tail == 0u) {
            head = taken;
        } else {
            nexts[tail - 1u] = taken;
        }
        tail = taken;
    }
    return head;
}

fn element(row: u32, col: u32) {
    // Run i is empty or has 2^i elements.
    var runs: array<u32, 32>;
    var rest = lists[col];
    while (rest != 0u) {
        var run = rest;
        rest = nexts[run - 1u];
        nexts[run - 1u] = 0u;
        var i = 0u;
        while (runs[i] != 0u) {
            run = merge(runs[i], run);
            runs[i] = 0u;
            i = i + 1u;
        }
        runs[i] = run;
    }
    var all = 0u;
    for (var i = 0u; i < 32u; i = i + 1u) {
        all = merge(all, runs[i]);
    }
    lists[col] = all;
}
