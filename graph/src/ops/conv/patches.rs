use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule, ints};
use crate::ops::kit::grid::{picked, placed, rearrange, strides};
use crate::ops::kit::indices::flat;
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::ops::linear::product::reshaped;
use crate::task::{Lowering, Part, V};
use crate::{DType, Fact, OpError, Tensor, checked_count, ensure, op};

/// The elements of every window of an image: `taps[n, c, ky, kx, oy, ox]`.
pub(in crate::ops) struct Patches<'a> {
    pub x: &'a Operand,
    pub h: Window,
    pub w: Window,
}

impl Patches<'_> {
    /// Dimensions `[n, c, ky, kx, oy, ox]`.
    fn dims(&self) -> Result<[usize; 6], OpError> {
        let [n, c, ..] = self.x.fact.ranked::<4>()?;
        let dims = [n, c, self.h.kernel, self.w.kernel, self.h.out, self.w.out];
        ensure!(checked_count(&dims).is_some(), "the result {dims:?} is too large");
        Ok(dims)
    }

    /// The place `[n, c, y, x]` in the operand of the element at `[n, c, ky, kx, oy, ox]`; none in the padding.
    pub fn source(&self, [n, c, ky, kx, oy, ox]: [usize; 6]) -> Option<[usize; 4]> {
        Some([n, c, self.h.at(oy, ky)?, self.w.at(ox, kx)?])
    }

    /// The elements as a tensor whose dimension `i` is dimension `order[i]` of `[n, c, ky, kx, oy, ox]`. Value `x.v` may still have
    /// other dimensions than `x`; it is reshaped.
    pub fn lower(&self, b: &mut Lowering, order: [usize; 6]) -> Result<V, OpError> {
        let dims = self.dims()?;
        let ordered = picked(order, dims);
        if checked_count(&dims) == Some(0) || self.x.count() == 0 {
            return Ok(b.constant(Tensor::zeros(self.x.dtype(), &ordered)?));
        }
        let x = b.reshape(self.x.v, self.x.shape())?;
        let (src, dst) = (strides(self.x.fact.ranked::<4>()?), placed(order, strides(ordered)));
        let mut parts = Vec::new();
        for ky in 0..self.h.kernel {
            for kx in 0..self.w.kernel {
                let (rows, cols) = (self.h.reading(ky), self.w.reading(kx));
                if rows.is_empty() || cols.is_empty() {
                    continue;
                }
                let (row, col) = (self.h.at(rows.start, ky).unwrap_or(0), self.w.at(cols.start, kx).unwrap_or(0));
                let at = ky as isize * dst[2]
                    + kx as isize * dst[3]
                    + rows.start as isize * dst[4]
                    + cols.start as isize * dst[5];
                let steps = [src[0], src[1], src[2] * self.h.stride as isize, src[3] * self.w.stride as isize];
                parts.push(Part {
                    input: 0,
                    shape: [dims[0], dims[1], rows.len(), cols.len()].into_iter().collect(),
                    src_offset: row * src[2] as usize + col * src[3] as usize,
                    src: steps.into_iter().collect(),
                    dst_offset: at as usize,
                    dst: [dst[0], dst[1], dst[4], dst[5]].into_iter().collect(),
                });
            }
        }
        let dtype = self.x.dtype();
        Ok(b.copy(&[x], parts, Some(vec![0; dtype.size()]), Fact::new(dtype, &ordered)))
    }
}

/// The elements of every window of an image batch: the dimensions `[n, c, ky, kx, oy, ox]` in another order, with neighbours
/// merged.
struct Columns {
    /// The images, `[n, c, h, w]`.
    x: Operand,
    windows: [Window; 2],
    order: [usize; 6],
    dims: Vec<usize>,
}

impl Columns {
    /// Windows with the given geometry; `merged` makes the result's dimensions of the ordered ones.
    fn new(
        x: Operand,
        mode: PadMode,
        [kernel, stride, dilation]: [(&str, &Ints); 3],
        (pads_name, padding): (&str, &[i64]),
        order: [usize; 6],
        merged: impl FnOnce([usize; 6]) -> Vec<usize>,
    ) -> Result<Columns, OpError> {
        let [kernel, stride, dilation] = [kernel, stride, dilation].map(|(name, v)| spatial(v, Format::Nchw, name));
        let (kernel, stride, dilation, pads) = (kernel?, stride?, dilation?, pads(padding, pads_name)?);
        let [_, _, h, w] = x.fact.ranked()?;
        let windows = Window::over(false, mode, [Some(h), Some(w)], kernel, stride, dilation, pads)?;
        let dims = Patches { x: &x, h: windows[0], w: windows[1] }.dims()?;
        Ok(Columns { dims: merged(picked(order, dims)), x, windows, order })
    }

