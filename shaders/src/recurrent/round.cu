// Rounds what steps have kept.

struct Params {
    u32 rows;
    u32 cols;
};

static void element(const Params&, u32, u32 col, const f32* kept, Element* y) { y[col] = store<Element>(kept[col]); }
