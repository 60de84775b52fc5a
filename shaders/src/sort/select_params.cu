struct Params {
    // Lines, elements of a line, and elements between two of a line.
    u32 lines;
    u32 axis;
    u32 inner;
    // Results of a line, fewer than elements.
    u32 given;
    // Exchanges go on so often before what is left is sorted.
    u32 rounds;
};
