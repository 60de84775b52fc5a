// A row is a slice, a column an element of it. REPLACES, the types Element and Number and their arithmetic stand in front of this
// text.

struct Params {
    u32 rows;
    u32 cols;
    // First elements of the operand and the result, and first slice.
    u32 x_first;
    u32 y_first;
    u32 first;
};

// The element of a column with the updates of its slice's list.
static void element(const Params& params, u32 row, u32 col, const Element* x, const Element* u, Element* y, const u32* lists,
                    const u32* nexts) {
    u32 at = row * params.cols + col;
    u32 list = lists[params.first + row];
    Element value = x[params.x_first + at];
    if (REPLACES) {
        if (list != 0) value = u[(list - 1) * params.cols + col];
    } else {
        Number sum = number(value);
        for (u32 update = list; update != 0; update = nexts[update - 1]) {
            sum = fn::Add(sum, number(u[(update - 1) * params.cols + col]));
        }
        value = element_of(sum);
    }
    y[params.y_first + at] = value;
}
