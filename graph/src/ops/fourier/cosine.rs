//! Cosine transforms.

use std::f64::consts::PI;

use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::size;
use crate::ops::kit::complex::{Complex64, complex_of, part_of};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::replaced;
use crate::ops::kit::sample::{complex, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

use super::signal::{Direction, Signal};
use super::transforms::{Norm, sides};

/// Numbers 0, 2, 4, … and then the others from the last one on.
fn evens_first(line: &[Complex64]) -> Vec<Complex64> {
    let evens = line.iter().step_by(2);
    let odds = line.iter().skip(1).step_by(2).rev();
    evens.chain(odds).copied().collect()
}

/// What [`evens_first`] takes apart.
fn woven(line: &[Complex64]) -> Vec<Complex64> {
    let (front, back) = (line.iter(), line.iter().rev());
    front.zip(back).flat_map(|(even, odd)| [*even, *odd]).take(line.len()).collect()
}

/// The factor of sum `k` of `n`, by which the transform keeps lengths.
fn scale(k: usize, n: usize) -> f64 {
    (if k == 0 { 1.0 } else { 2.0 } / n as f64).sqrt()
}

/// `√(2/n) · Σ x[i] · cos(π · (2i + 1) · k / 2n)`, where sum 0 is divided by √2, from a Fourier transform of as many numbers.
fn forward(x: Signal, axis: usize, n: usize) -> Result<Signal, OpError> {
    let turn = |k: usize| Complex64::from_polar(0.5 * scale(k, n), -PI * k as f64 / (2 * n) as f64);
    x.lines(axis, n, |line| evens_first(&line))?.transformed(axis, Direction::Forward)?.lines(axis, n, |line| {
        let at = |k: usize| line.get(k % n).copied().unwrap_or_default();
        (0..n).map(|k| at(k) * turn(k) + at(n - k) * turn(k).conj()).collect()
    })
}

/// The inverse of [`forward`].
fn inverse(x: Signal, axis: usize, n: usize) -> Result<Signal, OpError> {
    let turn = |k: usize| Complex64::from_polar(1.0 / n as f64, PI * k as f64 / (2 * n) as f64);
    let spectrum = x.lines(axis, n, |line| {
        let at = |k: usize| line.get(k).copied().unwrap_or_default() / scale(k, n);
        (0..n)
            .map(|k| turn(k) * (at(k) - if k > 0 { Complex64::I * at(n - k) } else { Complex64::default() }))
            .collect()
    })?;
    spectrum.transformed(axis, Direction::Inverse)?.lines(axis, n, |line| woven(&line))
}

/// What a transform is asked for.
struct Cosine<'a> {
    x: &'a Operand,
    kind: i64,
    axes: Ints,
    sizes: Ints,
    norm: Option<Norm>,
    along: fn(Signal, usize, usize) -> Result<Signal, OpError>,
}

fn rule(c: Cosine<'_>) -> Result<Defined<impl Fn() -> Result<Vec<Tensor>, OpError>>, OpError> {
    let orthogonal = c.kind == 2 && matches!(c.norm, None | Some(Norm::Ortho));
    ensure!(orthogonal, "expected the orthogonal transform of type 2, found type {} and {:?}", c.kind, c.norm);
    let sides = sides(c.x, &c.axes, &c.sizes, |own| own)?;
    let wide = complex_of(c.x.dtype());
    let dtype = if c.x.dtype().is_complex() { wide } else { part_of(wide) };
    let shape = sides.iter().fold(c.x.fact.shape.clone(), |dims, &(axis, len)| replaced(&dims, axis, len));
    size(&shape)?;
    let results = move || {
        let mut y = Signal::of(c.x.tensor()?)?;
        for &(axis, len) in &sides {
            y = (c.along)(y.resized(axis, len)?, axis, len)?;
        }
        Ok(vec![y.tensor(dtype)?])
    };
    Ok(Defined { facts: vec![Fact { dtype, shape }], results })
}

macro_rules! cosine {
    ($($(#[doc = $doc:literal])+ [$one:ident, $all:ident] = $along:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            ///
            /// Along dimension `axis`, of which `n` numbers count: if there are fewer, zeros follow. Types other than `f64` and
            /// `c128` are computed as `f32`. Only type 2 and the norm `ortho`, the default, are known.
            $one { x: Operand, kind: i64 = 2, n: Option<i64> = None, axis: i64 = -1, norm: Option<Norm> = None }
        }

        op! {
            $(#[doc = $doc])+
            ///
            /// Along the dimensions `axes`, of which `s` numbers count: if there are fewer, zeros follow. Without `axes` they are the
            /// last ones, as many as `s` has numbers, or without it all. Types other than `f64` and `c128` are computed as `f32`.
            /// Only type 2 and the norm `ortho`, the default, are known.
            $all {
                x: Operand,
                kind: i64 = 2,
                s: Option<Ints> = None,
                axes: Option<Ints> = None,
                norm: Option<Norm> = None,
            }
        }

        impl Operator for $one {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (axes, sizes) = (Ints::from_slice(&[self.axis]), self.n.into_iter().collect());
                rule(Cosine { x: &self.x, kind: self.kind, axes, sizes, norm: self.norm, along: $along })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[2, 5])).case("odd"),
                    sample().arg(wave(DType::F64, &[6, 2])).int(2).int(4).int(0).int(2).case("fewer"),
                    sample().arg(wave(DType::I32, &[3])).int(2).int(8).case("integers"),
                    sample().arg(complex(DType::C64, &[4])).case("c64"),
                    sample().arg(wave(DType::F32, &[1])).case("one"),
                ]
            }
        }

        impl Operator for $all {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (axes, sizes) = (self.axes.clone().unwrap_or_default(), self.s.clone().unwrap_or_default());
                rule(Cosine { x: &self.x, kind: self.kind, axes, sizes, norm: self.norm, along: $along })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 4])).case("all"),
                    sample().arg(wave(DType::F32, &[3, 4])).int(2).ints(&[5]).ints(&[0]).case("first"),
                ]
            }
        }
    )*};
}

cosine! {
    /// The cosine transform: `√(2/n) · Σ x[i] · cos(π · (2i + 1) · k / 2n)`, where sum 0 is divided by √2.
    [DCT, DCTN] = forward;
    /// The inverse of the cosine transform `DCT`.
    [IDCT, IDCTN] = inverse;
}
