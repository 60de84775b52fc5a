// A value and its position in the line.
struct Found {
    Number value;
    u32 place;
};

// The better of two, of which one may be before the other; of equals the earlier. What is no number is better than any.
inline Found better(Found a, Found b, bool a_before, bool b_before) {
    bool a_nan = fn::IsNan(a.value);
    bool b_nan = fn::IsNan(b.value);
    bool first = !b_nan && (a_nan || a_before);
    bool second = !a_nan && (b_nan || b_before);
    return second || (!first && b.place < a.place) ? b : a;
}
