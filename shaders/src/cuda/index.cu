// What went wrong first: 1, the length of an axis, and an index that is outside of it.
struct Status {
    u32 found;
    u32 len;
    u32 index[2];
};

inline void refuse(Status* status, i64 index, u32 len) {
    if (atomicExch(&status->found, 1u) != 0) return;
    status->len = len;
    status->index[0] = (u32)(u64)index;
    status->index[1] = (u32)((u64)index >> 32);
}

// The place of an index on an axis of `len` elements, where negative ones count from the end; `len` if there is none.
inline u32 place(i64 index, u32 len) {
    i64 at = index < 0 ? index + len : index;
    return at >= 0 && at < len ? (u32)at : len;
}

