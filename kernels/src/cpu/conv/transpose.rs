//! Images from planes to pixels and back.

use super::super::gang::{Gang, Shared};

/// Pixels that one chunk rearranges.
const CHUNK: usize = 256;
/// Pixels or channels that are handled together, so that both sides use whole cache lines.
const TILE: usize = 16;

/// `[n, c, p]` to `[n, p, c]`.
pub fn to_pixels(from: &[f32], to: &mut [f32], [n, c, p]: [usize; 3], gang: &mut Gang) {
    transpose(from, to, [n, c, p], gang);
}

/// `[n, p, c]` to `[n, c, p]`.
pub fn to_planes(from: &[f32], to: &mut [f32], [n, c, p]: [usize; 3], gang: &mut Gang) {
    transpose(from, to, [n, p, c], gang);
}

/// `[n, rows, cols]` to `[n, cols, rows]`.
fn transpose(from: &[f32], to: &mut [f32], [n, rows, cols]: [usize; 3], gang: &mut Gang) {
    let (from, to) = (&from[..n * rows * cols], &mut to[..n * rows * cols]);
    let pieces = cols.div_ceil(CHUNK);
    let out = Shared::new(to.as_mut_ptr());
    gang.parallel(n * pieces, |chunk, _| {
        let (image, first) = (chunk / pieces, chunk % pieces * CHUNK);
        let last = (first + CHUNK).min(cols);
        // SAFETY: every chunk has its own rows of the result, inside it.
        let to = unsafe { out.slice((image * cols + first) * rows, (last - first) * rows) };
        piece(&from[image * rows * cols..][..rows * cols], to, rows, cols, first);
    });
}

/// Writes the columns of `from` (`rows × cols`) from `first` on as rows of `to`.
fn piece(from: &[f32], to: &mut [f32], rows: usize, cols: usize, first: usize) {
    let count = to.len() / rows;
    for r0 in (0..rows).step_by(TILE) {
        let r1 = (r0 + TILE).min(rows);
        for j0 in (0..count).step_by(TILE) {
            let j1 = (j0 + TILE).min(count);
            for j in j0..j1 {
                let to = &mut to[j * rows + r0..j * rows + r1];
                for (x, r) in to.iter_mut().zip(r0..r1) {
                    *x = from[r * cols + first + j];
                }
            }
        }
    }
}
