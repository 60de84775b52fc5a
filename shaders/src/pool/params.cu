struct Params {
    u32 rows;
    u32 cols;
    // Input and output sizes.
    u32 h;
    u32 w;
    u32 out_h;
    u32 out_w;
    // Rows and columns.
    u32 kernel[2];
    u32 stride[2];
    u32 dilation[2];
    // Padding in front, and where the padding at the end ends.
    u32 pad[2];
    u32 end[2];
    // Elements of the input between images or planes, rows and columns.
    u32 x_image;
    u32 x_row;
    u32 x_col;
    // First elements of the input and the output.
    u32 x_first;
    u32 y_first;
};
