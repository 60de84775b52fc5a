struct Params {
    // Lines, elements of a line, and elements between two of them.
    u32 lines;
    u32 len;
    u32 inner;
    // First elements of the operand and of the result.
    u32 x;
    u32 y;
};
