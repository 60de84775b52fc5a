struct Params {
    // Lines, elements of a line, and elements between two of them.
    u32 lines;
    u32 len;
    u32 inner;
    // First elements.
    u32 x_first;
    u32 y_first;
};

// Where step `step` of a line lies, from the first elements on.
inline u32 at(const Params& params, u32 line, u32 step) {
    u32 l = REVERSE ? params.len - 1 - step : step;
    return (line / params.inner * params.len + l) * params.inner + line % params.inner;
}
