use super::{Picture, Pixels};
use crate::OpError;

/// What a frame around a picture holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Border {
    /// One number per channel, or one for all.
    Constant(Vec<u8>),
    /// The outermost pixel, again and again.
    Edge,
    /// The picture mirrored at its outermost pixels, which are not repeated.
    Reflect,
    /// The picture mirrored at its edges.
    Symmetric,
}

/// Adds `[left, top, right, bottom]` pixels.
pub(super) fn pad(picture: &Picture, frame: [usize; 4], border: &Border) -> Result<Picture, OpError> {
    let [left, top, right, bottom] = frame;
    let sum = |a: usize, b: usize, c: usize| a.saturating_add(b).saturating_add(c);
    let (h, w) = (sum(top, picture.h, bottom), sum(left, picture.w, right));
    Picture::fits(h, w, picture.c)?;
    let place = |i: usize, before: usize, n: usize| inside(i as isize - before as isize, n as isize, border);
    if let Border::Constant(fill) = border {
        let fill = |k: usize| fill.get(if fill.len() == 1 { 0 } else { k }).copied().unwrap_or(0);
        let from = |y: usize, x: usize| Some((place(y, top, picture.h)?, place(x, left, picture.w)?));
        return Ok(filled(picture, h, w, from, fill));
    }
    // Every place is inside, for the other borders are made of the picture.
    let near = |i: usize, before: usize, n: usize| place(i, before, n).unwrap_or(0);
    Ok(picture.pick(h, w, |y, x, k| (near(y, top, picture.h), near(x, left, picture.w), k)))
}

/// Cuts `h × w` pixels from the middle of a picture that is surrounded by zeros where it is too small.
pub(super) fn center(picture: Picture, h: usize, w: usize) -> Result<Picture, OpError> {
    Picture::fits(h, w, picture.c)?;
    let missing = |wanted: usize, found: usize| wanted.saturating_sub(found);
    let (rows, columns) = (missing(h, picture.h), missing(w, picture.w));
    let frame = [columns / 2, rows / 2, columns - columns / 2, rows - rows / 2];
    let picture = if rows + columns > 0 { pad(&picture, frame, &Border::Constant(vec![0]))? } else { picture };
    picture.cut([(picture.h - h) / 2, (picture.w - w) / 2], [h, w])
}

/// The pixel of a row of `n` that stands at place `i`, which may be outside.
fn inside(i: isize, n: isize, border: &Border) -> Option<usize> {
    let (period, mirror) = match border {
        Border::Constant(_) => return (0..n).contains(&i).then_some(i as usize),
        Border::Edge => return Some(i.clamp(0, n - 1) as usize),
        Border::Reflect if n == 1 => return Some(0),
        Border::Reflect => (2 * n - 2, 2 * n - 2),
        Border::Symmetric => (2 * n, 2 * n - 1),
    };
    let i = i.rem_euclid(period);
    Some(if i < n { i } else { mirror - i } as usize)
}

#[expect(clippy::indexing_slicing, reason = "`from` gives rows and columns of the picture")]
fn filled(
    picture: &Picture,
    h: usize,
    w: usize,
    from: impl Fn(usize, usize) -> Option<(usize, usize)>,
    fill: impl Fn(usize) -> u8,
) -> Picture {
    let c = picture.c;
    let places = (0..h).flat_map(|y| (0..w).flat_map(move |x| (0..c).map(move |k| (y, x, k))));
    let at = |(y, x, k): (usize, usize, usize)| from(y, x).map(|(y, x)| (y * picture.w + x) * c + k).ok_or(fill(k));
    let pixels = match &picture.pixels {
        Pixels::Bytes(p) => Pixels::Bytes(places.map(|i| at(i).map_or_else(|fill| fill, |at| p[at])).collect()),
        Pixels::Floats(p) => Pixels::Floats(places.map(|i| at(i).map_or_else(f32::from, |at| p[at])).collect()),
    };
    Picture { h, w, c, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_made_of_the_row() {
        let row = |border: Border| (-4..7).map(|i| inside(i, 3, &border).unwrap()).collect::<Vec<_>>();
        assert_eq!(row(Border::Edge), [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2]);
        assert_eq!(row(Border::Reflect), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(row(Border::Symmetric), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(inside(3, 3, &Border::Constant(vec![0])), None);
    }
}
