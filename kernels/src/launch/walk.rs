//! Walks over tensors that a launch may be unable to take as a whole.

use super::{Bound, Declined, Target, View, counted, declined, mib, small};
use crate::device::TaskView;

/// Most launches that a walk is parted into.
const MOST: usize = 4096;

/// A tensor of a walk: the element for multi-index `i` lies at `first + Σ i·strides`.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    pub(super) bound: Bound,
    /// Bytes of an element.
    pub(super) size: u64,
    /// Elements of the whole tensor.
    pub(super) count: usize,
    pub(super) first: usize,
    /// One stride per dimension.
    pub(super) strides: Vec<isize>,
}

/// All multi-indices below `dims`, with the tensors that they touch.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) dims: Vec<usize>,
    pub(super) tensors: Vec<Walked>,
    /// Most steps along each dimension in one launch; 0 for dimensions that are not parted.
    pub(super) most: Vec<usize>,
    /// Most dimensions longer than 1, among the first so many.
    pub(super) rank: (usize, usize),
}

/// A part of a walk that one launch takes.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Multi-index of its first step.
    pub(super) origin: Vec<usize>,
    pub(super) dims: Vec<usize>,
    /// What is bound of each tensor.
    pub(super) views: Vec<View>,
    /// The element of each view that the first step touches.
    pub(super) firsts: Vec<u32>,
}

impl Walk {
    /// The pieces in order: of two that touch the same element of a tensor, the one with lower indices comes first. Every step
    /// is in one of them. Tensors that can be bound whole are.
    pub(super) fn pieces(&self, on: &Target) -> Result<Vec<Piece>, Declined> {
        if self.dims.contains(&0) {
            return Ok(Vec::new());
        }
        self.tensors.iter().try_for_each(|t| t.covers(&self.dims))?;
        let mut pieces = Vec::new();
        let mut todo = vec![(vec![0; self.dims.len()], self.dims.clone())];
        while let Some((origin, dims)) = todo.pop() {
            match self.parted(&origin, &dims, on)? {
                None => pieces.push(self.piece(origin, dims, on)?),
                Some(d) => {
                    let half = dims[d] / 2;
                    let mut lower = (origin.clone(), dims.clone());
                    let mut upper = (origin, dims);
                    lower.1[d] = half;
                    upper.0[d] += half;
                    upper.1[d] -= half;
                    todo.extend([upper, lower]);
                }
            }
            if pieces.len() + todo.len() > MOST {
                return declined(format!("more than {MOST} launches"));
            }
        }
        Ok(pieces)
    }

    /// The dimension to halve, if a launch cannot take all.
    fn parted(&self, origin: &[usize], dims: &[usize], on: &Target) -> Result<Option<usize>, Declined> {
        let long = |d: &usize| self.most[*d] > 0 && dims[*d] > 1;
        if let Some(d) = (0..dims.len()).filter(long).find(|&d| dims[d] > self.most[d]) {
            return Ok(Some(d));
        }
        let (rank, outer) = self.rank;
        if dims[..outer].iter().filter(|&&n| n > 1).count() > rank
            && let Some(d) = (0..outer).filter(long).min_by_key(|&d| dims[d])
        {
            return Ok(Some(d));
        }
        for t in self.tensors.iter().filter(|t| !t.is_whole(on)) {
            let (start, end) = t.window(origin, dims, on);
            if end - start > on.limit(t.size) {
                let reach = |d: &usize| t.strides[*d].unsigned_abs().saturating_mul(dims[*d] - 1);
                let Some(d) = (0..dims.len()).filter(long).max_by_key(reach).filter(|d| reach(d) > 0) else {
                    let (bytes, most) = (mib(end - start), mib(on.limit(t.size)));
                    return declined(format!("binding of {bytes} exceeds the adapter's limit of {most}"));
                };
                return Ok(Some(d));
            }
        }
        Ok(None)
    }

    fn piece(&self, origin: Vec<usize>, dims: Vec<usize>, on: &Target) -> Result<Piece, Declined> {
        let (mut views, mut firsts) = (Vec::new(), Vec::new());
        for t in &self.tensors {
            let place = t.at(&origin);
            if t.is_whole(on) {
                views.push(View::from(t.bound));
                firsts.push(small(usize::try_from(place).unwrap_or(usize::MAX))?);
            } else {
                let (start, end) = t.window(&origin, &dims, on);
                views.push(View { of: t.bound, window: Some((start, end - start)) });
                firsts.push(small((place as u64 - start / t.size) as usize)?);
            }
        }
        Ok(Piece { origin, dims, views, firsts })
    }
}

