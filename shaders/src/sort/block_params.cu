struct Params {
    // Lines, elements and pairs of a line, and elements between two of a line.
    u32 lines;
    u32 axis;
    u32 len;
    u32 inner;
    // Blocks of a line, and how many pairs each gives.
    u32 blocks;
    u32 keep;
    // How many pairs a line gives.
    u32 given;
    // The power of two that holds a block.
    u32 extent;
};
