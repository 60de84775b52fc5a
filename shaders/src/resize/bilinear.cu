// The two elements around a position, and how far it is from the first towards the second. Where it lies on an element or beyond
// the last, both are one element and the part is a half: no weight is 0, so that infinities stay what they are.
struct Source {
    u32 first, second;
    Number part;
};

inline Source source(const Axis& axis, u32 i) {
    u64 product = ((u64)i * axis.step + axis.start) * axis.times;
    product = product > axis.shift ? product - axis.shift : 0;
    u64 whole = product / axis.parts;
    u64 over = product % axis.parts;
    u64 last = axis.size - 1;
    u64 next = whole + (over > 0 ? 1 : 0);
    Source at;
    at.first = (u32)(whole < last ? whole : last);
    at.second = (u32)(next < last ? next : last);
    at.part = at.first == at.second ? (Number)0.5 : (Number)over / (Number)axis.parts;
    return at;
}

inline Number between(Number a, Number b, Number part) { return a * ((Number)1 - part) + b * part; }

inline Element resized(const Params& params, const Element* x, u32 iy, u32 ix) {
    Source down = source(params.down, iy);
    Source along = source(params.along, ix);
    const Element* above = x + down.first * params.x_row;
    const Element* below = x + down.second * params.x_row;
    u32 left = along.first * params.x_col;
    u32 right = along.second * params.x_col;
    Number upper = between(load(above[left]), load(above[right]), along.part);
    Number lower = between(load(below[left]), load(below[right]), along.part);
    return store<Element>(between(upper, lower, down.part));
}