impl Piece {
    /// The dimensions longer than 1; the last one if there is none.
    pub(super) fn long(&self) -> Vec<usize> {
        let long: Vec<usize> = (0..self.dims.len()).filter(|&d| self.dims[d] != 1).collect();
        if long.is_empty() { vec![self.dims.len() - 1] } else { long }
    }
}

impl Walked {
    /// An operand or result that is walked from its first element on.
    pub(super) fn of(view: TaskView<'_>, on: &Target, bound: Bound, strides: Vec<isize>) -> Result<Walked, Declined> {
        let Some(fact) = bound.fact(view) else { return declined(format!("{bound:?} is missing")) };
        Ok(Walked { bound, size: on.element(bound, fact.dtype), count: counted(&fact.shape)?, first: 0, strides })
    }

    pub(super) fn from(self, first: usize) -> Walked {
        Walked { first, ..self }
    }

    fn is_whole(&self, on: &Target) -> bool {
        (self.count as u64).saturating_mul(self.size) <= on.limit(self.size)
    }

    /// The element for the multi-index.
    fn at(&self, index: &[usize]) -> i128 {
        let steps = index.iter().zip(&self.strides).map(|(&i, &s)| i as i128 * s as i128);
        self.first as i128 + steps.sum::<i128>()
    }

    /// The lowest and the highest element that a block of steps touches.
    fn span(&self, origin: &[usize], dims: &[usize]) -> (i128, i128) {
        let (mut low, mut high) = (self.at(origin), self.at(origin));
        for (&n, &s) in dims.iter().zip(&self.strides) {
            let reach = (n as i128 - 1) * s as i128;
            if s < 0 { low += reach } else { high += reach }
        }
        (low, high)
    }

    /// Refuses walks that leave the tensor.
    fn covers(&self, dims: &[usize]) -> Result<(), Declined> {
        let (low, high) = self.span(&vec![0; dims.len()], dims);
        if low >= 0 && high < self.count as i128 {
            return Ok(());
        }
        declined(format!("{:?} has {} elements, and {low} to {high} are walked", self.bound, self.count))
    }

