use crate::op::{Case, Ints, Operand, Rule, ints};
use crate::ops::kit::indices::{flat, rearrange};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::task::{Lowering, Part, V};
use crate::{DType, Fact, OpError, Tensor, checked_count, dense_strides, ensure, op};

/// The windows of an image batch `[n, c, h, w]`.
fn image<'a>(
    x: &'a Operand,
    windows: impl Fn(usize, usize) -> Result<Window, OpError>,
) -> Result<Patches<'a>, OpError> {
    ensure!(x.rank() == 4, "expected [n, c, h, w], found {}", x.fact);
    Ok(Patches { x, h: windows(0, x.shape()[2])?, w: windows(1, x.shape()[3])? })
}

/// The elements of every window of an image: `taps[n, c, ky, kx, oy, ox]`.
pub(in crate::ops) struct Patches<'a> {
    pub x: &'a Operand,
    pub h: Window,
    pub w: Window,
}

impl Patches<'_> {
    /// Dimensions `[n, c, ky, kx, oy, ox]`.
    fn dims(&self) -> Result<[usize; 6], OpError> {
        let dims = [self.x.shape()[0], self.x.shape()[1], self.h.kernel, self.w.kernel, self.h.out, self.w.out];
        ensure!(checked_count(&dims).is_some(), "the result {dims:?} is too large");
        Ok(dims)
    }

    /// The element of the operand at `[n, c, ky, kx, oy, ox]`; none in the padding.
    pub fn source(&self, i: [usize; 6]) -> Option<usize> {
        let (y, x) = (self.h.at(i[4], i[2])?, self.w.at(i[5], i[3])?);
        Some(flat(self.x.shape(), &[i[0], i[1], y, x]))
    }

    /// The elements as a tensor whose dimension `i` is dimension `order[i]` of `[n, c, ky, kx, oy, ox]`.
    pub fn lower(&self, b: &mut Lowering, order: [usize; 6]) -> Result<V, OpError> {
        let dims = self.dims()?;
        let ordered: Vec<usize> = order.iter().map(|&d| dims[d]).collect();
        if checked_count(&dims) == Some(0) || self.x.count() == 0 {
            return Ok(b.constant(Tensor::zeros(self.x.dtype(), &ordered)?));
        }
        let dense = dense_strides(&ordered);
        let mut dst = [0isize; 6];
        order.iter().zip(&dense).for_each(|(&d, &s)| dst[d] = s);
        let src = dense_strides(self.x.shape());
        let mut parts = Vec::new();
        for ky in 0..self.h.kernel {
            for kx in 0..self.w.kernel {
                let (rows, cols) = (self.h.reading(ky), self.w.reading(kx));
                if rows.is_empty() || cols.is_empty() {
                    continue;
                }
                let (y, x) = (self.h.at(rows.start, ky).unwrap_or(0), self.w.at(cols.start, kx).unwrap_or(0));
                let at = ky as isize * dst[2]
                    + kx as isize * dst[3]
                    + rows.start as isize * dst[4]
                    + cols.start as isize * dst[5];
                let strides = [src[0], src[1], src[2] * self.h.stride as isize, src[3] * self.w.stride as isize];
                parts.push(Part {
                    input: 0,
                    shape: [dims[0], dims[1], rows.len(), cols.len()].into_iter().collect(),
                    src_offset: y * src[2] as usize + x * src[3] as usize,
                    src: strides.into_iter().collect(),
                    dst_offset: at as usize,
                    dst: [dst[0], dst[1], dst[4], dst[5]].into_iter().collect(),
                });
            }
        }
        Ok(b.copy(&[self.x.v], parts, Some(vec![0; self.x.dtype().size()]), &ordered))
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

impl Im2Col {
    fn plan(&self) -> Result<Patches<'_>, OpError> {
        let kernel = spatial::<2>(&self.ksizes, Format::Nchw, "ksizes")?;
        let stride = spatial::<2>(&self.strides, Format::Nchw, "strides")?;
        let dilation = spatial::<2>(&self.dilations, Format::Nchw, "dilations")?;
        let pads = pads::<2>(&self.pads, "pads")?;
        image(&self.x, |d, n| Window::new(self.padding_mode, n, kernel[d], stride[d], dilation[d], pads[d]))
    }

    fn merged([n, c, kh, kw, oh, ow]: [usize; 6]) -> [usize; 4] {
        [n, c, kh * kw, oh * ow]
    }
}

