use super::grouped::{Convolution, filters, last_dims};
use crate::op::{Case, Ints, Operand, Operator, Rule, ints};
use crate::ops::kit::indices::size;
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::{DType, OpError, ensure, op, op_enum};

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

/// Images of rank `N + 2`, or one of rank `N + 1`, under filters.
fn convolution<'a, const N: usize>(
    [x, w]: [&'a Operand; 2],
    bias: Option<&'a Operand>,
    stride: &[i64],
    padding: &impl Padding,
    dilation: &[i64],
    groups: i64,
) -> Result<Convolution<'a, N>, OpError> {
    let (extent, (_, kernel)) = (last_dims(x)?, filters(w, Format::Nchw)?);
    let stride = spatial(stride, Format::Nchw, "stride")?;
    let dilation = spatial(dilation, Format::Nchw, "dilation")?;
    let (mode, pads) = padding.resolve()?;
    let windows = Window::over(false, mode, extent, kernel, stride, dilation, pads)?;
    Ok(Convolution { x, w, bias, windows, groups: size(groups, "groups")?, format: Format::Nchw })
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

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (xw, bias) = ([&self.input, &self.weight], self.bias.as_ref());
                convolution::<$n>(xw, bias, &self.stride, &self.padding, &self.dilation, self.groups)
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
