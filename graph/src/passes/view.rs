use smallvec::SmallVec;

use crate::task::{Task, TaskGraph, TaskNode, V};
use crate::{Shape, Strides, count, dense_strides};

/// Some elements of a storage in an order: element `i` (a multi-index below `dims`) is at `offset + Σ i·strides`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub offset: usize,
    pub dims: Shape,
    pub strides: Strides,
}

/// One number for each dimension of a view.
type Digits = SmallVec<[i128; 6]>;

impl View {
    /// The operand that a copy reads, and what its dense result is a view of there. `None` if the task is no copy or does more
    /// than that.
    pub(super) fn of_copy(graph: &TaskGraph, node: &TaskNode) -> Option<(V, View)> {
        let Task::Copy(copy) = &node.task else { return None };
        let [part] = copy.parts.as_slice() else { return None };
        let elements = graph.fact(*node.outs.first()?).count();
        let whole = part.dst == dense_strides(&part.shape) && part.dst_offset == 0 && count(&part.shape) == elements;
        let view = View { offset: part.src_offset, dims: part.shape.clone(), strides: part.src.clone() };
        (whole && copy.fill.is_none()).then_some((*node.ins.get(part.input)?, view))
    }

    /// `self`, a view of the dense elements of `inner`, as a view of the storage of `inner`. `None` if no strides over
    /// `self.dims` give the same elements.
    ///
    /// Every step of `self` is taken apart into steps along the dimensions of `inner`. The sum of all steps must stay inside
    /// each of these dimensions for every index: then no step ever carries from one dimension into the next, and the place
    /// of an element is linear in its index.
    pub(super) fn through(&self, inner: &View) -> Option<View> {
        if self.dims.contains(&0) {
            return None;
        }
        let inner = inner.merged();
        let dense = dense_strides(&inner.dims);
        let start = digits(self.offset as i128, &dense);
        let (mut low, mut high) = (start.clone(), start.clone());
        let place = |steps: &Digits| steps.iter().zip(&inner.strides).map(|(&n, &s)| n * s as i128).sum::<i128>();
        let mut strides = Strides::new();
        for (&n, &step) in self.dims.iter().zip(&self.strides) {
            let reach = n as i128 - 1;
            let step = if reach == 0 { 0 } else { step as i128 };
            let steps = steps(step, reach, &inner.dims, &dense);
            for (by, (low, high)) in steps.iter().zip(low.iter_mut().zip(&mut high)) {
                *if *by < 0 { low } else { high } += by * reach;
            }
            strides.push(isize::try_from(place(&steps)).ok()?);
        }
        let mut ends = low.iter().zip(&high).zip(&inner.dims);
        let inside = ends.all(|((low, high), n)| *low >= 0 && *high < *n as i128);
        let offset = usize::try_from(inner.offset as i128 + place(&start)).ok()?;
        inside.then(|| View { offset, dims: self.dims.clone(), strides })
    }

    /// The same elements in the same order with as few dimensions as possible.
    fn merged(&self) -> View {
        let (mut dims, mut strides) = (Shape::new(), Strides::new());
        for (&n, &s) in self.dims.iter().zip(&self.strides).filter(|(n, _)| **n != 1) {
            match (dims.last_mut(), strides.last_mut()) {
                (Some(dim), Some(stride)) if *stride as i128 == s as i128 * n as i128 => {
                    (*dim, *stride) = (*dim * n, s)
                }
                _ => {
                    dims.push(n);
                    strides.push(s);
                }
            }
        }
        if dims.is_empty() {
            (dims, strides) = (Shape::from_slice(&[1]), Strides::from_slice(&[0]));
        }
        View { offset: self.offset, dims, strides }
    }
}

/// A number of elements as steps along dimensions with the strides `dense`, from the first on as many as fit.
fn digits(elements: i128, dense: &Strides) -> Digits {
    let mut rest = elements;
    let digit = |&s: &isize| {
        let n = rest / (s as i128).max(1);
        rest %= (s as i128).max(1);
        n
    };
    dense.iter().map(digit).collect()
}

/// A step of `step` elements as steps along dimensions: along one of them, if `reach` such steps fit it.
fn steps(step: i128, reach: i128, dims: &[usize], dense: &Strides) -> Digits {
    let whole = |dense: &isize| (step % *dense as i128 == 0).then(|| step / *dense as i128);
    let along = |(dense, n): (&isize, &usize)| whole(dense).filter(|by| (by * reach).abs() < *n as i128);
    let mut one = Digits::from_elem(0, dims.len());
    match dense.iter().zip(dims).map(along).zip(&mut one).find_map(|(by, digit)| Some((by?, digit))) {
        Some((by, digit)) => *digit = by,
        None => return digits(step, dense),
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape;

    fn view(offset: usize, dims: &[usize], strides: &[isize]) -> View {
        View { offset, dims: shape(dims), strides: Strides::from_slice(strides) }
    }

    /// Where the elements of a view are.
    fn places(v: &View) -> Vec<isize> {
        let dense = dense_strides(&v.dims);
        let place = |i: usize| {
            let steps = (0..v.dims.len()).map(|d| (i / dense[d] as usize % v.dims[d]) as isize * v.strides[d]);
            v.offset as isize + steps.sum::<isize>()
        };
        (0..count(&v.dims)).map(place).collect()
    }

    #[track_caller]
    fn composes(outer: &View, inner: &View, possible: bool) {
        let all = places(inner);
        let want: Vec<isize> = places(outer).into_iter().map(|i| all[i as usize]).collect();
        let found = outer.through(inner);
        assert_eq!(found.is_some(), possible, "{outer:?} of {inner:?}");
        if let Some(found) = found {
            assert_eq!(places(&found), want, "{outer:?} of {inner:?}");
        }
    }

    #[test]
    fn views_of_views() {
        let transposed = view(0, &[3, 2], &[1, 3]);
        composes(&view(0, &[2, 3], &[1, 2]), &transposed, true);
        composes(&view(1, &[3], &[2]), &transposed, true);
        composes(&view(5, &[2, 2], &[-2, -1]), &transposed, true);
        // Backwards over the end of a row.
        composes(&view(3, &[4], &[-1]), &transposed, false);
        composes(&view(0, &[6], &[1]), &transposed, false);
        // Along the diagonal.
        composes(&view(0, &[2], &[3]), &transposed, true);
        // Two steps along one dimension that leave it together.
        composes(&view(0, &[2, 2], &[1, 1]), &view(0, &[2, 2], &[1, 2]), false);
        // Repeated, and of dimensions that are one.
        composes(&view(0, &[4, 3], &[0, 1]), &view(2, &[3], &[-1]), true);
        composes(&view(0, &[6], &[1]), &view(0, &[1, 2, 1, 3], &[9, 6, 0, 2]), true);
        composes(&view(0, &[2, 2], &[2, 1]), &view(0, &[2, 2], &[0, 1]), true);
        composes(&view(0, &[2, 1], &[2, 7]), &view(0, &[4], &[3]), true);
    }
}
