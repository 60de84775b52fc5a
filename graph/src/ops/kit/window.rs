//! Geometry of windows that slide over images: convolution and pooling.

use super::indices::size;
use crate::op_enum;
use crate::task::Layout;
use crate::{OpError, ensure};

op_enum! {
    /// How an image is padded before windows slide over it.
    PadMode {
        /// By given numbers.
        Pad = 0, "pad";
        /// So that there are `⌈size / stride⌉` windows; an odd element goes to the end.
        Same = 1, "same";
        /// Not at all.
        Valid = 2, "valid";
        /// As [`PadMode::Pad`].
        Calculated = 3, "calculated";
    }
}

op_enum! {
    /// Order of an image tensor's dimensions.
    Format {
        /// Channels before rows and columns.
        Nchw = 0, "nchw";
        /// Channels last.
        Nhwc = 1, "nhwc";
        /// Channels before depth, rows and columns.
        Ncdhw = 14, "ncdhw";
        /// Channels last, with depth.
        Ndhwc = 17, "ndhwc";
    }
}

impl Format {
    /// Index of the channel dimension of a tensor of `rank`, which is at least 2.
    pub(in crate::ops) fn channel(self, rank: usize) -> usize {
        if matches!(self, Format::Nhwc | Format::Ndhwc) { rank - 1 } else { 1 }
    }

    /// The order of a two-dimensional image batch.
    pub(in crate::ops) fn layout(self) -> Layout {
        if self.channel(4) == 1 { Layout::Nchw } else { Layout::Nhwc }
    }

    /// Index of the first spatial dimension.
    pub(in crate::ops) fn spatial(self) -> usize {
        if self.channel(4) == 1 { 2 } else { 1 }
    }
}

/// One window geometry along one dimension. Where its length is open, `size` and `out` are 0, and so are the pads that depend
/// on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Window {
    pub mode: PadMode,
    pub open: bool,
    pub size: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
    pub after: usize,
    pub out: usize,
}

impl Window {
    /// The windows over a dimension of `size` elements; `pads` count for [`PadMode::Pad`] only. With `ceil` the last window may
    /// reach beyond the padding, unless it starts in the padding at the end.
    fn new(
        ceil: bool,
        mode: PadMode,
        size: Option<usize>,
        [kernel, stride, dilation]: [usize; 3],
        pads: [usize; 2],
    ) -> Result<Window, OpError> {
        ensure!(
            kernel > 0 && stride > 0 && dilation > 0,
            "window of {kernel} with stride {stride}, dilation {dilation}"
        );
        let reach = (kernel - 1)
            .checked_mul(dilation)
            .and_then(|r| r.checked_add(1))
            .ok_or_else(|| OpError::Invalid(format!("window of {kernel} with dilation {dilation} is too large")))?;
        let [before, after] = match (mode, size) {
            (PadMode::Pad | PadMode::Calculated, _) => pads,
            (PadMode::Valid, _) => [0, 0],
            // As many windows as elements: the same pads whatever the length.
            (PadMode::Same, None) if stride == 1 => [(reach - 1) / 2, (reach - 1) - (reach - 1) / 2],
            (PadMode::Same, None) => [0, 0],
            (PadMode::Same, Some(size)) => {
                let last = size.div_ceil(stride).saturating_sub(1).saturating_mul(stride);
                let missing = last.saturating_add(reach).saturating_sub(size);
                [missing / 2, missing - missing / 2]
            }
        };
        let (open, size) = (size.is_none(), size.unwrap_or(0));
        let padded = size.saturating_add(before).saturating_add(after);
        let room = padded.saturating_add(stride);
        let fits = open || reach <= padded || (ceil && reach < room && padded > 0);
        ensure!(fits, "window of {reach} elements over {size} padded to {padded}");
        let mut out = match (open, ceil) {
            (true, _) => 0,
            (_, false) => (padded - reach) / stride + 1,
            (_, true) => (room - reach).div_ceil(stride),
        };
        if ceil && out > 0 && (out - 1) * stride >= size + before {
            out -= 1;
        }
        Ok(Window { mode, open, size, kernel, stride, dilation, before, after, out })
    }

    /// The windows over each of `N` dimensions. With `ceil` the last one of each may reach beyond the padding.
    pub fn over<const N: usize>(
        ceil: bool,
        mode: PadMode,
        sizes: [Option<usize>; N],
        kernel: [usize; N],
        stride: [usize; N],
        dilation: [usize; N],
        pads: [[usize; 2]; N],
    ) -> Result<[Window; N], OpError> {
        let mut out = [Window::one(); N];
        let steps = kernel.into_iter().zip(stride).zip(dilation).zip(pads);
        for ((window, size), (((kernel, stride), dilation), pads)) in out.iter_mut().zip(sizes).zip(steps) {
            *window = Window::new(ceil, mode, size, [kernel, stride, dilation], pads)?;
        }
        Ok(out)
    }

    /// Whether the pads depend on a length that is open.
    pub fn floats(&self) -> bool {
        self.open && self.mode == PadMode::Same && self.stride > 1
    }

