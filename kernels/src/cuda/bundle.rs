//! Kernels compiled ahead for several architectures: one file, with which a device needs no compiler.
//!
//! It is [`MAGIC`], for each kernel its architecture, what its code was made of and the code, and a sum over all bytes.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mindir_graph::task::Task;
use mindir_shaders::{Language, Module};

use super::compile::{Compiler, made_of, part, push_part, sealed, whole};
use super::{NAME, Unavailable};
use crate::device::{
    Declined, Device, DeviceError, DeviceMemory, Executable, MemoryModel, Offer, Preferences, Stage, TaskView, Weights,
};
use crate::launch::{self, GpuKernel, Limits, PlanOnly, Target};

const MAGIC: &[u8; 16] = b"mindir bundle 1\n";

/// Most bytes of a bundle.
const MOST: u64 = 1 << 30;

/// Compiled kernels, by what they are made of, for one architecture.
pub(super) struct Bundle {
    path: PathBuf,
    code: HashMap<String, Vec<u8>>,
}

impl Bundle {
    /// The kernels of the file for a GPU of this compute capability.
    ///
    /// # Errors
    /// [`Unavailable::Bundle`] if the file cannot be read, is damaged or is no bundle, or has nothing for the GPU.
    pub(super) fn read(path: &Path, (major, minor): (i32, i32)) -> Result<Bundle, Unavailable> {
        let refused = |reason: String| Unavailable::Bundle { path: path.to_path_buf(), reason };
        let found = std::fs::metadata(path).map_err(|e| refused(e.to_string()))?;
        if !found.is_file() || found.len() > MOST {
            return Err(refused(format!("expected a file of at most {} MiB", MOST >> 20)));
        }
        let bytes = std::fs::read(path).map_err(|e| refused(e.to_string()))?;
        let records = records(&bytes).ok_or_else(|| refused("it is damaged, or no bundle of kernels".into()))?;
        let fitting = records.iter().filter_map(|(arch, ..)| Some((serves(arch, major, minor)?, *arch)));
        let Some((_, best)) = fitting.max() else {
            let mut found: Vec<&str> = records.iter().map(|(arch, ..)| *arch).collect();
            found.sort_unstable();
            found.dedup();
            return Err(refused(format!("it is for {}, the GPU is sm_{major}{minor}", found.join(", "))));
        };
        let of_best = records.iter().filter(|(arch, ..)| *arch == best);
        let code = of_best.map(|(_, made_of, code)| ((*made_of).to_string(), code.to_vec())).collect();
        Ok(Bundle { path: path.to_path_buf(), code })
    }

    /// Machine code of `source`.
    pub(super) fn cubin(&self, source: &str) -> Option<&[u8]> {
        self.code.get(&made_of(source)).map(Vec::as_slice)
    }

    /// Why a kernel is not there.
    pub(super) fn lacks(&self) -> String {
        format!(
            "the bundle {} lacks this kernel, and there is no compiler; it is of other models, other shapes or another version",
            self.path.display()
        )
    }
}

/// Architecture, what the code was made of, and the code of each kernel.
fn records(bytes: &[u8]) -> Option<Vec<(&str, &str, &[u8])>> {
    let mut rest = whole(MAGIC, bytes)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let mut text = || std::str::from_utf8(part(&mut rest)?).ok();
        let (arch, made_of) = (text()?, text()?);
        records.push((arch, made_of, part(&mut rest)?));
    }
    Some(records)
}

/// Major and minor number of an architecture, and whether its code runs on this one only.
fn parsed(arch: &str) -> Option<(i32, i32, bool)> {
    let digits = arch.strip_prefix("sm_")?;
    let plain = digits.strip_suffix('a').unwrap_or(digits);
    let is_number = (2..=3).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_digit());
    let number: i32 = plain.parse().ok().filter(|_| is_number)?;
    Some((number / 10, number % 10, plain.len() < digits.len()))
}

/// How well code of an architecture suits a GPU, if it runs there: machine code runs on the GPUs of one major number from its minor
/// number on, and that of an architecture with an `a` on this one only.
fn serves(arch: &str, major: i32, minor: i32) -> Option<(i32, bool)> {
    let (of, from, only) = parsed(arch)?;
    let runs = of == major && if only { from == minor } else { from <= minor };
    runs.then_some((from, only))
}

/// Why no bundle is made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It is no architecture.
    #[error("{found:?} is no architecture; expected one such as sm_80 or sm_90a")]
    Architecture {
        /// What was given.
        found: String,
    },
    /// There is no compiler.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The compiler refuses a kernel.
    #[error("{arch}: {message}")]
    Compiler {
        /// For which architecture.
        arch: String,
        /// What the compiler says.
        message: String,
    },
}

/// A device that notes the kernels that a GPU needs, to compile them where there is none. It runs nothing: it takes what a GPU
/// takes, so that plans are those of a GPU, or declines all of it, so that models run elsewhere while it takes notes.
#[derive(Clone)]
pub struct Kernels {
    gpu: PlanOnly,
    sources: Arc<Mutex<Vec<String>>>,
    declines: bool,
}

impl Default for Kernels {
    fn default() -> Kernels {
        Kernels { gpu: PlanOnly::cuda(), sources: Arc::default(), declines: false }
    }
}

