use crate::bounds::Pulse;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::complex::{Complex64, complex_tensor, complexes};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::sample::{complex, sample, wave};
use crate::{DType, Fact, OpError, ensure, op, op_enum};

op_enum! {
    /// Which places of the shorter vector beside the longer one count.
    Overlap {
        /// As many as the longer one has numbers, in the middle.
        Same = 1, "same";
        /// Those where all of it is.
        Valid = 2, "valid";
        /// Those where some of it is.
        Full = 3, "full";
    }
}

op! {
    /// Sums of the products of `a` with the conjugate of `v`, one for each place of `v` beside `a`: `Σ a[n + k] · v̄[n]` for rising `k`. Both are
    /// vectors of one type with numbers; `pad_mode` says which places count. Integers give `f32`, those of 64 bits `f64`.
    Correlate { a: Operand, v: Operand, pad_mode: Overlap = Overlap::Valid }
}

impl Operator for Correlate {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, v, d) = (&self.a, &self.v, self.a.dtype());
        let (&[m], &[n]) = (a.shape(), v.shape()) else {
            return Err(OpError::Invalid(format!("expected vectors, found {} and {}", a.fact, v.fact)));
        };
        ensure!(m > 0 && n > 0 && v.dtype() == d, "expected numbers of one type, found {} and {}", a.fact, v.fact);
        let out = match d {
            d if d.is_float() || d.is_complex() => d,
            DType::I64 | DType::U64 => DType::F64,
            _ => DType::F32,
        };
        let (long, short) = (m.max(n), m.min(n));
        let (skipped, count) = match self.pad_mode {
            Overlap::Full => (0, long + short - 1),
            Overlap::Valid => (short - 1, long - short + 1),
            // Where the place in the middle is between two, the other one is taken if `v` is the longer vector.
            Overlap::Same => (if m < n { short / 2 } else { short - 1 - short / 2 }, long),
        };
        let results = move || {
            let (x, y, mut pulse) = (complexes(a.tensor()?)?, complexes(v.tensor()?)?, Pulse::default());
            let mut sums = Vec::with_capacity(count);
            for at in skipped..skipped + count {
                pulse.turns(short)?;
                // `v` ends at place `at` of `a`.
                let (from, before) = ((at + 1).saturating_sub(n), n.saturating_sub(at + 1));
                let products = x.iter().skip(from).zip(y.iter().skip(before)).map(|(a, v)| a * v.conj());
                sums.push(products.sum::<Complex64>());
            }
            Ok(vec![complex_tensor(out, &[count], &sums)?])
        };
        Ok(Defined { facts: vec![Fact::new(out, &[count])], results })
    }

    fn cases() -> Vec<Case> {
        let of = |d, m: usize, n: usize| sample().arg(wave(d, &[m])).tensor(d, &[n]);
        vec![
            of(DType::F32, 5, 3).case("valid"),
            of(DType::F32, 5, 3).int(1).case("same"),
            of(DType::F64, 3, 4).int(1).case("longer"),
            of(DType::I8, 3, 2).int(3).case("integers"),
            sample().arg(complex(DType::C64, &[3])).arg(complex(DType::C64, &[2])).int(3).case("c64"),
        ]
    }
}
