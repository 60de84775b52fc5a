use super::walk::{Piece, Walk, Walked};
use super::{Bound, Declined, Target};
use crate::device::TaskView;

/// What a part of the work binds of a tensor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Share {
    /// All of it.
    All,
    /// So many elements for each step, in order.
    Each(usize),
}

/// Parts of `steps` steps that bind no more than `on` can; [`Piece::dims`] starts with the number of steps.
pub(super) fn parts(
    steps: usize,
    tensors: &[(Bound, Share)],
    view: TaskView<'_>,
    on: &Target,
) -> Result<Vec<Piece>, Declined> {
    let mut walk = Walk { dims: vec![steps], tensors: Vec::new(), most: vec![0; tensors.len() + 1], rank: (1, 1) };
    walk.most[0] = usize::MAX;
    for (i, &(bound, share)) in tensors.iter().enumerate() {
        let mut walked = Walked::of(view, on, bound, vec![0; tensors.len() + 1])?;
        let (step, extent) = match share {
            Share::All => (0, walked.count),
            Share::Each(n) => (n, n),
        };
        if extent == 0 {
            // Nothing of it is touched.
            walked.count = 1;
        } else {
            walked.strides[0] = step as isize;
            walked.strides[i + 1] = 1;
        }
        walk.dims.push(extent.max(1));
        walk.tensors.push(walked);
    }
    walk.pieces(on)
}
