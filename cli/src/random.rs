//! Made-up inputs.

use mindir::random::SplitMix;
use mindir::{DType, Error, Fact, Limit, Tensor};

use crate::failure::Failure;

/// What made-up tensors hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Floats with mean 0 and deviation 1 between −3.47 and 3.47; integers and truth values 0 or 1, which every mask and
    /// index allows.
    Random(u64),
    /// 1 everywhere.
    Ones,
    /// 0 everywhere.
    Zeros,
}

impl Fill {
    /// `rand`, `rand:SEED`, `ones` or `zeros`.
    pub fn parse(text: &str) -> Option<Fill> {
        match text {
            "ones" => Some(Fill::Ones),
            "zeros" => Some(Fill::Zeros),
            "rand" => Some(Fill::Random(0)),
            _ => text.strip_prefix("rand:")?.parse().ok().map(Fill::Random),
        }
    }

    /// A tensor for input number `index`: inputs of one model get different numbers from one seed.
    pub fn tensor(self, fact: &Fact, index: usize) -> Result<Tensor, Failure> {
        let count = room(fact)?;
        match self {
            Fill::Zeros => Ok(Tensor::zeros(fact.dtype, &fact.shape)?),
            Fill::Ones => filled(fact, count, |_| 1.0, |_| 1),
            Fill::Random(seed) => {
                let mut bits = SplitMix(seed ^ (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let mut other = SplitMix(bits.0);
                filled(fact, count, |_| bits.normal(), |_| (other.bits() >> 63) as i64)
            }
        }
    }
}

/// The number of elements, if there is memory for them, and for each as a number of 16 bytes on the way.
fn room(fact: &Fact) -> Result<usize, Failure> {
    let count = fact.shape.iter().fold(1usize, |n, d| n.saturating_mul(*d));
    let count = if fact.shape.contains(&0) { 0 } else { count };
    let bytes = count.saturating_mul(16 + fact.dtype.size());
    let refused = |_| Error::Limit { what: Limit::System, limit: 0, needed: bytes as u64 };
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(refused)?;
    Ok(count)
}

fn filled(
    fact: &Fact,
    count: usize,
    mut float: impl FnMut(usize) -> f64,
    int: impl FnMut(usize) -> i64,
) -> Result<Tensor, Failure> {
    let dims = &fact.shape;
    let tensor = match fact.dtype {
        DType::C64 | DType::C128 => complex(fact, count, float)?,
        d if d.is_float() => {
            let values: Vec<f64> = (0..count).map(&mut float).collect();
            Tensor::from_f64s(d, dims, &values)?
        }
        d => Tensor::from_i64s(d, dims, &(0..count).map(int).collect::<Vec<_>>())?,
    };
    Ok(tensor)
}

/// Real parts from `float`, imaginary parts 0.
fn complex(fact: &Fact, count: usize, mut float: impl FnMut(usize) -> f64) -> Result<Tensor, mindir::TensorError> {
    let part = if fact.dtype == DType::C64 { DType::F32 } else { DType::F64 };
    let values: Vec<f64> = (0..2 * count).map(|i| if i % 2 == 0 { float(i / 2) } else { 0.0 }).collect();
    let flat = Tensor::from_f64s(part, &[2 * count], &values)?;
    Tensor::from_bytes(fact.dtype, &fact.shape, flat.bytes().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_and_differ() {
        let fact = Fact::new(DType::F32, &[1000]);
        let a = Fill::Random(7).tensor(&fact, 0).unwrap();
        assert_eq!(a, Fill::Random(7).tensor(&fact, 0).unwrap());
        assert_ne!(a, Fill::Random(7).tensor(&fact, 1).unwrap());
        assert_ne!(a, Fill::Random(8).tensor(&fact, 0).unwrap());
        let x = a.to_f64s().unwrap();
        let mean = x.iter().sum::<f64>() / 1000.0;
        let variance = x.iter().map(|v| v * v).sum::<f64>() / 1000.0 - mean * mean;
        assert!(mean.abs() < 0.1 && (variance - 1.0).abs() < 0.15, "{mean} {variance}");
    }

    #[test]
    fn every_type_can_be_made() {
        for dtype in DType::ALL {
            for fill in [Fill::Random(1), Fill::Ones, Fill::Zeros] {
                assert_eq!(fill.tensor(&Fact::new(dtype, &[2, 3]), 0).unwrap().fact(), Fact::new(dtype, &[2, 3]));
            }
        }
    }
}
