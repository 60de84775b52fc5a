//! Discrete Fourier transforms: a table of kinds.

use crate::op::{Case, Ints, Operand, Operator, Rule, ints};
use crate::ops::kit::broadcasting::size;
use crate::ops::kit::complex::{complex_of, part_of};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::{dim, replaced};
use crate::ops::kit::sample::{Sample, complex, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op, op_enum};

use super::signal::{Direction, Signal};

op_enum! {
    /// By what results are divided.
    Norm {
        /// Inverse transforms by the number of elements.
        Backward = 0, "backward";
        /// Forward transforms by the number of elements.
        Forward = 1, "forward";
        /// All by its square root.
        Ortho = 2, "ortho";
    }
}

/// How many numbers a transform takes and gives along its last dimension.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// As many complex ones.
    Whole,
    /// As many, of which only real parts are given.
    Real,
    /// Gives those of the first half, from which the others of a real signal follow.
    Half,
    /// Takes those of the first half, and gives real ones.
    Mirrored,
}

#[derive(Clone, Copy)]
struct Kind {
    direction: Direction,
    ends: Ends,
}

/// The dimensions of a transform, and how many numbers it computes along each.
pub(super) type Sides = Vec<(usize, usize)>;

/// What a transform is asked for.
struct Transform<'a> {
    x: &'a Operand,
    kind: Kind,
    norm: Norm,
    /// The dimensions; if there are none, the last ones, as many as sizes, or else all.
    axes: Ints,
    /// How many numbers count along each; if there are none, all.
    sizes: Ints,
}

/// The dimensions `axes` of `x`, or without them the last ones, as many as `sizes`, or without these all; and how many numbers
/// count along each: `sizes`, or what `last` makes of the length of the last one, and the lengths of the others.
pub(super) fn sides(x: &Operand, axes: &[i64], sizes: &[i64], last: fn(usize) -> usize) -> Result<Sides, OpError> {
    let axes: Vec<usize> = if axes.is_empty() {
        let count = if sizes.is_empty() { x.rank() } else { sizes.len() };
        ensure!(count <= x.rank(), "expected no more sizes than dimensions, found {count} for {}", x.fact);
        (x.rank() - count..x.rank()).collect()
    } else {
        x.axes(axes)?;
        axes.iter().map(|&axis| x.axis(axis)).collect::<Result<_, _>>()?
    };
    ensure!(!axes.is_empty(), "expected a dimension to transform, found {}", x.fact);
    let given = sizes.is_empty() || sizes.len() == axes.len();
    ensure!(given, "expected {} sizes, found {sizes:?}", axes.len());
    let side = |(i, &axis): (usize, &usize)| {
        let own = dim(x.shape(), axis)?;
        let len = match sizes.get(i) {
            Some(&len) => usize::try_from(len).unwrap_or(0),
            None if i + 1 == axes.len() => last(own),
            None => own,
        };
        let empty = own == 0 || sizes.get(i).is_some();
        ensure!(len > 0 || !empty, "expected at least one number along dimension {axis}, found {len}");
        Ok((axis, len))
    };
    axes.iter().enumerate().map(side).collect()
}

impl Transform<'_> {
    fn sides(&self) -> Result<Sides, OpError> {
        let mirrored = self.kind.ends == Ends::Mirrored;
        let last: fn(usize) -> usize = if mirrored { |own| 2 * own.saturating_sub(1) } else { |own| own };
        sides(self.x, &self.axes, &self.sizes, last)
    }

    fn fact(&self, sides: &Sides) -> Result<Fact, OpError> {
        let wide = complex_of(self.x.dtype());
        let mut shape = self.x.fact.shape.clone();
        for (i, &(axis, len)) in sides.iter().enumerate() {
            let half = self.kind.ends == Ends::Half && i + 1 == sides.len();
            shape = replaced(&shape, axis, if half { len / 2 + 1 } else { len });
        }
        size(&shape)?;
        let real = matches!(self.kind.ends, Ends::Real | Ends::Mirrored);
        Ok(Fact { dtype: if real { part_of(wide) } else { wide }, shape })
    }

    fn result(&self, sides: &Sides, dtype: DType) -> Result<Tensor, OpError> {
        if sides.iter().any(|(_, len)| *len == 0) {
            return Ok(Tensor::zeros(dtype, &self.fact(sides)?.shape)?);
        }
        let mut y = Signal::of(self.x.tensor()?)?;
        for (i, &(axis, len)) in sides.iter().enumerate() {
            let last = i + 1 == sides.len();
            y = match self.kind.ends {
                Ends::Mirrored if last => y.resized(axis, len / 2 + 1)?.mirrored(axis, len)?,
                _ => y.resized(axis, len)?,
            };
            y = y.transformed(axis, self.kind.direction)?;
            if last && self.kind.ends == Ends::Half {
                y = y.resized(axis, len / 2 + 1)?;
            }
        }
        let count: f64 = sides.iter().map(|(_, len)| *len as f64).product();
        let factor = match (self.norm, self.kind.direction) {
            (Norm::Ortho, _) => 1.0 / count.sqrt(),
            (Norm::Backward, Direction::Inverse) | (Norm::Forward, Direction::Forward) => 1.0 / count,
            _ => 1.0,
        };
        y.scaled(factor).tensor(dtype)
    }
}

