//! Selection by exchanges, as the C++ library does it that MindSpore is built with: where several elements are equal, the
//! exchanges decide which of them are selected and how they stand.

use std::cmp::Ordering;

/// Exchanges `items` until place `nth` holds what it would hold if they were sorted, with nothing later in front of it.
#[expect(clippy::indexing_slicing, reason = "the first place is never behind the last, nor the last behind the end")]
pub(in crate::ops) fn select<T: Copy>(items: &mut [T], nth: usize, order: impl Fn(T, T) -> Ordering) {
    let (mut first, mut last) = (0, items.len());
    if nth >= last {
        return;
    }
    let mut rounds = 2 * last.ilog2();
    while last - first > 3 {
        if rounds == 0 {
            items[first..last].sort_by(|a, b| order(*a, *b));
            return;
        }
        rounds -= 1;
        let cut = first + partition(&mut items[first..last], &order);
        if cut <= nth {
            first = cut;
        } else {
            last = cut;
        }
    }
    items[first..last].sort_by(|a, b| order(*a, *b));
}

/// Divides four items or more by the median of three of them; returns where the second half starts, which is not 0.
#[expect(clippy::indexing_slicing, reason = "both places are compared with the ends before an item is read")]
fn partition<T: Copy>(items: &mut [T], order: &impl Fn(T, T) -> Ordering) -> usize {
    let before = |a: T, b: T| order(a, b) == Ordering::Less;
    let (a, b, c) = (1, items.len() / 2, items.len() - 1);
    let [x, y, z] = [items[a], items[b], items[c]];
    let median = match (before(x, y), before(y, z), before(x, z)) {
        (true, true, _) | (false, false, false) => b,
        (true, false, true) | (false, true, false) => c,
        (true, false, false) | (false, _, true) => a,
    };
    items.swap(0, median);
    let pivot = items[0];
    let (mut low, mut high) = (1, items.len());
    loop {
        while low < items.len() && before(items[low], pivot) {
            low += 1;
        }
        high -= 1;
        while high > 0 && before(pivot, items[high]) {
            high -= 1;
        }
        if low >= high {
            return low;
        }
        items.swap(low, high);
        low += 1;
    }
}
