use super::places::{Images, placed};
use super::statistic::Pooling;
use super::windowed::{maxima, volume_maxima};
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule, ints};
use crate::ops::conv::patches::Patches;
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::sample::{cycle, sample};
use crate::ops::kit::window::{Format, PadMode, Window};
use crate::task::{Binary, Lowering, Program, ReduceKind, ScatterKind, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The gradient of maxima over windows of images with channels first: every element of `grad` is added to the place of the
/// first maximum of its window.
struct MaximaGrad<'a, const N: usize> {
    pooling: Pooling<N>,
    /// What only tells the shape.
    y: &'a Operand,
    grad: &'a Operand,
}

impl<const N: usize> Rule for MaximaGrad<'_, N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, y) = (&self.pooling.x.fact, self.pooling.fact()?);
        ensure!(self.pooling.format.spatial() == 2, "expected channels first, found {:?}", self.pooling.format);
        ensure!(self.y.fact == y && self.grad.fact == y, "expected {y}, found {} and {}", self.y.fact, self.grad.fact);
        Ok(vec![Fact::clone(x)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, places) = (&self.pooling.x, self.pooling.values()?.1);
        let image: usize = self.pooling.windows.iter().map(|w| w.size).product();
        let images = x.count().checked_div(image).unwrap_or(0);
        let windows = places.len().checked_div(images).unwrap_or(0);
        let mut dx = Grid::zeros([images, image])?;
        for (i, (place, grad)) in places.into_iter().zip(self.grad.f64s()?).enumerate() {
            *dx.at_mut([i / windows, place])? += grad;
        }
        Ok(vec![dx.tensor(x.dtype())?.reshape(x.shape())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        self.infer()?;
        let (x, windows) = (&self.pooling.x, &self.pooling.windows);
        let [h, w] = *windows.as_slice() else { return Ok(None) };
        let Some(y) = self.pooling.value(b)? else { return Ok(None) };
        let first = first_maxima(b, &Patches { x, h, w }, y)?;
        let places = in_image(b, first, h, w)?;
        let images = Images { fact: Fact::clone(&x.fact), lead: 2 };
        Ok(placed(b, ScatterKind::Add, &images, self.grad.v, places)?.map(|dx| vec![dx]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }
}

/// For each window, the number of its first element that is `y`, the maximum: `[n, c, oh · ow]`.
fn first_maxima(b: &mut Lowering, patches: &Patches, y: V) -> Result<V, OpError> {
    let (h, w, dtype) = (patches.h, patches.w, patches.x.dtype());
    let [n, c, oh, ow] = b.fact(y).ranked()?;
    let [windows, taps] = [oh * ow, h.kernel * w.kernel];
    let x = patches.lower(b, [0, 1, 4, 5, 2, 3])?;
    let (x, y) = (b.reshape(x, &[n, c, windows, taps])?, b.reshape(y, &[n, c, windows, 1])?);
    let mut ins = vec![x, y];
    let mut p = Program::new();
    let (x, y) = (p.input(0, dtype), p.input(1, dtype));
    let (same, number) = (p.binary(Binary::Eq, x, y), p.binary(Binary::Eq, x, x));
    let yes = p.constant(1.0, DType::F32);
    let no = p.constant(0.0, DType::F32);
    let mut hit = p.select(same, yes, no);
    // A maximum that is no number is the first of these.
    hit = p.select(number, hit, yes);
    if let Some(real) = real_taps(h, w)? {
        let real_r = p.input(2, DType::F32);
        ins.push(b.constant(real));
        p.binary(Binary::Mul, hit, real_r);
    }
    let hits = b.map(p, &ins, &[n, c, windows, taps]);
    b.reduce(ReduceKind::ArgMax, hits, &[3], false, DType::I64)
}

/// `[oh · ow, kh · kw]`: 1 for elements of windows, 0 for padding; none if there is no padding.
fn real_taps(h: Window, w: Window) -> Result<Option<Tensor>, OpError> {
    let (mut real, mut all) = (Vec::new(), true);
    each([h.out, w.out, h.kernel, w.kernel], |[oy, ox, ky, kx]| {
        let inside = h.at(oy, ky).is_some() && w.at(ox, kx).is_some();
        all &= inside;
        real.push(if inside { 1.0 } else { 0.0 });
        Ok(())
    })?;
    let dims = [h.out * w.out, h.kernel * w.kernel];
    if all { Ok(None) } else { Ok(Some(Tensor::from_f64s(DType::F32, &dims, &real)?)) }
}

/// The places in their images of the elements with the numbers `taps` (`[n, c, oh · ow]`) of their windows.
fn in_image(b: &mut Lowering, taps: V, h: Window, w: Window) -> Result<V, OpError> {
    let at = |w: &Window, o: usize, tap: usize| (o * w.stride + tap * w.dilation) as i64;
    let (mut starts, mut steps) = (Vec::new(), Vec::new());
    each([h.out, w.out], |[oy, ox]| {
        let (row, column) = (at(&h, oy, 0) - h.before as i64, at(&w, ox, 0) - w.before as i64);
        starts.push(row * w.size as i64 + column);
        Ok(())
    })?;
    each([h.kernel, w.kernel], |[ky, kx]| {
        steps.push(at(&h, 0, ky) * w.size as i64 + at(&w, 0, kx));
        Ok(())
    })?;
    let (starts, steps) = (b.constant(Tensor::vector(&starts)), b.constant(Tensor::vector(&steps)));
    let steps = b.gather(steps, taps, 0)?;
    b.binary(Binary::Add, steps, starts)
}

op! {
    /// The gradient of `MaxPool`: every element of `grad` is added to the place of the first maximum of its window.
    ///
    /// `x`: `[n, c, h, w]`. `y`: what `MaxPool` with the same arguments makes of it, which only tells the shape. `grad`: as
    /// `y`. One float type, format `NCHW`. The result has the shape of `x`.
    classic MaxPoolGrad {
        x ["x_origin"]: Operand,
        y ["out_origin"]: Operand,
        grad: Operand,
        kernel_size ["ksize"]: Ints as Whole(2) = ints(&[1]),
        strides ["stride"]: Ints as Whole(2) = ints(&[1]),
        pad_mode ["padding"]: PadMode = PadMode::Valid,
        format ["data_format"]: Format = Format::Nchw,
    }
}

impl Operator for MaxPoolGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.x.rank() == 4, "expected rank 4, found {}", self.x.fact);
        let pooling = maxima(&self.x, &self.kernel_size, &self.strides, self.pad_mode, self.format)?;
        Ok(MaximaGrad { pooling, y: &self.y, grad: &self.grad })
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], y: &[usize], kernel: &[i64], strides: &[i64], mode, name| {
            let s = sample().tensor(DType::F32, x).tensor(DType::F32, y).tensor(DType::F32, y);
            s.ints(kernel).ints(strides).text(mode).case(name)
        };
        let wild = sample().arg(cycle(DType::F32, &[1, 2, 4, 5], &WILD)).tensor(DType::F32, &[1, 2, 2, 3]);
        let wild = wild.tensor(DType::F32, &[1, 2, 2, 3]).ints(&[1, 1, 3, 3]).ints(&[1, 1, 2, 2]);
        vec![
            one(&[2, 3, 4, 6], &[2, 3, 2, 3], &[1, 1, 2, 2], &[1, 1, 2, 2], "VALID", "no overlap"),
            one(&[1, 2, 5, 5], &[1, 2, 3, 3], &[1, 1, 3, 3], &[1, 1, 1, 1], "VALID", "overlap"),
            one(&[1, 1, 4, 5], &[1, 1, 2, 3], &[1, 1, 3, 3], &[1, 1, 2, 2], "SAME", "same"),
            wild.text("SAME").case("ties, not finite"),
        ]
    }
}

