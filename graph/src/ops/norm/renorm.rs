use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::Groups;
use crate::ops::kit::complex::{Complex64, complex_tensor, complexes};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::sample::{complex, sample, wave};
use crate::{DType, Fact, OpError, ensure, op};

op! {
    /// `x` with the slices along dimension `dim` whose norm of order `p` is more than `maxnorm` made shorter to it. Floats or complex
    /// numbers.
    classic Renorm { x: Operand, p: f64, dim: i64, maxnorm: f64 }
}

impl Operator for Renorm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d, axis) = (&self.x, self.x.dtype(), self.x.axis(self.dim)?);
        ensure!(d.is_float() || d.is_complex(), "expected floats or complex numbers, found {}", x.fact);
        let positive = self.p > 0.0;
        ensure!(positive, "expected an order above 0, found {}", self.p);
        let others: Vec<usize> = (0..x.rank()).filter(|other| *other != axis).collect();
        let results = move || {
            let data = complexes(x.tensor()?)?;
            let y = Groups::new(x.shape(), &others).replace(&data, Complex64::default(), |slice| {
                let norm = slice.iter().map(|z| z.norm().powf(self.p)).sum::<f64>().powf(1.0 / self.p);
                let factor = if norm > self.maxnorm { self.maxnorm / norm } else { 1.0 };
                slice.iter().map(|z| z * factor).collect()
            })?;
            Ok(vec![complex_tensor(d, x.shape(), &y)?])
        };
        Ok(Defined { facts: vec![Fact::new(d, x.shape())], results })
    }

    fn cases() -> Vec<Case> {
        let x = |d, dims: &[usize]| sample().arg(wave(d, dims));
        vec![
            x(DType::F32, &[3, 4]).real(1.0).int(0).real(5.0).case("rows"),
            x(DType::F64, &[2, 3, 2]).real(2.0).int(-1).real(3.0).case("last"),
            sample().arg(complex(DType::C64, &[3, 2])).real(2.0).int(0).real(3.0).case("c64"),
        ]
    }
}
