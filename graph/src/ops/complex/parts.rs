//! Functions of one complex number.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule};
use crate::ops::kit::complex::{Complex64, complex_tensor, complexes, part_of};
use crate::ops::kit::indices::only;
use crate::ops::kit::sample::{complex, sample, wave};
use crate::ops::shape::transpose::{Permuted, permutation};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// What a function makes of real numbers.
#[derive(Clone, Copy, PartialEq)]
enum OfReal {
    /// It does not take them.
    Refused,
    /// Themselves.
    Same,
    /// As many zeros.
    Zero,
}

/// `f` of every number, as `out`.
struct OfOne<'a> {
    x: &'a Operand,
    of_real: OfReal,
    out: DType,
    f: fn(Complex64) -> Complex64,
}

impl OfOne<'_> {
    fn of_real(&self) -> Option<OfReal> {
        (!self.x.dtype().is_complex()).then_some(self.of_real)
    }
}

impl Rule for OfOne<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let refused = self.of_real() == Some(OfReal::Refused);
        ensure!(!refused, "expected a complex type, found {}", self.x.fact);
        Ok(vec![Fact { dtype: self.out, shape: self.x.fact.shape.clone() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, dims) = (self.x.tensor()?, self.x.shape());
        Ok(vec![match self.of_real() {
            Some(OfReal::Same) => x.clone(),
            Some(OfReal::Zero) => Tensor::zeros(self.out, dims)?,
            _ => complex_tensor(self.out, dims, &complexes(x)?.into_iter().map(self.f).collect::<Vec<_>>())?,
        }])
    }

    fn lower(&self, _: &mut Lowering) -> Lowers {
        Ok((self.of_real() == Some(OfReal::Same)).then(|| vec![self.x.v]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if self.of_real() == Some(OfReal::Same) {
            return Ok(Some(vec![e.edge(self.x)?]));
        }
        no_form("ONNX has no arithmetic of complex numbers")
    }
}

macro_rules! of_one {
    ($($(#[doc = $doc:literal])+ $($kind:ident)?: $name:ident = $of_real:ident, $out:expr, $f:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { input: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let out: fn(DType) -> DType = $out;
                Ok(OfOne { x: &self.input, of_real: OfReal::$of_real, out: out(self.input.dtype()), f: $f })
            }

            fn cases() -> Vec<Case> {
                cases(OfReal::$of_real)
            }
        }
    )*};
}

fn cases(of_real: OfReal) -> Vec<Case> {
    let mut out = vec![
        sample().arg(complex(DType::C64, &[2, 3])).case("c64"),
        sample().arg(complex(DType::C128, &[4])).case("c128"),
        sample().arg(complex(DType::C64, &[0])).exact("empty"),
    ];
    if of_real != OfReal::Refused {
        out.push(sample().arg(wave(DType::F32, &[2, 3])).exact("f32"));
        out.push(sample().index(DType::I64, &[2], &[i64::MAX, -1]).exact("i64"));
    }
    out
}

of_one! {
    /// Real part of each number, of any type.
    : Real = Same, part_of, |z| z;
    /// Imaginary part of each number, of any type: 0 for real ones.
    object: Imag = Zero, part_of, |z| z.im.into();
    /// Each number with the other sign of its imaginary part; real ones of any type stay what they are.
    : Conj = Same, |d| d, |z| z.conj();
    /// Angle of each complex number in the plane, from −π to π.
    : Angle = Refused, part_of, |z| z.arg().into();
    /// Magnitude of each complex number. It is infinite where a part is, even beside NaN.
    object: ComplexAbs = Refused, part_of, |z| z.norm().into();
}

op! {
    /// Dimension `i` of the result is dimension `perm[i]` of `x`; complex numbers are conjugated. Any type.
    object ConjugateTranspose { x: Operand, perm: Ints }
}

/// [`Permuted`] of numbers that are conjugated.
struct Adjoint<'a>(Permuted<'a>);

impl Rule for Adjoint<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.0.infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let y = only(self.0.reference()?)?;
        if !y.dtype().is_complex() {
            return Ok(vec![y]);
        }
        let conj: Vec<_> = complexes(&y)?.iter().map(Complex64::conj).collect();
        Ok(vec![complex_tensor(y.dtype(), y.shape(), &conj)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.0.x.dtype().is_complex() { Ok(None) } else { self.0.lower(b) }
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if self.0.x.dtype().is_complex() {
            return no_form("ONNX has no arithmetic of complex numbers");
        }
        self.0.onnx(e)
    }
}

impl Operator for ConjugateTranspose {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Adjoint(Permuted { x: &self.x, perm: permutation(&self.x, &self.perm)? }))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(complex(DType::C64, &[2, 3])).ints(&[1, 0]).exact("c64"),
            sample().arg(complex(DType::C128, &[2, 1, 3])).ints(&[-1, 0, 1]).exact("c128"),
            sample().arg(wave(DType::F32, &[2, 3])).ints(&[1, 0]).exact("f32"),
        ]
    }
}
