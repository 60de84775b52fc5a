fn program(x0: i32) -> u32 {
    let r0: i32 = x0;
    let r1: i32 = 7i;
    let r2: i32 = extractBits(r0 * r1, 0u, 8u);
    let r3: u32 = ((u32(r2)) & 0xffu);
    return r3;
}
