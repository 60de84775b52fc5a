use super::grouped::Convolution;
use crate::onnx::{Emit, Forms};
use crate::op::{Case, Ints, Lowers, Operand, Rule, ints};
use crate::ops::kit::indices::size;
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::ops::linear::product::{add_bias, check_bias, lower_bias, reshaped};
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op, op_enum};

op_enum! {
    /// Padding by name.
    PadName {
        /// As many results as elements, the odd zero at the end.
        Same = 1, "same";
        /// None.
        Valid = 2, "valid";
    }
}

/// How much padding an operator asks for.
trait Padding {
    fn resolve<const N: usize>(&self) -> Result<(PadMode, [[usize; 2]; N]), OpError>;
}

impl Padding for Ints {
    fn resolve<const N: usize>(&self) -> Result<(PadMode, [[usize; 2]; N]), OpError> {
        ensure!(self.len() <= N, "padding: expected 1 or {N} numbers, found {}", self.len());
        Ok((PadMode::Pad, pads::<N>(self, "padding")?))
    }
}

impl Padding for PadName {
    fn resolve<const N: usize>(&self) -> Result<(PadMode, [[usize; 2]; N]), OpError> {
        Ok((if *self == PadName::Same { PadMode::Same } else { PadMode::Valid }, [[0; 2]; N]))
    }
}

/// A convolution over `$n` spatial dimensions with a bias, whose `padding` has the given type and default.
macro_rules! biased {
    ($(#[doc = $doc:literal])+ $name:ident $(, aliases $aliases:tt)?, $n:literal, padding: $padding:ty = $default:expr, $cases:block) => {
        op! {
            $(#[doc = $doc])+
            $name $(, aliases $aliases)? {
                input: Operand,
                weight: Operand,
                bias: Option<Operand> = None,
                stride: Ints = ints(&[1]),
                padding: $padding = $default,
                dilation: Ints = ints(&[1]),
                groups: i64 = 1,
            }
        }

        impl $name {
            fn batched(&self, v: V) -> Result<Operand, OpError> {
                let x = &self.input;
                ensure!(
                    (x.rank() == $n + 1 || x.rank() == $n + 2) && self.weight.rank() == $n + 2,
                    "expected images of rank {} or {} and filters of rank {}, found {} and {}",
                    $n + 1,
                    $n + 2,
                    $n + 2,
                    x.fact,
                    self.weight.fact
                );
                let mut dims = x.fact.shape.clone();
                if x.rank() == $n + 1 {
                    dims.insert(0, 1);
                }
                reshaped(x, v, &dims)
            }

            fn plan<'a>(&'a self, x: &'a Operand) -> Result<Convolution<'a>, OpError> {
                ensure!(
                    (x.rank() == $n + 1 || x.rank() == $n + 2) && self.weight.rank() == $n + 2,
                    "expected images and filters of rank {}, found {} and {}",
                    $n + 2,
                    x.fact,
                    self.weight.fact
                );
                let kernel = Convolution::kernel(&self.weight, Format::Nchw);
                let stride = spatial::<$n>(&self.stride, Format::Nchw, "stride")?;
                let dilation = spatial::<$n>(&self.dilation, Format::Nchw, "dilation")?;
                let (mode, pads) = self.padding.resolve::<$n>()?;
                let extent = &x.dims()[x.rank() - $n..];
                let window = |d: usize| Window::new(mode, extent[d], kernel[d], stride[d], dilation[d], pads[d]);
                let windows = (0..$n).map(window).collect::<Result<_, _>>()?;
                let groups = size(self.groups, "groups")?;
                Ok(Convolution { x, w: &self.weight, windows, groups, format: Format::Nchw })
            }

            fn bias(&self, v: Option<V>) -> Result<Option<Operand>, OpError> {
                let Some(bias) = &self.bias else { return Ok(None) };
                ensure!(
                    bias.shape() == &self.weight.shape()[..1],
                    "bias {} does not fit {}",
                    bias.fact,
                    self.weight.fact
                );
                let mut dims = Shape::from_elem(1, $n + 1);
                dims[0] = bias.count();
                reshaped(bias, v.unwrap_or(bias.v), &dims).map(Some)
            }

            fn result(&self, mut dims: Shape) -> Shape {
                if self.input.rank() == $n + 1 {
                    dims.remove(0);
                }
                dims
            }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                let fact = self.plan(&self.batched(self.input.v)?)?.infer()?;
                check_bias(&fact, self.bias(None)?.as_ref())?;
                Ok(vec![Fact { dtype: fact.dtype, shape: self.result(fact.shape) }])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let y = self.plan(&self.batched(self.input.v)?)?.reference()?;
                let y = add_bias(y, self.bias(None)?.as_ref())?;
                Ok(vec![y.reshape(&self.result(y.fact().shape))?])
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let dims = self.batched(self.input.v)?.fact.shape.clone();
                let v = b.reshape(self.input.v, &dims)?;
                let Some(y) = self.plan(&self.batched(v)?)?.lower(b)? else { return Ok(None) };
                let bias = match self.bias(None)? {
                    Some(bias) => self.bias(Some(b.reshape(bias.v, bias.shape())?))?,
                    None => None,
                };
                let y = lower_bias(b, y, bias.as_ref())?;
                let dims = self.result(b.fact(y).shape.clone());
                Ok(Some(vec![b.reshape(y, &dims)?]))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let single = self.input.rank() == $n + 1;
                let (x, bias) = (e.edge(&self.input)?, e.option(&self.bias)?);
                let x = if single { e.unsqueeze(x, &[0]) } else { x };
                let w = e.edge(&self.weight)?;
                let y = self.plan(&self.input)?.onnx(e, x, w, bias)?;
                Ok(Some(vec![if single { e.squeeze(y, &[0]) } else { y }]))
            }

            fn cases() -> Vec<Case> $cases
        }
    };
}

biased! {
    /// Two-dimensional cross-correlation of images with filters in groups of channels, plus a bias per channel.
    ///
    /// `input`: `[n, c, h, w]` or one image `[c, h, w]`. `weight`: `[c_out, c / groups, kh, kw]`. `padding` holds the zeros
    /// on both sides of rows and columns. All of one float type.
    Conv2DExt, aliases ["Convolution2D"], 2, padding: Ints = ints(&[0]), {
        let two = |x: &[usize], w: &[usize]| sample().tensor(DType::F32, x).tensor(DType::F32, w);
        vec![
            two(&[2, 3, 5, 6], &[4, 3, 3, 2]).tensor(DType::F32, &[4]).ints(&[2, 1]).ints(&[1, 0]).case("bias"),
            two(&[4, 6, 6], &[4, 2, 3, 3]).none().ints(&[1, 1]).ints(&[1, 1]).ints(&[1, 1]).int(2).case("one image"),
        ]
    }
}

biased! {
    /// As [`Conv2DExt`], with padding `same` (for stride 1) or `valid`.
    Conv2DPadding, 2, padding: PadName = PadName::Valid, {
        let s = sample().tensor(DType::F32, &[1, 2, 5, 4]).tensor(DType::F32, &[3, 2, 2, 3]).tensor(DType::F32, &[3]);
        vec![s.ints(&[1]).text("same").case("same")]
    }
}

biased! {
    /// One-dimensional cross-correlation of `[n, c, l]` or `[c, l]` with filters `[c_out, c / groups, k]` in groups of
    /// channels, plus a bias per channel. `padding` holds the zeros on both sides. All of one float type.
    Conv1DExt, 1, padding: Ints = ints(&[0]), {
        let s = sample().tensor(DType::F32, &[2, 4, 9]).tensor(DType::F32, &[6, 2, 3]).tensor(DType::F32, &[6]);
        vec![
            s.ints(&[2]).ints(&[1]).ints(&[2]).int(2).case("all arguments"),
            sample().tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[2, 3, 2]).case("one sequence"),
        ]
    }
}