/// Numbers of which many are equal, infinite or none.
const WILD: [f64; 11] =
    [f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0, 1.0, f64::NAN, 0.0, -1.0, 1.0, f64::INFINITY, -0.0, -2.0];

op! {
    /// The gradient of `MaxPool3D`: every element of `grad` is added to the place of the first maximum of its window.
    ///
    /// `x`: `[n, c, d, h, w]`. `y`: what `MaxPool3D` with the same arguments makes of it, which only tells the shape. `grad`:
    /// as `y`. One float type. The result has the shape of `x`.
    classic MaxPool3DGrad {
        x ["x_origin"]: Operand,
        y ["out_origin"]: Operand,
        grad: Operand,
        kernel_size: Ints as Whole(3) = ints(&[1]),
        strides: Ints as Whole(3) = ints(&[1]),
        pad_mode: PadMode = PadMode::Valid,
        pad_list: Ints as Sides(3) = ints(&[0]),
        format ["data_format"]: Format = Format::Ncdhw,
    }
}

impl Operator for MaxPool3DGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (kernel, strides) = (&self.kernel_size, &self.strides);
        let pooling = volume_maxima(&self.x, kernel, strides, self.pad_mode, &self.pad_list, self.format)?;
        Ok(MaximaGrad { pooling, y: &self.y, grad: &self.grad })
    }

    fn cases() -> Vec<Case> {
        let (x, y) = ([1, 2, 3, 4, 3], [1, 2, 2, 3, 2]);
        let s = sample().tensor(DType::F32, &x).tensor(DType::F32, &y).tensor(DType::F32, &y).ints(&[2]);
        vec![s.ints(&[2]).text("CALCULATED").ints(&[0, 1, 1, 1, 1, 0]).case("padding")]
    }
}
