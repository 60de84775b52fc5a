// How positions of the result map to positions of the operand along a dimension.
struct Axis {
    // Lengths of the operand and the result.
    u32 size;
    u32 out;
    // Exactly: position i lies at (i · step + start) · times / parts − shift / parts, but not below 0.
    u32 step;
    u32 start;
    u32 times;
    u32 parts;
    u32 shift;
    // In f32: (i + offset) · scale.
    f32 scale;
    f32 offset;
    u32 gap[3];
};

struct Params {
    u32 rows;
    u32 cols;
    // First elements.
    u32 x_first;
    u32 y_first;
    // Elements between images or planes, rows and columns of the operand.
    u32 x_image;
    u32 x_row;
    u32 x_col;
    u32 gap;
    Axis down;
    Axis along;
};