/// The rule of a transform.
fn rule(transform: Transform<'_>) -> Result<Defined<impl Fn() -> Result<Vec<Tensor>, OpError>>, OpError> {
    let sides = transform.sides()?;
    let fact = transform.fact(&sides)?;
    let dtype = fact.dtype;
    Ok(Defined { facts: vec![fact], results: move || Ok(vec![transform.result(&sides, dtype)?]) })
}

/// A signal with these dimensions, complex where the transform may take that.
fn signal(kind: Kind, dims: &[usize]) -> Sample {
    sample().arg(if kind.ends == Ends::Half { wave(DType::F32, dims) } else { complex(DType::C64, dims) })
}

macro_rules! transforms {
    ($($(#[doc = $doc:literal])+ [$one:ident, $two:ident, $all:ident] = $direction:ident, $ends:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            ///
            /// Along dimension `dim`, of which `n` numbers count: if there are fewer, zeros follow. `norm` says by what results are
            /// divided. Types other than `f64` and `c128` are computed as `f32`.
            $one { input: Operand, n: Option<i64> = None, dim: i64 = -1, norm: Norm = Norm::Backward }
        }

        op! {
            $(#[doc = $doc])+
            ///
            /// Along the dimensions `dim`, of which `s` numbers count: if there are fewer, zeros follow. `norm` says by what results
            /// are divided. Types other than `f64` and `c128` are computed as `f32`.
            $two {
                input: Operand,
                s: Option<Ints> = None,
                dim: Ints = ints(&[-2, -1]),
                norm: Norm = Norm::Backward,
            }
        }

        op! {
            $(#[doc = $doc])+
            ///
            /// Along the dimensions `dim`, of which `s` numbers count: if there are fewer, zeros follow. Without `dim` they are the
            /// last ones, as many as `s` has numbers, or without it all. `norm` says by what results are divided. Types other than
            /// `f64` and `c128` are computed as `f32`.
            $all { input: Operand, s: Option<Ints> = None, dim: Option<Ints> = None, norm: Norm = Norm::Backward }
        }

        impl Operator for $one {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let kind = Kind { direction: Direction::$direction, ends: Ends::$ends };
                let (axes, sizes) = (ints(&[self.dim]), self.n.into_iter().collect());
                rule(Transform { x: &self.input, kind, norm: self.norm, axes, sizes })
            }

            fn cases() -> Vec<Case> {
                let x = |dims: &[usize]| signal(Kind { direction: Direction::$direction, ends: Ends::$ends }, dims);
                vec![
                    x(&[2, 5]).case("all"),
                    x(&[3, 2]).int(4).int(0).int(2).case("more"),
                    x(&[7]).int(5).int(0).int(1).case("fewer"),
                    sample().arg(wave(DType::F64, &[6])).case("f64"),
                    sample().arg(wave(DType::I32, &[4])).case("integers"),
                ]
            }
        }

        impl Operator for $two {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let kind = Kind { direction: Direction::$direction, ends: Ends::$ends };
                let (axes, sizes) = (self.dim.clone(), self.s.clone().unwrap_or_default());
                rule(Transform { x: &self.input, kind, norm: self.norm, axes, sizes })
            }

            fn cases() -> Vec<Case> {
                let x = |dims: &[usize]| signal(Kind { direction: Direction::$direction, ends: Ends::$ends }, dims);
                vec![x(&[2, 3, 4]).case("all"), x(&[3, 4]).ints(&[4, 5]).ints(&[1, 0]).int(2).case("sizes")]
            }
        }

        impl Operator for $all {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let kind = Kind { direction: Direction::$direction, ends: Ends::$ends };
                let (axes, sizes) = (self.dim.clone().unwrap_or_default(), self.s.clone().unwrap_or_default());
                rule(Transform { x: &self.input, kind, norm: self.norm, axes, sizes })
            }

            fn cases() -> Vec<Case> {
                let x = |dims: &[usize]| signal(Kind { direction: Direction::$direction, ends: Ends::$ends }, dims);
                vec![x(&[2, 3, 4]).case("all"), x(&[3, 4]).ints(&[2]).case("last"), x(&[3, 4]).none().ints(&[0]).case("first")]
            }
        }
    )*};
}

