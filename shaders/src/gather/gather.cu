// A row is a slice, a column an element of it. ZEROS and the types Element and Index stand in front of this text.

struct Params {
    u32 rows;
    // Elements of a slice, at least 1 so that its index is looked at, and in truth.
    u32 cols;
    u32 inner;
    // Slices picked for each outer position, of `axis`, of which those from `start` to `end` are bound.
    u32 count;
    u32 axis;
    u32 start;
    u32 end;
    // Elements between outer positions.
    u32 x_outer;
    u32 index_outer;
    u32 y_outer;
    // First elements.
    u32 x_first;
    u32 index_first;
    u32 y_first;
};

static void element(const Params& params, u32 row, u32 col, const Element* x, const Index* indices, Element* y, Status* status) {
    u32 outer = row / params.count;
    u32 slice = row % params.count;
    i64 index = indices[params.index_first + outer * params.index_outer + slice];
    u32 picked = place(index, params.axis);
    bool outside = picked >= params.axis;
    if (outside && !ZEROS) refuse(status, index, params.axis);
    bool bound = picked >= params.start && picked < params.end && !outside;
    if (col < params.inner && (bound || (outside && params.start == 0))) {
        Element value = 0;
        if (bound) value = x[params.x_first + outer * params.x_outer + (picked - params.start) * params.inner + col];
        y[params.y_first + outer * params.y_outer + slice * params.inner + col] = value;
    }
}
