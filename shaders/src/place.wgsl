// The place of an index on an axis of `len` elements, where negative ones count from the end; `len` or more if there is none.
fn place(index: vec2<u32>, len: u32) -> u32 {
    let inside = index.y == 0u && index.x < len;
    let before = index.y == 0xffffffffu && index.x + len < len;
    return select(select(len, index.x + len, before), index.x, inside);
}
