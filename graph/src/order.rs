//! Orders of items, where several are equal too.

use std::cmp::Ordering;

use crate::bounds::{self, Exceeded};

/// The first `k` of `items` in order, each with its place. Of equal items the first are taken and keep their order; if `selects`,
/// they stand as [`select`] leaves them.
///
/// # Errors
/// If the thread has to stop.
pub fn first<T: Copy>(
    items: impl Iterator<Item = T>,
    k: usize,
    selects: bool,
    order: impl Fn(T, T) -> Ordering,
) -> Result<Vec<(usize, T)>, Exceeded> {
    let mut at: Vec<(usize, T)> = items.enumerate().collect();
    if selects {
        select(&mut at, k, |a, b| order(a.1, b.1))?;
    } else if k < at.len() {
        at.select_nth_unstable_by(k, |a, b| order(a.1, b.1).then(a.0.cmp(&b.0)));
        at.truncate(k);
        at.sort_unstable_by_key(|a| a.0);
    }
    at.truncate(k);
    sort(&mut at, |a, b| order(a.1, b.1))?;
    Ok(at)
}

/// Sorts `at`; equal elements keep their order. Pieces are sorted and then joined in pairs, so that it can stop between them.
///
/// # Errors
/// If the thread has to stop.
pub fn sort<T: Copy>(at: &mut [T], order: impl Fn(T, T) -> Ordering) -> Result<(), Exceeded> {
    let mut piece = 1 << 15;
    loop {
        for piece in at.chunks_mut(piece) {
            bounds::check()?;
            piece.sort_by(|&i, &j| order(i, j));
        }
        if piece >= at.len() {
            return Ok(());
        }
        piece *= 2;
    }
}

/// Exchanges `items` until place `nth` holds what it would hold if they were sorted, with nothing later in front of it. The exchanges
/// are those of the C++ library that MindSpore is built with: where several items are equal, they decide which of them are
/// selected and how they stand.
///
/// # Errors
/// If the thread has to stop.
#[expect(clippy::indexing_slicing, reason = "the first place is never behind the last, nor the last behind the end")]
pub fn select<T: Copy>(items: &mut [T], nth: usize, order: impl Fn(T, T) -> Ordering) -> Result<(), Exceeded> {
    let (mut first, mut last) = (0, items.len());
    if nth >= last {
        return Ok(());
    }
    let mut rounds = 2 * last.ilog2();
    while last - first > 3 && rounds > 0 {
        bounds::check()?;
        rounds -= 1;
        let cut = first + partition(&mut items[first..last], &order);
        if cut <= nth {
            first = cut;
        } else {
            last = cut;
        }
    }
    sort(&mut items[first..last], order)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn largest(row: &[i64], k: usize, selects: bool) -> Vec<usize> {
        let found = first(row.iter().copied(), k, selects, |a, b| b.cmp(&a)).unwrap();
        found.into_iter().map(|(i, _)| i).collect()
    }

    #[test]
    fn equal_elements_keep_their_order() {
        assert_eq!(largest(&[0, 1, 0, 1, 1, 2, 0, 2, 0, 0], 3, false), [5, 7, 1]);
        assert_eq!(largest(&[0, 1, 0, 1, 1, 2, 0, 2, 0, 0], 10, false), [5, 7, 1, 3, 4, 0, 2, 6, 8, 9]);
    }

    /// The positions are those that MindSpore 2.10 gives.
    #[test]
    fn equal_elements_are_selected_as_mindspore_does() {
        let ten = [0, 1, 0, 1, 1, 2, 0, 2, 0, 0];
        assert_eq!(largest(&ten, 3, true), [7, 5, 1]);
        assert_eq!(largest(&ten, 5, true), [7, 5, 1, 4, 3]);
        let sixteen = [0, 2, 1, 2, 2, 0, 1, 1, 1, 1, 0, 1, 0, 0, 1, 2];
        assert_eq!(largest(&sixteen, 8, true), [1, 15, 4, 3, 2, 14, 11, 9]);
        let seventeen = [0, 2, 0, 1, 1, 2, 0, 1, 1, 1, 0, 2, 0, 2, 2, 0, 2];
        assert_eq!(largest(&seventeen, 8, true), [1, 16, 14, 13, 11, 5, 9, 3]);
    }
}