    /// Whether every element is a window of its own.
    pub fn is_each(&self) -> bool {
        (self.kernel, self.stride, self.before, self.after) == (1, 1, 0, 0)
    }

    /// Number of elements from the first tap to the last.
    pub fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// One element.
    pub fn one() -> Window {
        Window {
            mode: PadMode::Valid,
            open: false,
            size: 1,
            kernel: 1,
            stride: 1,
            dilation: 1,
            before: 0,
            after: 0,
            out: 1,
        }
    }

    /// Position of tap `tap` of window `out`, if it is not padding.
    pub fn at(&self, out: usize, tap: usize) -> Option<usize> {
        let p = (out * self.stride + tap * self.dilation).checked_sub(self.before)?;
        (p < self.size).then_some(p)
    }

    /// The positions of window `out` that are not padding.
    pub fn inside(&self, out: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.kernel).filter_map(move |tap| self.at(out, tap))
    }

    /// The windows whose position `tap` is not padding.
    pub fn reading(&self, tap: usize) -> std::ops::Range<usize> {
        let real = |o: &usize| self.at(*o, tap).is_some();
        let start = (0..self.out).find(real).unwrap_or(self.out);
        let end = (start..self.out).find(|o| !real(o)).unwrap_or(self.out);
        start..end
    }

    /// Number of positions of window `out` in the padded dimension.
    pub fn padded(&self, out: usize) -> usize {
        let end = self.size + self.before + self.after;
        (0..self.kernel).filter(|tap| out * self.stride + tap * self.dilation < end).count()
    }
}

/// Elements before and after a dimension of `size` elements that give `⌈size / stride⌉` windows, as mode `same` pads.
///
/// # Errors
/// [`OpError::Invalid`] if a number is zero or the window is too large.
pub fn same_padding(size: usize, kernel: usize, stride: usize, dilation: usize) -> Result<[usize; 2], OpError> {
    let window = Window::new(false, PadMode::Same, Some(size), [kernel, stride, dilation], [0, 0])?;
    Ok([window.before, window.after])
}

/// One positive number for each of `N` spatial dimensions, from one for all, `N`, or `N + 2` with those of the batch and
/// channel dimensions.
pub(in crate::ops) fn spatial<const N: usize>(
    values: &[i64],
    format: Format,
    what: &str,
) -> Result<[usize; N], OpError> {
    let inner = match values {
        [_, inner @ .., 1] if format.spatial() == 1 && inner.len() == N => inner,
        [_, _, inner @ ..] if inner.len() == N => inner,
        all => all,
    };
    let wrong = || OpError::Invalid(format!("{what}: expected 1, {N} or {} numbers, found {}", N + 2, values.len()));
    let picked = if let [one] = inner { [*one; N] } else { inner.try_into().map_err(|_| wrong())? };
    let mut out = [0; N];
    for (o, v) in out.iter_mut().zip(picked) {
        *o = size(v, what)?;
        ensure!(*o > 0, "{what}: expected positive numbers, found {values:?}");
    }
    Ok(out)
}

/// Padding before and after each of `N` dimensions from one number for all, one for each, or two for each.
pub(in crate::ops) fn pads<const N: usize>(values: &[i64], what: &str) -> Result<[[usize; 2]; N], OpError> {
    let wrong = || OpError::Invalid(format!("{what}: expected 1, {N} or {} numbers, found {}", 2 * N, values.len()));
    let pairs: [[i64; 2]; N] = match (values, values.as_chunks()) {
        ([], _) => [[0; 2]; N],
        ([one], _) => [[*one; 2]; N],
        (each, _) if each.len() == N => <[i64; N]>::try_from(each).map_err(|_| wrong())?.map(|p| [p; 2]),
        (_, (pairs, [])) => pairs.try_into().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let mut out = [[0; 2]; N];
    for (o, [before, after]) in out.iter_mut().zip(pairs) {
        *o = [size(before, what)?, size(after, what)?];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_element_last() {
        let new = |mode, size, steps, pads| Window::new(false, mode, Some(size), steps, pads);
        let w = new(PadMode::Same, 4, [3, 2, 1], [9, 9]).unwrap();
        assert_eq!((w.before, w.after, w.out), (0, 1, 2));
        let w = new(PadMode::Same, 5, [3, 2, 1], [0, 0]).unwrap();
        assert_eq!((w.before, w.after, w.out), (1, 1, 3));
        assert!(new(PadMode::Valid, 2, [3, 1, 1], [0, 0]).is_err());
        assert!(new(PadMode::Valid, 2, [usize::MAX, 1, 3], [0, 0]).is_err());
    }

    #[test]
    fn rounding_up_starts_inside() {
        let new = |ceil, size, kernel, pads| Window::new(ceil, PadMode::Pad, Some(size), [kernel, 2, 1], pads);
        let out = |size, kernel, pads| new(true, size, kernel, pads).unwrap().out;
        assert_eq!(new(false, 5, 2, [0, 0]).unwrap().out, 2);
        assert_eq!((out(5, 2, [0, 0]), out(3, 2, [1, 1]), out(3, 4, [0, 0])), (3, 2, 1));
        assert!(new(true, 3, 5, [0, 0]).is_err());
    }
}
