//! Environment variables that this crate reads.

/// An environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Knob {
    /// Name of the variable.
    pub name: &'static str,
    /// What it may be set to.
    pub values: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
}

impl Knob {
    /// The value, if set and not empty.
    pub fn get(&self) -> Option<String> {
        std::env::var(self.name).ok().filter(|v| !v.is_empty())
    }
}

/// A variable is set to what it may not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {found:?}, expected {expected}")]
pub struct KnobError {
    /// Name of the variable.
    pub name: &'static str,
    /// What it is set to.
    pub found: String,
    /// What it may be set to.
    pub expected: &'static str,
}

impl Knob {
    /// Whether the variable is `1`, the only value that it may have.
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(crate) fn is_set(&self) -> Result<bool, KnobError> {
        match self.get().as_deref() {
            None => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(self.error(other)),
        }
    }

    pub(crate) fn error(&self, found: &str) -> KnobError {
        KnobError { name: self.name, found: found.into(), expected: self.values }
    }
}

/// Caps the instruction set of the CPU device.
pub const ISA: Knob = Knob {
    name: "MINDIR_ISA",
    values: "avx512|avx2|scalar",
    default: "the best that the processor has",
    help: "caps the instruction set of the cpu device",
};

/// Number of threads of the CPU device.
pub const THREADS: Knob = Knob {
    name: "MINDIR_THREADS",
    values: "a number from 1 to 4096",
    default: "the cores that the process may use",
    help: "number of threads of the cpu device",
};

/// Lets the wgpu device use drivers that run on the processor.
pub const WGPU_CPU: Knob = Knob {
    name: "MINDIR_WGPU_CPU",
    values: "1",
    default: "such drivers are passed over",
    help: "lets the wgpu device use drivers that run on the processor",
};

/// Where the CUDA device keeps compiled kernels.
pub const CUDA_CACHE: Knob = Knob {
    name: "MINDIR_CUDA_CACHE",
    values: "a folder",
    default: "mindir/cuda in the user's cache",
    help: "where the cuda device keeps compiled kernels",
};

/// Kernels that the CUDA device does not compile.
pub const CUDA_BUNDLE: Knob = Knob {
    name: "MINDIR_CUDA_BUNDLE",
    values: "a file of mindir kernels build",
    default: "every kernel is compiled",
    help: "kernels that the cuda device need not compile",
};

/// Keeps the CUDA device from using cuBLASLt.
pub const CUDA_OWN_PRODUCTS: Knob = Knob {
    name: "MINDIR_CUDA_OWN_PRODUCTS",
    values: "1",
    default: "cuBLASLt computes products where it is found",
    help: "keeps the cuda device from using cuBLASLt",
};

/// Every knob of this crate.
pub const ALL: &[Knob] = &[ISA, THREADS, WGPU_CPU, CUDA_CACHE, CUDA_BUNDLE, CUDA_OWN_PRODUCTS];
