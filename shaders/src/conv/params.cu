struct Params {
    // Output pixels of all images and of one.
    u32 pixels;
    u32 size;
    // Output channels of a group, input channels of a group, kernel taps, groups.
    u32 group;
    u32 depth;
    u32 taps;
    u32 groups;
    // Input size, and output columns.
    u32 h;
    u32 w;
    u32 out_w;
    // Kernel columns.
    u32 kernel;
    // Rows and columns.
    u32 stride[2];
    u32 dilation[2];
    u32 pad[2];
    // Elements of the input between images, channels, rows and columns.
    u32 x_image;
    u32 x_channel;
    u32 x_row;
    u32 x_col;
    // Elements of the output between images, channels and pixels.
    u32 y_image;
    u32 y_channel;
    u32 y_pixel;
    // First elements of the input, the output, and the epilogue's operands.
    u32 x_first;
    u32 y_first;
    u32 gap[3];
    u32 firsts[32];
};
