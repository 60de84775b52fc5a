// What went wrong first: 1, the length of an axis, and an index that is outside of it.
struct Status {
    found: atomic<u32>,
    len: u32,
    index: vec2<u32>,
}

fn refuse(index: vec2<u32>, len: u32) {
    if (atomicExchange(&status.found, 1u) == 0u) {
        status.len = len;
        status.index = index;
    }
}