transforms! {
    /// The discrete Fourier transform.
    [FFT, FFT2, FFTN] = Forward, Whole;
    /// The inverse of the discrete Fourier transform.
    [IFFT, IFFT2, IFFTN] = Inverse, Whole;
    /// The first half of the discrete Fourier transform of real numbers, from which the rest follows; the last dimension is halved.
    [RFFT, RFFT2, RFFTN] = Forward, Half;
    /// The real numbers of whose discrete Fourier transform the first half along the last dimension is given; `n`, or the last of
    /// `s`, counts the results, 2 · (m − 1) of m numbers unless it is given.
    [IRFFT, IRFFT2, IRFFTN] = Inverse, Mirrored;
    /// The discrete Fourier transform, which is real, of numbers that are conjugate to each other from both ends, of which the first
    /// half along the last dimension is given; `n`, or the last of `s`, counts the results, 2 · (m − 1) of m numbers unless it is
    /// given.
    [HFFT, HFFT2, HFFTN] = Forward, Mirrored;
    /// The first half of the inverse of the discrete Fourier transform of real numbers, from which the rest follows; the last
    /// dimension is halved.
    [IHFFT, IHFFT2, IHFFTN] = Inverse, Half;
}

op! {
    /// The discrete Fourier transform along the last `signal_ndim` dimensions, or its `inverse`. With `real`, the numbers of the signal
    /// are real and, with `onesided`, only the first half of the transform is there, as in `RFFT` and `IRFFT`; `signal_sizes` are
    /// the sizes of the signal then. `norm` says by what results are divided.
    FFTWithSize {
        x: Operand,
        signal_ndim: i64,
        inverse: bool,
        real: bool,
        norm: Norm = Norm::Backward,
        onesided: bool = true,
        signal_sizes: Ints = Ints::new(),
    }
}

impl Operator for FFTWithSize {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.x;
        ensure!(self.real || x.dtype().is_complex(), "expected complex numbers, found {}", x.fact);
        let count = (1..=x.rank() as i64).contains(&self.signal_ndim);
        ensure!(count, "expected from 1 to {} dimensions, found {}", x.rank(), self.signal_ndim);
        let ends = match (self.real, self.inverse, self.onesided) {
            (false, ..) | (true, false, false) => Ends::Whole,
            (true, false, true) => Ends::Half,
            (true, true, false) => Ends::Real,
            (true, true, true) => Ends::Mirrored,
        };
        let direction = if self.inverse { Direction::Inverse } else { Direction::Forward };
        let axes = (-self.signal_ndim..0).collect();
        let sizes = if ends == Ends::Mirrored { self.signal_sizes.clone() } else { Ints::new() };
        rule(Transform { x, kind: Kind { direction, ends }, norm: self.norm, axes, sizes })
    }

    fn cases() -> Vec<Case> {
        let z = || sample().arg(complex(DType::C64, &[2, 3, 4]));
        let x = || sample().arg(wave(DType::F32, &[2, 3, 4]));
        vec![
            z().int(2).flag(false).flag(false).case("complex"),
            z().int(1).flag(true).flag(false).int(2).case("inverse"),
            x().int(2).flag(false).flag(true).case("one side"),
            x().int(1).flag(false).flag(true).int(1).flag(false).case("both sides"),
            z().int(2).flag(true).flag(true).int(0).flag(true).ints(&[3, 7]).case("back from one side"),
            z().int(1).flag(true).flag(true).int(0).flag(false).case("back from both sides"),
        ]
    }
}