impl Rule for Im2Col {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(self.x.dtype(), &Im2Col::merged(self.plan()?.dims()?))])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let plan = self.plan()?;
        let dims = plan.dims()?;
        let y = rearrange(self.x.tensor()?, &dims, |i| plan.source([i[0], i[1], i[2], i[3], i[4], i[5]]))?;
        Ok(vec![y.reshape(&Im2Col::merged(dims))?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let plan = self.plan()?;
        let y = plan.lower(b, [0, 1, 2, 3, 4, 5])?;
        Ok(Some(vec![b.reshape(y, &Im2Col::merged(plan.dims()?))?]))
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

impl Im2ColExt {
    fn columns(&self, v: V) -> Result<Im2Col, OpError> {
        let mut dims = self.input.fact.shape.clone();
        if dims.len() == 3 {
            dims.insert(0, 1);
        }
        Ok(Im2Col {
            x: crate::ops::linear::product::reshaped(&self.input, v, &dims)?,
            ksizes: self.kernel_size.clone(),
            strides: self.stride.clone(),
            dilations: self.dilation.clone(),
            padding_mode: PadMode::Pad,
            pads: self.padding.clone(),
        })
    }

    fn merged(&self, dims: &[usize]) -> Vec<usize> {
        let (batch, rest) = (self.input.rank() == 4, [dims[1] * dims[2], dims[3]]);
        if batch { vec![dims[0], rest[0], rest[1]] } else { rest.to_vec() }
    }
}

impl Rule for Im2ColExt {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let fact = self.columns(self.input.v)?.infer()?.remove(0);
        Ok(vec![Fact::new(fact.dtype, &self.merged(&fact.shape))])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let y = self.columns(self.input.v)?.reference()?.remove(0);
        Ok(vec![y.reshape(&self.merged(y.shape()))?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let dims = self.columns(self.input.v)?.x.fact.shape.clone();
        let v = b.reshape(self.input.v, &dims)?;
        let Some(y) = self.columns(v)?.lower(b)? else { return Ok(None) };
        let dims = self.merged(&b.fact(y[0]).shape.clone());
        Ok(Some(vec![b.reshape(y[0], &dims)?]))
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

impl ExtractImagePatches {
    fn plan(&self) -> Result<Patches<'_>, OpError> {
        ensure!(matches!(self.padding, PadMode::Same | PadMode::Valid), "expected padding same or valid");
        let kernel = spatial::<2>(&self.ksizes, Format::Nchw, "ksizes")?;
        let stride = spatial::<2>(&self.strides, Format::Nchw, "strides")?;
        let rate = spatial::<2>(&self.rates, Format::Nchw, "rates")?;
        image(&self.input_x, |d, n| Window::new(self.padding, n, kernel[d], stride[d], rate[d], [0, 0]))
    }

    fn merged([n, c, kh, kw, oh, ow]: [usize; 6]) -> [usize; 4] {
        [n, kh * kw * c, oh, ow]
    }
}

impl Rule for ExtractImagePatches {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(self.input_x.dtype(), &ExtractImagePatches::merged(self.plan()?.dims()?))])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let plan = self.plan()?;
        let [n, c, kh, kw, oh, ow] = plan.dims()?;
        let dims = [n, kh, kw, c, oh, ow];
        let y = rearrange(self.input_x.tensor()?, &dims, |i| plan.source([i[0], i[3], i[1], i[2], i[4], i[5]]))?;
        Ok(vec![y.reshape(&ExtractImagePatches::merged([n, c, kh, kw, oh, ow]))?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let plan = self.plan()?;
        let y = plan.lower(b, [0, 2, 3, 1, 4, 5])?;
        Ok(Some(vec![b.reshape(y, &ExtractImagePatches::merged(plan.dims()?))?]))
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 3, 6, 5]).ints(&[3, 2]).ints(&[2, 1]).ints(&[1, 2]);
        vec![x.clone().text("valid").exact("valid"), x.text("same").exact("same")]
    }
}