    /// First byte to bind for a block of steps, and the end of what they touch, in whole words.
    fn window(&self, origin: &[usize], dims: &[usize], on: &Target) -> (u64, u64) {
        let (low, high) = self.span(origin, dims);
        let bytes = |element: i128| u64::try_from(element.max(0) * self.size as i128).unwrap_or(u64::MAX);
        let alignment = on.limits.alignment.max(self.size);
        (bytes(low) / alignment * alignment, bytes(high + 1).next_multiple_of(4))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use mindir_graph::random::SplitMix;

    use super::*;
    use crate::launch::Limits;

    fn target(binding: u64) -> Target {
        Target { limits: Limits { binding, alignment: 16, ..Limits::default() }, ..Target::default() }
    }

    /// All multi-indices below `dims`.
    fn steps(dims: &[usize]) -> Vec<Vec<usize>> {
        dims.iter().fold(vec![Vec::new()], |all, &n| {
            let longer = |step: Vec<usize>| (0..n).map(move |i| step.iter().copied().chain([i]).collect());
            all.into_iter().flat_map(longer).collect()
        })
    }

    /// A walk with strides that look random: some repeat elements, some go backwards.
    fn random(random: &mut SplitMix) -> Walk {
        let rank = 1 + random.below(4) as usize;
        let dims: Vec<usize> = (0..rank).map(|_| 1 + random.below(7) as usize).collect();
        let tensor = |i: usize| {
            let strides: Vec<isize> = (0..rank).map(|_| random.below(40) as isize - 13).collect();
            let size = 4 << random.below(2);
            let mut t = Walked { bound: Bound::In(i), size, count: 0, first: 0, strides };
            let (low, high) = t.span(&vec![0; rank], &dims);
            t.first = (-low) as usize + random.below(5) as usize;
            t.count = t.first + high as usize + 1 + random.below(3) as usize;
            t
        };
        let tensors = (0..3).map(tensor).collect();
        let most = (0..rank).map(|_| [usize::MAX, 3, 1][random.below(3) as usize]).collect();
        Walk { dims, tensors, most, rank: (random.below(3) as usize + 1, rank) }
    }

    fn check(walk: &Walk, on: &Target) {
        let pieces = walk.pieces(on).expect("pieces");
        let mut seen = HashSet::new();
        for piece in &pieces {
            assert!(piece.dims.iter().zip(&walk.most).all(|(n, most)| n <= most), "{piece:?}");
            assert!(piece.dims.iter().filter(|n| **n > 1).count() <= walk.rank.0, "{piece:?}");
            for step in steps(&piece.dims) {
                let whole: Vec<usize> = step.iter().zip(&piece.origin).map(|(i, o)| i + o).collect();
                for ((t, view), &first) in walk.tensors.iter().zip(&piece.views).zip(&piece.firsts) {
                    let (start, bytes) = view.window.unwrap_or((0, t.count as u64 * t.size));
                    assert!(bytes <= on.limits.binding && start % on.limits.alignment == 0);
                    let within = t.at(&step) - t.first as i128 + i128::from(first);
                    assert_eq!(i128::from(start / t.size) + within, t.at(&whole), "{piece:?}");
                    assert!(within >= 0 && (within as u64 + 1) * t.size <= bytes, "{piece:?}");
                }
                assert!(seen.insert(whole), "{piece:?}");
            }
        }
        assert_eq!(seen.len(), walk.dims.iter().product::<usize>());
    }

    #[test]
    fn every_step_is_in_one_piece_and_what_it_touches_is_bound() {
        let mut numbers = SplitMix(1);
        let mut parted = 0;
        for _ in 0..300 {
            let walk = random(&mut numbers);
            for binding in [32, 100, 1 << 20] {
                check(&walk, &target(binding));
            }
            parted += usize::from(walk.pieces(&target(100)).expect("pieces").len() > 2);
        }
        assert!(parted > 200, "{parted}");
    }

    #[test]
    fn pieces_of_a_sum_come_in_order() {
        // A product of 9 x 20 with 20 x 9, whose third dimension is summed.
        let tensor =
            |bound, strides: [isize; 3], count| Walked { bound, size: 4, count, first: 0, strides: strides.into() };
        let tensors = vec![
            tensor(Bound::In(0), [20, 0, 1], 180),
            tensor(Bound::In(1), [0, 1, 9], 180),
            tensor(Bound::Out(0), [9, 1, 0], 81),
        ];
        let walk = Walk { dims: vec![9, 9, 20], tensors, most: vec![usize::MAX; 3], rank: (3, 3) };
        check(&walk, &target(200));
        let mut ends = vec![0; 81];
        for piece in walk.pieces(&target(200)).expect("pieces") {
            for step in steps(&piece.dims[..2]) {
                let end = &mut ends[(piece.origin[0] + step[0]) * 9 + piece.origin[1] + step[1]];
                assert_eq!(*end, piece.origin[2]);
                *end += piece.dims[2];
            }
        }
        assert!(ends.iter().all(|&end| end == 20));
    }

    #[test]
    fn walks_that_cannot_be_are_refused() {
        let walk = |first: usize, stride: isize, most: usize, n: usize| {
            let tensor = Walked { bound: Bound::In(0), size: 4, count: 100, first, strides: vec![stride] };
            Walk { dims: vec![n], tensors: vec![tensor], most: vec![most], rank: (1, 1) }.pieces(&target(64))
        };
        let reason = |of: Result<Vec<Piece>, Declined>| of.expect_err("a reason").0;
        assert_eq!(reason(walk(0, 1, usize::MAX, 101)), "In(0) has 100 elements, and 0 to 100 are walked");
        assert_eq!(reason(walk(3, -1, usize::MAX, 5)), "In(0) has 100 elements, and -1 to 3 are walked");
        assert_eq!(reason(walk(0, 1, 0, 100)), "binding of 400 bytes exceeds the adapter's limit of 64 bytes");
        assert!(walk(0, 1, usize::MAX, 0).expect("nothing to do").is_empty());
    }
}
