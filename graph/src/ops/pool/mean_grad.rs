//! Gradients of means over windows.

use super::adaptive::{Shares, share};
use super::statistic::{Pooling, Statistic};
use super::windowed::{classic, torch};
use crate::op::{Case, Ints, Operand, Operator, Rule, ints};
use crate::ops::kit::adjoint::{Adjoint, Summed, Taps};
use crate::ops::kit::indices::sizes;
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window};
use crate::{DType, Fact, OpError, ensure, op};

/// A tensor of these dimensions in place of `dy`, from whose pooling that is the gradient.
fn pooled(dy: &Operand, dims: &[i64]) -> Result<Operand, OpError> {
    let dims = sizes(dims, "the shape of what was pooled")?;
    Ok(Operand { v: dy.v, fact: Fact::new(dy.dtype(), &dims).into(), known: None })
}

/// The elements of each window along one dimension, with `1 / n` as their weights.
fn means(w: &Window, n: impl Fn(usize, usize) -> f64) -> Taps {
    let one = |o: usize| {
        let inside: Vec<usize> = w.inside(o).collect();
        let weight = 1.0 / n(o, inside.len());
        inside.into_iter().map(|i| (i, weight)).collect()
    };
    (0..w.out).map(one).collect()
}

/// The gradient of means over windows.
fn windowed<'a, const N: usize>(pooling: &Pooling<N>, dy: &'a Operand) -> Result<Adjoint<'a>, OpError> {
    let y = pooling.fact()?;
    ensure!(dy.fact == y, "expected a gradient {y}, found {}", dy.fact);
    let first = pooling.first();
    let one = |(d, w): (usize, &Window)| {
        let taps = match pooling.statistic {
            Statistic::Mean { divisor: Some(n), .. } => means(w, |_, _| if d == 0 { n } else { 1.0 }),
            Statistic::Mean { pads: true, .. } => means(w, |o, _| w.padded(o) as f64),
            _ => means(w, |_, inside| inside as f64),
        };
        Summed { axis: first + d, size: w.size, taps }
    };
    Ok(Adjoint { dy, sums: pooling.windows.iter().enumerate().map(one).collect() })
}

op! {
    /// The gradient of `AvgPool`: every element of `dout` is shared by the elements of its window.
    ///
    /// `x`: what was pooled, of a float type, whose shape the result has; `out`: what `AvgPool` with the same arguments makes of
    /// it. They only tell shapes. `dout`: as `out`.
    AvgPoolGrad {
        x: Operand,
        out: Operand,
        dout: Operand,
        kernel_size ["ksize"]: Ints as Spatial(2) = ints(&[1]),
        strides ["stride"]: Ints as Spatial(2) = ints(&[1]),
        pad_mode ["padding"]: PadMode = PadMode::Valid,
        data_format ["format"]: Format = Format::Nchw,
    }
}

impl Operator for AvgPoolGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, format) = (&self.x, self.data_format);
        let windows = classic::<2>(x, &self.kernel_size, &self.strides, self.pad_mode, &[], format, false)?;
        let statistic = Statistic::Mean { pads: false, divisor: None };
        windowed(&Pooling { x: x.clone(), windows, statistic, format, ceil: false }, &self.dout)
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], y: &[usize], kernel: i64, stride: i64, mode, format, name| {
            let s = sample().tensor(DType::F32, x).tensor(DType::F32, y).tensor(DType::F32, y);
            s.ints(&[kernel]).ints(&[stride]).text(mode).text(format).case(name)
        };
        vec![
            one(&[2, 3, 4, 6], &[2, 3, 2, 3], 2, 2, "VALID", "NCHW", "no overlap"),
            one(&[1, 2, 4, 5], &[1, 2, 2, 3], 3, 2, "SAME", "NCHW", "same"),
            one(&[1, 5, 5, 2], &[1, 2, 2, 2], 2, 3, "VALID", "NHWC", "channels last, gaps"),
        ]
    }
}

op! {
    /// The gradient of `AvgPool3D` of a tensor of the dimensions `origin_input_shape`: every element of `grads` is shared by the
    /// elements of its window.
    classic AvgPool3DGrad, copies [pad_list = pads] {
        origin_input_shape: Ints as Input,
        grads: Operand,
        kernel_size: Ints as Whole(3) = ints(&[1]),
        strides: Ints as Whole(3) = ints(&[1]),
        pads: Ints as Sides(3) = ints(&[0]),
        ceil_mode: bool = false,
        count_include_pad: bool = true,
        divisor_override: i64 = 0,
        format ["data_format"]: Format = Format::Ncdhw,
        pad_mode: PadMode as Small = PadMode::Pad,
    }
}

impl Operator for AvgPool3DGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, format) = (pooled(&self.grads, &self.origin_input_shape)?, self.format);
        let (kernel, stride, ceil) = (&self.kernel_size, &self.strides, self.ceil_mode);
        let windows = classic::<3>(&x, kernel, stride, self.pad_mode, &self.pads, format, ceil)?;
        let divisor = (self.divisor_override != 0).then_some(self.divisor_override as f64);
        let statistic = Statistic::Mean { pads: self.count_include_pad, divisor };
        windowed(&Pooling { x, windows, statistic, format, ceil }, &self.grads)
    }

    fn cases() -> Vec<Case> {
        let s = sample().ints(&[1, 2, 3, 4, 3]).tensor(DType::F32, &[1, 2, 3, 4, 2]).ints(&[2]).ints(&[1]);
        let padded = s.clone().ints(&[0, 1, 1, 0, 0, 0]).flag(false);
        vec![
            padded.clone().flag(true).int(0).case("with padding"),
            padded.clone().flag(false).int(0).case("without padding"),
            padded.flag(false).int(3).case("divisor"),
        ]
    }
}