    fn patches(&self) -> Patches<'_> {
        Patches { x: &self.x, h: self.windows[0], w: self.windows[1] }
    }
}

impl Rule for Columns {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(self.x.dtype(), &self.dims)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let patches = self.patches();
        let y = rearrange(self.x.tensor()?, picked(self.order, patches.dims()?), |i| {
            Some(flat(self.x.shape(), &patches.source(placed(self.order, i))?))
        })?;
        Ok(vec![y.reshape(&self.dims)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let y = self.patches().lower(b, self.order)?;
        Ok(Some(vec![b.reshape(y, &self.dims)?]))
    }
}

op! {
    /// The elements of every window of an image batch `[n, c, h, w]`, as `[n, c, kh · kw, windows]`. Any type.
    ///
    /// `pads` holds the zeros on both sides of rows and columns, or top, bottom, left, right; they count for `padding_mode`
    /// `CALCULATED`. `SAME` gives `⌈size / stride⌉` windows, `VALID` pads nothing.
    classic Im2Col {
        x: Operand,
        ksizes: Ints as Spatial(2),
        strides: Ints as Spatial(2) = ints(&[1]),
        dilations: Ints as Spatial(2) = ints(&[1]),
        padding_mode: PadMode = PadMode::Calculated,
        pads: Ints as Spatial(2) = ints(&[0]),
    }
}

impl Operator for Im2Col {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let geometry = [("ksizes", &self.ksizes), ("strides", &self.strides), ("dilations", &self.dilations)];
        let merged = |[n, c, kh, kw, oh, ow]: [usize; 6]| vec![n, c, kh * kw, oh * ow];
        Columns::new(self.x.clone(), self.padding_mode, geometry, ("pads", &self.pads), [0, 1, 2, 3, 4, 5], merged)
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 3, 5, 4]);
        vec![
            x.clone().ints(&[2, 3]).ints(&[2, 1]).ints(&[1, 1]).text("CALCULATED").ints(&[1, 2]).exact("padding"),
            x.ints(&[2, 2]).ints(&[1, 1]).ints(&[2, 2]).exact("dilation"),
        ]
    }
}

op! {
    /// The elements of every window of an image batch, as `[n, c · kh · kw, windows]`: `Im2Col` with PyTorch's arguments. One
    /// image `[c, h, w]` gives `[c · kh · kw, windows]`. Any type.
    Im2ColExt {
        input: Operand,
        kernel_size: Ints,
        dilation: Ints = ints(&[1]),
        padding: Ints = ints(&[0]),
        stride: Ints = ints(&[1]),
    }
}

impl Operator for Im2ColExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let geometry = [("kernel_size", &self.kernel_size), ("stride", &self.stride), ("dilation", &self.dilation)];
        let (single, mut dims) = (self.input.rank() == 3, self.input.fact.shape.clone());
        if single {
            dims.insert(0, 1);
        }
        let merged = |[n, c, kh, kw, oh, ow]: [usize; 6]| {
            let (columns, places) = (c * kh * kw, oh * ow);
            if single { vec![columns, places] } else { vec![n, columns, places] }
        };
        let x = reshaped(&self.input, self.input.v, &dims)?;
        Columns::new(x, PadMode::Pad, geometry, ("padding", &self.padding), [0, 1, 2, 3, 4, 5], merged)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3, 5, 4]).ints(&[3, 2]).ints(&[1]).ints(&[1]).ints(&[2]).exact("images"),
            sample().tensor(DType::F32, &[2, 4, 4]).ints(&[2]).exact("one image"),
        ]
    }
}

op! {
    /// The elements of every window of an image batch `[n, c, h, w]` as channels: `[n, kh · kw · c, oh, ow]`, for `ksizes`,
    /// `strides` and `rates` (the steps within a window). Any type.
    ExtractImagePatches {
        input_x ["x"]: Operand,
        ksizes: Ints,
        strides: Ints,
        rates: Ints,
        padding: PadMode = PadMode::Valid,
    }
}

impl Operator for ExtractImagePatches {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(matches!(self.padding, PadMode::Same | PadMode::Valid), "expected padding same or valid");
        let geometry = [("ksizes", &self.ksizes), ("strides", &self.strides), ("rates", &self.rates)];
        let merged = |[n, kh, kw, c, oh, ow]: [usize; 6]| vec![n, kh * kw * c, oh, ow];
        Columns::new(self.input_x.clone(), self.padding, geometry, ("padding", &[]), [0, 2, 3, 1, 4, 5], merged)
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 3, 6, 5]).ints(&[3, 2]).ints(&[2, 1]).ints(&[1, 2]);
        vec![x.clone().text("valid").exact("valid"), x.text("same").exact("same")]
    }
}
