// Writes the results of lines of which the first pairs and one more are in order. If some of these have equal keys, one
// invocation goes through the exchanges of the plain form instead (`select` in the graph's `order`), on the positions of all
// elements. The functions `key_at` and `give` and the buffers `keys`, `sorted` and `work` follow this text.

struct Params {
    // Lines, elements of a line, and elements between two of a line.
    lines: u32,
    axis: u32,
    inner: u32,
    // Results of a line, fewer than elements.
    given: u32,
    // Exchanges go on so often before what is left is sorted.
    rounds: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

var<workgroup> equals: atomic<u32>;

// Whether the element that position a of the list names comes before that of position b.
fn earlier(line: u32, a: u32, b: u32) -> bool {
    return before(key_at(line, work[a]), key_at(line, work[b]));
}

fn swap(a: u32, b: u32) {
    let kept = work[a];
    work[a] = work[b];
    work[b] = kept;
}

// Sorts a stretch of the list; equal elements keep their order. The other half of the line's memory is written.
fn sort(line: u32, first: u32, n: u32) {
    let aside = (line * 2u + 1u) * params.axis;
    for (var run = 1u; run < n; run = run << 1u) {
        for (var start = 0u; start < n; start = start + 2u * run) {
            let middle = min(start + run, n);
            let end = min(middle + run, n);
            var a = start;
            var b = middle;
            for (var to = start; to < end; to = to + 1u) {
                if (b >= end || (a < middle && !earlier(line, first + b, first + a))) {
                    work[aside + to] = work[first + a];
                    a = a + 1u;
                } else {
                    work[aside + to] = work[first + b];
                    b = b + 1u;
                }
            }
        }
        for (var i = 0u; i < n; i = i + 1u) {
            work[first + i] = work[aside + i];
        }
    }
}

// Divides a stretch of the list by the median of three of its elements; gives where the second half starts.
fn divide(line: u32, first: u32, n: u32) -> u32 {
    let a = first + 1u;
    let b = first + n / 2u;
    let c = first + n - 1u;
    let ab = earlier(line, a, b);
    let bc = earlier(line, b, c);
    let ac = earlier(line, a, c);
    var median = a;
    if (ab == bc) {
        median = b;
    } else if (ab == ac) {
        median = c;
    }
    swap(first, median);
    var low = 1u;
    var high = n;
    loop {
        while (low < n && earlier(line, first + low, first)) {
            low = low + 1u;
        }
        high = high - 1u;
        while (high > 0u && earlier(line, first, first + high)) {
            high = high - 1u;
        }
        if (low >= high) {
            return low;
        }
        swap(first + low, first + high);
        low = low + 1u;
    }
    return low;
}

fn selected(line: u32) {
    let base = line * 2u * params.axis;
    for (var i = 0u; i < params.axis; i = i + 1u) {
        work[base + i] = i;
    }
    var first = 0u;
    var last = params.axis;
    for (var round = 0u; last - first > 3u && round < params.rounds; round = round + 1u) {
        let cut = first + divide(line, base + first, last - first);
        if (cut <= params.given) {
            first = cut;
        } else {
            last = cut;
        }
    }
    sort(line, base + first, last - first);
    sort(line, base, params.given);
    for (var i = 0u; i < params.given; i = i + 1u) {
        give(line, i, work[base + i]);
    }
}

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
    if (lane == 0u) {
        atomicStore(&equals, 0u);
    }
    workgroupBarrier();
    let base = line * (params.given + 1u);
    for (var i = lane; i < params.given; i = i + 256u) {
        if (!before(keys[base + i], keys[base + i + 1u])) {
            atomicOr(&equals, 1u);
        }
    }
    workgroupBarrier();
    if (atomicLoad(&equals) == 0u) {
        for (var i = lane; i < params.given; i = i + 256u) {
            give(line, i, sorted[base + i]);
        }
    } else if (lane == 0u) {
        selected(line);
    }
}
