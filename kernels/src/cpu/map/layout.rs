//! How the elements of a map are divided into blocks, and where each operand's elements of a block lie.

use mindir_graph::{Shape, Strides, broadcast_strides};
use smallvec::smallvec;

use super::code::BLOCK;

/// Innermost extents from which blocks do not reach beyond a row of the innermost dimension.
const LONG: usize = BLOCK / 2;

/// How an operand is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Element by element as the result.
    Dense,
    /// Every block reads the same elements.
    Fixed,
    /// Some strides are 0.
    Broadcast,
}

/// A shape with as few dimensions as the operands' strides allow.
#[derive(Clone, Debug)]
pub struct Layout {
    dims: Shape,
    strides: Vec<Strides>,
    access: Vec<Access>,
    /// Elements of a block; the last of a row, or of all, may be shorter.
    block: usize,
    /// Elements that blocks do not reach beyond: a row, or all.
    row: usize,
}

impl Layout {
    /// The layout of a result of `shape` computed from operands of the shapes `inputs`, in blocks of at most `most` elements;
    /// `None` if they do not broadcast or there are no elements.
    pub fn new<'a>(shape: &[usize], inputs: impl Iterator<Item = &'a [usize]>, most: usize) -> Option<Layout> {
        let strides = inputs.map(|i| broadcast_strides(i, shape)).collect::<Option<Vec<Strides>>>()?;
        let (dims, strides) = merge(shape, strides);
        let inner = *dims.last()?;
        let total: usize = dims.iter().product();
        if total == 0 {
            return None;
        }
        let long = dims.len() == 1 || inner >= LONG;
        let row = if long { inner } else { total };
        let block = if long { inner.div_ceil(inner.div_ceil(most)) } else { most / inner * inner };
        let block = if long { block.next_multiple_of(16).min(most) } else { block };
        let dense = mindir_graph::dense_strides(&dims);
        let access = |s: &Strides| {
            if s.iter().zip(&dense).zip(&dims).all(|((s, d), &n)| s == d || n == 1) {
                Access::Dense
            } else if s.iter().all(|&s| s == 0) || (!long && s[..s.len() - 1].iter().all(|&s| s == 0)) {
                Access::Fixed
            } else {
                Access::Broadcast
            }
        };
        let access = strides.iter().map(access).collect();
        Some(Layout { dims, strides, access, block, row })
    }

    /// How operand `i` is read.
    pub fn access(&self, i: usize) -> Access {
        self.access[i]
    }

    /// Whether every block reads one element of operand `i`.
    pub fn is_same(&self, i: usize) -> bool {
        let (last, strides) = (self.dims.len() - 1, &self.strides[i]);
        strides.iter().all(|&s| s == 0) || (strides[last] == 0 && self.row == self.dims[last])
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.dims.iter().product::<usize>() / self.row * self.row.div_ceil(self.block)
    }

    /// Elements of a block, the last ones excepted.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Elements of the longest block.
    pub fn longest(&self) -> usize {
        self.block.min(self.row)
    }

    /// First element and number of elements of block `b`.
    pub fn range(&self, b: usize) -> (usize, usize) {
        let per_row = self.row.div_ceil(self.block);
        let at = b % per_row * self.block;
        (b / per_row * self.row + at, self.block.min(self.row - at))
    }

    /// Calls `run(element of the operand, element of the block, length, repeated)` for every run of elements of operand `i`
    /// in the block of `n` elements from `start`: consecutive elements, or one repeated.
    pub fn runs(&self, i: usize, start: usize, n: usize, mut run: impl FnMut(usize, usize, usize, bool)) {
        let last = self.dims.len() - 1;
        let strides = &self.strides[i];
        let mut index: Shape = smallvec![0; self.dims.len()];
        let mut rest = start;
        for d in (0..=last).rev() {
            index[d] = rest % self.dims[d];
            rest /= self.dims[d];
        }
        let mut done = 0;
        while done < n {
            let from: isize = index.iter().zip(strides).map(|(&i, &s)| i as isize * s).sum();
            let length = (self.dims[last] - index[last]).min(n - done);
            run(from as usize, done, length, strides[last] == 0);
            done += length;
            index[last] = 0;
            for d in (0..last).rev() {
                index[d] += 1;
                if index[d] < self.dims[d] {
                    break;
                }
                index[d] = 0;
            }
        }
    }
}

/// Drops dimensions of 1 and merges those that every operand walks as one.
fn merge(shape: &[usize], strides: Vec<Strides>) -> (Shape, Vec<Strides>) {
    let mut dims: Shape = smallvec![];
    let mut out: Vec<Strides> = vec![smallvec![]; strides.len()];
    for d in 0..shape.len() {
        if shape[d] == 1 {
            continue;
        }
        let n = shape[d] as isize;
        let joins = !dims.is_empty() && strides.iter().zip(&out).all(|(s, o)| o.last() == Some(&(s[d] * n)));
        if joins {
            *dims.last_mut().unwrap_or(&mut 0) *= shape[d];
        } else {
            dims.push(shape[d]);
        }
        for (s, o) in strides.iter().zip(&mut out) {
            if joins {
                o.pop();
            }
            o.push(s[d]);
        }
    }
    if dims.is_empty() {
        dims.push(1);
        out.iter_mut().for_each(|o| o.push(0));
    }
    (dims, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(shape: &[usize], inputs: &[&[usize]]) -> Layout {
        Layout::new(shape, inputs.iter().copied(), BLOCK).unwrap()
    }

    #[test]
    fn dimensions_merge() {
        let l = layout(&[2, 3, 1, 4], &[&[2, 3, 1, 4], &[]]);
        assert_eq!(l.dims.as_slice(), [24]);
        assert_eq!((l.access(0), l.access(1)), (Access::Dense, Access::Fixed));
        let l = layout(&[2, 3, 4, 5], &[&[2, 3, 4, 5], &[3, 1, 1]]);
        assert_eq!(l.dims.as_slice(), [2, 3, 20]);
        assert_eq!(l.strides[1].as_slice(), [0, 1, 0]);
        assert_eq!(layout(&[1, 1], &[&[]]).dims.as_slice(), [1]);
        assert!(Layout::new(&[3], [&[2usize][..]].into_iter(), BLOCK).is_none());
    }

    #[test]
    fn blocks_cover_everything_once() {
        for shape in [&[5, 7][..], &[3, 300], &[2, 1000], &[4000], &[1], &[100, 3, 7]] {
            let columns = &shape[shape.len() - 1..];
            let l = layout(shape, &[shape, columns]);
            let mut next = 0;
            for b in 0..l.blocks() {
                let (start, n) = l.range(b);
                assert_eq!(start, next, "{shape:?}");
                assert!(n > 0 && n <= BLOCK, "{shape:?}");
                next += n;
                let inner = shape[shape.len() - 1];
                l.runs(1, start, n, |from, at, length, repeated| {
                    assert!(!repeated || inner == 1);
                    assert_eq!(from, (start + at) % inner, "{shape:?}");
                    assert!(from + length <= inner);
                });
            }
            assert_eq!(next, shape.iter().product::<usize>());
        }
    }
}
