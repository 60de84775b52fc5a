// Where an element of a line lies.
inline u32 element_at(const Params& params, u32 line, u32 place) {
    return (line / params.inner * params.axis + place) * params.inner + line % params.inner;
}

// Writes a result: the element, if VALUES says so, and its position.
inline void give(const Params& params, u32 line, u32 at, u32 place, const Element* x, Element* values, Position* positions) {
    u32 to = (line / params.inner * params.given + at) * params.inner + line % params.inner;
    if (VALUES) values[to] = x[element_at(params, line, place)];
    positions[to] = (Position)place;
}

