struct Params {
    u32 rows;
    u32 cols;
    // Output channels of all groups and of one, input channels of a group.
    u32 channels;
    u32 group;
    u32 depth;
    // Input and output sizes.
    u32 h;
    u32 w;
    u32 out_h;
    u32 out_w;
    // First element of the input.
    u32 x_first;
    // Rows and columns.
    u32 kernel[2];
    u32 stride[2];
    u32 dilation[2];
    u32 pad[2];
    // Elements of the input between images, channels, rows and columns.
    u32 x_image;
    u32 x_channel;
    u32 x_row;
    u32 x_col;
    // First element of the output, and of the epilogue's operands.
    u32 y_first;
    u32 gap;
    u32 firsts[32];
};
