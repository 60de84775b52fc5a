//! Which instructions the processor has.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use super::simd::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::simd::avx512::Avx512;
use super::simd::portable::Portable;
use super::simd::{Kernel, Simd};
use crate::knobs::{self, KnobError};

/// The instruction set that kernels are compiled for. Holding a value is the right to use it.
#[derive(Clone, Copy, Debug)]
pub enum Isa {
    /// Whatever the compiler assumes, as vectors of 4.
    Scalar,
    /// As `Scalar`, with the 16 lanes of AVX-512: same code paths, for this crate's tests on other machines.
    #[cfg(test)]
    Wide,
    /// AVX2 and FMA, vectors of 8.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512, vectors of 16.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Isa {
    /// The best that the processor has, capped by `MINDIR_ISA`.
    ///
    /// # Errors
    /// [`KnobError`] if the variable names no instruction set.
    pub fn detect() -> Result<Isa, KnobError> {
        Isa::capped(knobs::ISA.get().as_deref())
    }

    /// The best that the processor has and `cap` allows.
    fn capped(cap: Option<&str>) -> Result<Isa, KnobError> {
        const LEVELS: [&str; 3] = ["scalar", "avx2", "avx512"];
        let level = |name: &str| LEVELS.iter().position(|l| *l == name);
        let most = match cap {
            None => LEVELS.len(),
            Some(cap) => level(cap).ok_or_else(|| knobs::ISA.error(cap))?,
        };
        let allowed = |isa: &Isa| level(isa.name()).is_some_and(|l| l <= most);
        Ok(Isa::native().into_iter().rev().find(allowed).unwrap_or(Isa::Scalar))
    }

    /// Every instruction set that this processor can run.
    pub fn all() -> Vec<Isa> {
        let mut all = vec![Isa::Scalar];
        #[cfg(test)]
        all.push(Isa::Wide);
        all.extend(Isa::native());
        all
    }

    #[cfg(target_arch = "x86_64")]
    fn native() -> Vec<Isa> {
        let found = [Avx2::detect().map(Isa::Avx2), Avx512::detect().map(Isa::Avx512)];
        found.into_iter().flatten().collect()
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn native() -> Vec<Isa> {
        Vec::new()
    }

    /// Short name: `scalar`, `avx2`, `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            #[cfg(test)]
            Isa::Wide => "wide",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
        }
    }

    /// Lanes of an `f32` vector.
    pub fn lanes(self) -> usize {
        match self {
            Isa::Scalar => 4,
            #[cfg(test)]
            Isa::Wide => 16,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => Avx512::LANES,
        }
    }

    /// Runs `kernel` compiled for this instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Out {
        #[inline(always)]
        fn on<S: Simd, K: Kernel>(s: S, kernel: K) -> K::Out {
            s.vectorize(
                #[inline(always)]
                || kernel.run(s),
            )
        }
        match self {
            Isa::Scalar => on(Portable::<4>, kernel),
            #[cfg(test)]
            Isa::Wide => on(Portable::<16>, kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(s) => on(s, kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(s) => on(s, kernel),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_is_a_level_that_exists() {
        assert_eq!(Isa::capped(Some("scalar")).unwrap().name(), "scalar");
        assert_ne!(Isa::capped(Some("avx2")).unwrap().name(), "avx512");
        assert_eq!(Isa::capped(None).unwrap().name(), Isa::capped(Some("avx512")).unwrap().name());
        let error = Isa::capped(Some("neon")).unwrap_err();
        assert_eq!(error.to_string(), "MINDIR_ISA is \"neon\", expected avx512|avx2|scalar");
    }
}