impl Kernels {
    /// How many kernels were noted.
    pub fn count(&self) -> usize {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A device that notes to the same list and declines everything.
    #[must_use]
    pub fn declining(&self) -> Kernels {
        Kernels { declines: true, ..self.clone() }
    }

    /// The bytes of a bundle: every kernel that was noted, compiled by NVRTC for each of the architectures.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn bundle(&self, architectures: &[String]) -> Result<Vec<u8>, BundleError> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut body = MAGIC.to_vec();
        for arch in architectures {
            parsed(arch).ok_or_else(|| BundleError::Architecture { found: arch.clone() })?;
            let compiler = Compiler::find(arch, None)?;
            for source in &sources {
                let refused = |message| BundleError::Compiler { arch: arch.clone(), message };
                let code = compiler.cubin(source).map_err(refused)?;
                push_part(&mut body, arch.as_bytes());
                push_part(&mut body, made_of(source).as_bytes());
                push_part(&mut body, &code);
            }
        }
        Ok(sealed(body))
    }

    fn note(&self, module: &Module) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(at) = sources.binary_search(&module.source) {
            sources.insert(at, module.source.clone());
        }
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernels({})", self.count())
    }
}

impl Device for Kernels {
    fn name(&self) -> &str {
        NAME
    }

    fn memory(&self) -> MemoryModel {
        self.gpu.memory()
    }

    fn preferences(&self) -> Preferences {
        self.gpu.preferences()
    }

    fn own_memory(&self) -> Option<&dyn DeviceMemory> {
        self.gpu.own_memory()
    }

    fn offer(&self, task: TaskView<'_>) -> Result<Offer, Declined> {
        let offer = self.gpu.offer(task)?;
        if let Task::Gemm(gemm) = task.task {
            // A GPU with cuBLASLt needs what follows its products instead.
            let on = Target { language: Language::Cuda, limits: Limits::CUDA };
            let after = launch::product(gemm, task, &on).map(|product| product.after).unwrap_or_default();
            after.iter().for_each(|launch| self.note(&launch.module));
        }
        if let Some(kernel) = offer.prepared.downcast_ref::<GpuKernel>() {
            kernel.launches.iter().for_each(|launch| self.note(&launch.module));
        }
        if self.declines { Err(Declined("its kernel is noted".into())) } else { Ok(offer) }
    }

    fn build(&self, stage: Stage, offers: Vec<Offer>, weights: &Weights) -> Result<Arc<dyn Executable>, DeviceError> {
        self.gpu.build(stage, offers, weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_on_gpus_of_its_kind() {
        for (arch, gpu, runs) in [
            ("sm_80", (8, 0), true),
            ("sm_80", (8, 9), true),
            ("sm_86", (8, 0), false),
            ("sm_80", (9, 0), false),
            ("sm_90a", (9, 0), true),
            ("sm_100a", (10, 3), false),
            ("sm_120", (12, 1), true),
            ("compute_80", (8, 0), false),
            ("sm_8", (0, 8), false),
            ("sm_90b", (9, 0), false),
        ] {
            assert_eq!(serves(arch, gpu.0, gpu.1).is_some(), runs, "{arch} on {gpu:?}");
        }
        assert!(serves("sm_90a", 9, 0) > serves("sm_90", 9, 0));
    }

    #[test]
    fn files_that_are_damaged_or_for_other_gpus_are_refused() {
        let path = std::env::temp_dir().join(format!("mindir-bundle-{}", std::process::id()));
        let mut body = MAGIC.to_vec();
        for (arch, code) in [("sm_80", "old"), ("sm_90", "new"), ("sm_90a", "best")] {
            [arch, &made_of("text"), code].iter().for_each(|text| push_part(&mut body, text.as_bytes()));
        }
        let good = sealed(body);
        std::fs::write(&path, &good).expect("a file");
        let code = |gpu| Bundle::read(&path, gpu).map(|b| b.cubin("text").map(<[u8]>::to_vec));
        assert_eq!(code((8, 6)), Ok(Some(b"old".to_vec())));
        assert_eq!(code((9, 0)), Ok(Some(b"best".to_vec())));
        assert_eq!(Bundle::read(&path, (9, 0)).expect("a bundle").cubin("another"), None);
        let reason = |gpu| match Bundle::read(&path, gpu) {
            Err(Unavailable::Bundle { reason, .. }) => reason,
            other => panic!("{:?}", other.map(|_| "a bundle")),
        };
        assert_eq!(reason((7, 5)), "it is for sm_80, sm_90, sm_90a, the GPU is sm_75");
        for i in 0..good.len() {
            let mut damaged = good.clone();
            damaged[i] ^= 16;
            std::fs::write(&path, &damaged).expect("a file");
            assert_eq!(reason((9, 0)), "it is damaged, or no bundle of kernels", "byte {i}");
            std::fs::write(&path, &good[..i]).expect("a file");
            assert_eq!(reason((9, 0)), "it is damaged, or no bundle of kernels", "{i} bytes");
        }
        // Lengths that lie, under a right sum.
        let mut body = MAGIC.to_vec();
        body.extend(u64::MAX.to_le_bytes());
        std::fs::write(&path, sealed(body)).expect("a file");
        assert_eq!(reason((9, 0)), "it is damaged, or no bundle of kernels");
        std::fs::remove_file(&path).expect("a file");
    }
}
