/// Extents with one list of strides per tensor, with as few dimensions as describe the same walk; at least one.
pub(super) struct Block {
    pub(super) dims: Vec<usize>,
    /// Per tensor, one stride per dimension.
    pub(super) strides: Vec<Vec<isize>>,
}

impl Block {
    /// Merges neighbouring dimensions that every tensor walks as one, and drops those of extent 1.
    pub(super) fn new(dims: &[usize], strides: &[&[isize]]) -> Block {
        let mut merged = Block { dims: Vec::new(), strides: vec![Vec::new(); strides.len()] };
        for (d, &extent) in dims.iter().enumerate() {
            if extent != 1 {
                let steps: Vec<isize> = strides.iter().map(|s| s.get(d).copied().unwrap_or(0)).collect();
                merged.push(extent, &steps);
            }
        }
        if merged.dims.is_empty() {
            merged.push(1, &vec![0; strides.len()]);
        }
        merged
    }

    fn push(&mut self, extent: usize, steps: &[isize]) {
        let joins = |(s, &step): (&Vec<isize>, &isize)| s.last() == Some(&step.saturating_mul(extent as isize));
        if !self.dims.is_empty() && self.strides.iter().zip(steps).all(joins) {
            if let Some(last) = self.dims.last_mut() {
                *last *= extent;
            }
            for (s, &step) in self.strides.iter_mut().zip(steps) {
                s.pop();
                s.push(step);
            }
            return;
        }
        self.dims.push(extent);
        for (s, &step) in self.strides.iter_mut().zip(steps) {
            s.push(step);
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.dims.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_merge_where_every_tensor_allows() {
        let b = Block::new(&[2, 3, 1, 4], &[&[12, 4, 4, 1], &[0, 0, 0, 0]]);
        assert_eq!((b.dims, b.strides), (vec![24], vec![vec![1], vec![0]]));
        let b = Block::new(&[2, 3, 4], &[&[12, 4, 1], &[4, 0, 1]]);
        assert_eq!((b.dims, b.strides), (vec![2, 3, 4], vec![vec![12, 4, 1], vec![4, 0, 1]]));
        let b = Block::new(&[], &[&[]]);
        assert_eq!((b.dims, b.strides), (vec![1], vec![vec![0]]));
    }
}
