//! Grey-scale dilation of images.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::result;
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, spatial};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// What is asked of the largest sum of each window.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Sum,
    /// The gradient with respect to the images, from that of the sums.
    Images(&'a Operand),
    /// The gradient with respect to the filter.
    Filter(&'a Operand),
}

/// The largest sum of an element of each window of `x` (`[n, c, h, w]`) and the element of `filter` (`[c, kh, kw]`) over it; the
/// first one of several. Padding does not take part.
struct Dilation<'a> {
    x: &'a Operand,
    filter: &'a Operand,
    windows: [Window; 2],
    asked: Asked<'a>,
}

impl<'a> Dilation<'a> {
    fn new(
        [x, filter]: [&'a Operand; 2],
        [stride, dilation]: [&Ints; 2],
        mode: PadMode,
        format: Format,
        asked: Asked<'a>,
    ) -> Result<Self, OpError> {
        ensure!(format == Format::Nchw, "expected format NCHW, found {format:?}");
        ensure!(matches!(mode, PadMode::Same | PadMode::Valid), "expected padding same or valid, found {mode:?}");
        let ([_, c, h, w], [channels, kernel @ ..]) = (x.fact.ranked()?, filter.fact.ranked::<3>()?);
        let numbers = x.dtype().is_float() || x.dtype().is_int();
        let fits = numbers && x.dtype() == filter.dtype() && c == channels;
        ensure!(
            fits,
            "expected numbers [n, c, h, w] and [c, kh, kw] of one type, found {} and {}",
            x.fact,
            filter.fact
        );
        let (stride, dilation) = (spatial(stride, format, "stride")?, spatial(dilation, format, "dilation")?);
        let windows = Window::over(false, mode, [Some(h), Some(w)], kernel, stride, dilation, [[0; 2]; 2])?;
        Ok(Dilation { x, filter, windows, asked })
    }

    fn sums(&self) -> Result<[usize; 4], OpError> {
        let [n, c, ..] = self.x.fact.ranked::<4>()?;
        Ok([n, c, self.windows[0].out, self.windows[1].out])
    }
}

impl Rule for Dilation<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let y = result(self.x.dtype(), &self.sums()?)?;
        Ok(vec![match self.asked {
            Asked::Sum => y,
            Asked::Images(dy) | Asked::Filter(dy) if dy.fact != y => {
                return Err(OpError::Invalid(format!("expected a gradient {y}, found {}", dy.fact)));
            }
            Asked::Images(_) => Fact::clone(&self.x.fact),
            Asked::Filter(_) => Fact::clone(&self.filter.fact),
        }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let ([h, w], x, filter) = (&self.windows, Grid::read(self.x)?, Grid::read(self.filter)?);
        let (mut sums, mut images, mut filters) =
            (Grid::zeros(self.sums()?)?, Grid::zeros(x.dims)?, Grid::zeros(filter.dims)?);
        let dy = match self.asked {
            Asked::Sum => None,
            Asked::Images(dy) | Asked::Filter(dy) => Some(Grid::<4>::read(dy)?),
        };
        each(sums.dims, |[n, c, oy, ox]| {
            let mut best: Option<(f64, [usize; 4])> = None;
            each([h.kernel, w.kernel], |[ky, kx]| {
                if let Some((y, x_at)) = h.at(oy, ky).zip(w.at(ox, kx)) {
                    let sum = x.at([n, c, y, x_at])? + filter.at([c, ky, kx])?;
                    if best.is_none_or(|(largest, _)| sum > largest) {
                        best = Some((sum, [y, x_at, ky, kx]));
                    }
                }
                Ok(())
            })?;
            if let Some((sum, [y, x_at, ky, kx])) = best {
                let grad = dy.as_ref().map_or(Ok(0.0), |dy| dy.at([n, c, oy, ox]))?;
                *sums.at_mut([n, c, oy, ox])? = sum;
                *images.at_mut([n, c, y, x_at])? += grad;
                *filters.at_mut([c, ky, kx])? += grad;
            }
            Ok(())
        })?;
        let dtype = self.x.dtype();
        Ok(vec![match self.asked {
            Asked::Sum => sums.tensor(dtype)?,
            Asked::Images(_) => images.tensor(dtype)?,
            Asked::Filter(_) => filters.tensor(dtype)?,
        }])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no dilation of images")
    }
}

macro_rules! dilation_op {
    ($(#[doc = $doc:literal])+ $name:ident [$($dy:ident)?] $asked:expr) => {
        op! {
            $(#[doc = $doc])+
            classic $name {
                x: Operand,
                filter: Operand,
                $($dy: Operand,)?
                stride: Ints as Whole(2),
                dilation: Ints as Whole(2),
                pad_mode: PadMode = PadMode::Same,
                format ["data_format"]: Format = Format::Nchw,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let asked: fn(&$name) -> Asked<'_> = $asked;
                let steps = [&self.stride, &self.dilation];
                Dilation::new([&self.x, &self.filter], steps, self.pad_mode, self.format, asked(self))
            }

            fn cases() -> Vec<Case> {
                let one = |out: &[usize], mode, name| {
                    let s = sample().tensor(DType::F32, &[2, 3, 5, 6]).tensor(DType::F32, &[3, 3, 2]);
                    $(let s = { let $dy = out; s.tensor(DType::F32, $dy) };)?
                    let _ = out;
                    s.ints(&[1, 1, 2, 1]).ints(&[1, 1, 1, 2]).text(mode).case(name)
                };
                vec![one(&[2, 3, 3, 6], "SAME", "same"), one(&[2, 3, 2, 4], "VALID", "valid")]
            }
        }
    };
}

dilation_op! {
    /// The largest sum of an element of each window of images `[n, c, h, w]` and the element of `filter` (`[c, kh, kw]`) over it.
    /// Padding does not take part. Numbers of one type.
    Dilation2D [] |_| Asked::Sum
}

dilation_op! {
    /// The gradient of `Dilation2D` with respect to `x`: every element of `out_backprop` is added to the element that is part of the
    /// largest sum of its window, the first one of several. Numbers of one type.
    Dilation2DBackpropInput [out_backprop] |op| Asked::Images(&op.out_backprop)
}

dilation_op! {
    /// The gradient of `Dilation2D` with respect to `filter`; see `Dilation2DBackpropInput`.
    Dilation2DBackpropFilter [out_backprop] |op| Asked::Filter(&op.out_backprop)
}