macro_rules! torch_op {
    ($(#[doc = $doc:literal])+ $name:ident $x:ident $n:literal $shape:expr, $out:expr) => {
        op! {
            $(#[doc = $doc])+
            $name {
                grad: Operand,
                $x: Operand,
                kernel_size: Ints,
                stride: Option<Ints> = None,
                padding: Ints = ints(&[0]),
                ceil_mode: bool = false,
                count_include_pad: bool = true,
                divisor_override: Option<i64> = None,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, stride, ceil) = (&self.$x, self.stride.as_ref(), self.ceil_mode);
                let windows = torch::<$n>(x, &self.kernel_size, stride, &self.padding, &[1], ceil)?;
                ensure!(self.divisor_override != Some(0), "expected a divisor_override other than 0");
                let divisor = self.divisor_override.map(|d| d as f64);
                let statistic = Statistic::Mean { pads: self.count_include_pad, divisor };
                windowed(&Pooling { x: x.clone(), windows, statistic, format: Format::Nchw, ceil }, &self.grad)
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, $out).tensor(DType::F32, $shape).ints(&[3]).ints(&[2]).ints(&[1]);
                vec![
                    s.clone().flag(false).flag(true).case("with padding"),
                    s.clone().flag(false).flag(false).case("without padding"),
                    s.flag(false).flag(true).int(5).case("divisor"),
                ]
            }
        }
    };
}

torch_op! {
    /// The gradient of `AvgPool2D` of `image`, which only tells the shape.
    AvgPool2DGrad image 2 &[2, 3, 6, 7], &[2, 3, 3, 4]
}

torch_op! {
    /// The gradient of `AvgPool3DExt` of `input`, which only tells the shape.
    AvgPool3DGradExt input 3 &[1, 2, 4, 5, 3], &[1, 2, 2, 3, 2]
}

/// The gradient of means over windows that share the last `N` dimensions of `x` evenly.
fn shared<'a, const N: usize>(dy: &'a Operand, x: &Operand) -> Result<Adjoint<'a>, OpError> {
    let windows = dy.shape().last_chunk::<N>().map(|out| out.map(|out| out as i64));
    let windows = windows.ok_or_else(|| OpError::Invalid(format!("expected rank {N} or more, found {}", dy.fact)))?;
    let shares = Shares::<N>::new(x, &windows)?;
    let y = shares.fact()?;
    ensure!(dy.fact == y, "expected a gradient {y}, found {}", dy.fact);
    let one = |(d, (&size, &out)): (usize, (&usize, &usize))| {
        let window = |i| share(i, size, out).map(|j| (j, 1.0 / share(i, size, out).len() as f64)).collect();
        Summed { axis: dy.rank() - N + d, size, taps: (0..out).map(window).collect() }
    };
    Ok(Adjoint { dy, sums: shares.size.iter().zip(&shares.out).enumerate().map(one).collect() })
}

macro_rules! adaptive_op {
    ($(#[doc = $doc:literal])+ $name:ident $dy:ident $shape:ident $n:literal $dims:expr, $out:expr) => {
        op! {
            $(#[doc = $doc])+
            classic $name { $dy: Operand, $shape: Ints as Input }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                shared::<$n>(&self.$dy, &pooled(&self.$dy, &self.$shape)?)
            }

            fn cases() -> Vec<Case> {
                vec![sample().tensor(DType::F32, $out).ints($dims).case("uneven")]
            }
        }
    };
}

macro_rules! adaptive_ext_op {
    ($(#[doc = $doc:literal])+ $name:ident $dy:ident $x:ident $n:literal $dims:expr, $out:expr) => {
        op! {
            $(#[doc = $doc])+
            $name { $dy: Operand, $x: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                shared::<$n>(&self.$dy, &self.$x)
            }

            fn cases() -> Vec<Case> {
                vec![sample().tensor(DType::F32, $out).tensor(DType::F32, $dims).case("uneven")]
            }
        }
    };
}

adaptive_op! {
    /// The gradient of `AdaptiveAvgPool2D` of a tensor of the dimensions `orig_input_shape`. Floats.
    AdaptiveAvgPool2DGrad input_grad orig_input_shape 2 &[2, 3, 5, 7], &[2, 3, 2, 3]
}

adaptive_op! {
    /// The gradient of `AdaptiveAvgPool3D` of a tensor of the dimensions `orig_input_shape`. Floats.
    AdaptiveAvgPool3DGrad y_grad orig_input_shape 3 &[2, 3, 4, 5], &[2, 3, 3, 2]
}

adaptive_ext_op! {
    /// The gradient of `AdaptiveAvgPool2DExt` of `x`, which only tells the shape. Floats.
    AdaptiveAvgPool2DGradExt grad_output x 2 &[2, 3, 5, 7], &[2, 3, 2, 3]
}

adaptive_ext_op! {
    /// The gradient of `AdaptiveAvgPool3DExt` of `input`, which only tells the shape. Floats.
    AdaptiveAvgPool3DGradExt input_grad input 3 &[2, 3, 4, 5], &[2, 3, 3, 2]
}