biased! {
    /// As [`Conv1DExt`], with padding `same` (for stride 1) or `valid`.
    Conv1DPadding, 1, padding: PadName = PadName::Valid, {
        let s = sample().tensor(DType::F32, &[2, 3, 5]).tensor(DType::F32, &[2, 3, 4]).none();
        vec![s.ints(&[1]).text("same").case("same")]
    }
}

biased! {
    /// Three-dimensional cross-correlation of `[n, c, d, h, w]` or one such volume with filters
    /// `[c_out, c / groups, kd, kh, kw]` in groups of channels, plus a bias per channel. `padding` holds the zeros on both
    /// sides of each dimension. All of one float type.
    Conv3DExt, 3, padding: Ints = ints(&[0]), {
        let s = sample().tensor(DType::F32, &[1, 2, 3, 4, 5]).tensor(DType::F32, &[2, 2, 2, 2, 3]).tensor(DType::F32, &[2]);
        vec![s.ints(&[1, 2, 1]).ints(&[1, 0, 1]).case("bias")]
    }
}

biased! {
    /// As [`Conv3DExt`], with padding `same` (for stride 1) or `valid`.
    Conv3DPadding, 3, padding: PadName = PadName::Valid, {
        let s = sample().tensor(DType::F32, &[1, 1, 2, 3, 3]).tensor(DType::F32, &[2, 1, 2, 2, 2]).none();
        vec![s.ints(&[1]).text("same").case("same")]
    }
}
