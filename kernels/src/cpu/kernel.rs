//! What a CPU kernel is, and how it reaches its operands and results.

use std::fmt;
use std::marker::PhantomData;

use bytemuck::Pod;
use mindir_graph::bounds::Exceeded;
use mindir_graph::{DType, Element, Fact, OpError, TensorError};

use super::gang::Gang;
use super::packed::Constants;
use crate::device::Refused;

/// A task compiled for known facts, instruction set and number of threads.
pub trait CpuKernel: Send + Sync {
    /// `{isa}-{dtypes}-{variant}`.
    fn name(&self) -> &str;

    /// Operands whose storage the first result may take over.
    fn in_place(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Bytes of scratch that `run` needs.
    fn scratch(&self) -> usize {
        0
    }

    /// Bytes that `run` allocates besides, at most.
    fn heap(&self) -> usize {
        0
    }

    /// Takes the constants among the operands, once before the first run, and makes of them what runs need.
    ///
    /// # Errors
    /// [`Refused::Limit`] if there is no memory, or the thread has to stop; [`Refused::Declined`] if constants are not what
    /// was said of them.
    fn pack(&mut self, _constants: &mut Constants<'_>) -> Result<(), Refused> {
        Ok(())
    }

    /// Whether runs read operand `i`, and not only what was made of it before.
    fn reads(&self, _i: usize) -> bool {
        true
    }

    /// Computes the results. Every element of every result is written.
    ///
    /// # Errors
    /// [`Failed`] if the data is invalid, or constants were not packed; results are unspecified then, as they are if the thread has to
    /// [stop](mindir_graph::bounds::check), for the gang leaves out chunks from then on.
    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed>;
}

/// Why a kernel stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The data is invalid.
    Data(String),
    /// A bound of the run does not hold.
    Limit(Exceeded),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Data(message) => f.write_str(message),
            Failed::Limit(e) => e.fmt(f),
        }
    }
}

impl From<String> for Failed {
    fn from(message: String) -> Failed {
        Failed::Data(message)
    }
}

impl From<&str> for Failed {
    fn from(message: &str) -> Failed {
        Failed::Data(message.into())
    }
}

impl From<OpError> for Failed {
    fn from(e: OpError) -> Failed {
        match e {
            OpError::Limit(e) => Failed::Limit(e),
            e => Failed::Data(e.to_string()),
        }
    }
}

impl From<TensorError> for Failed {
    fn from(e: TensorError) -> Failed {
        OpError::from(e).into()
    }
}

/// Memory of an operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    /// First byte.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
    /// Element type.
    pub dtype: DType,
    /// Whether it is the memory of result 0.
    pub shared: bool,
    /// Whether the kernel reads it.
    pub read: bool,
}

/// Memory of a result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// First byte.
    pub ptr: *mut u8,
    /// Number of bytes.
    pub len: usize,
    /// Element type.
    pub dtype: DType,
    /// Whether the kernel holds it.
    pub taken: bool,
}

/// Operands, results and scratch of one run of a kernel.
///
/// Each operand and result is a slice of exactly the elements of its fact, aligned to 64 bytes unless it is a constant,
/// which is aligned to its elements.
pub struct Io<'a> {
    operands: &'a [Operand],
    results: &'a mut [Target],
    scratch: (*mut u8, usize),
    run: PhantomData<&'a mut [u8]>,
}

impl<'a> Io<'a> {
    /// # Safety
    /// During `'a`: every operand that is `read` is readable, every result writable and initialised, scratch (aligned to 64) too; results
    /// and scratch overlap nothing, except that operands marked `shared` are the memory of result 0. Pointers are aligned
    /// for their element types. Operands that are `bool` hold 0 and 1.
    pub(super) unsafe fn new(operands: &'a [Operand], results: &'a mut [Target], scratch: (*mut u8, usize)) -> Io<'a> {
        Io { operands, results, scratch, run: PhantomData }
    }

    /// Whether operand `i` lies in the memory of result 0, so that only [`Io::result`] gives it. Happens only to operands
    /// that the kernel names in [`CpuKernel::in_place`].
    pub fn is_shared(&self, i: usize) -> bool {
        self.operands.get(i).is_some_and(|o| o.shared)
    }

    /// The elements of operand `i`; `bool` is viewed as `u8`.
    ///
    /// # Errors
    /// [`Failed`] if there is no such operand, it has another element type, it [is shared](Io::is_shared), or the kernel said
    /// that it does not [read](CpuKernel::reads) it.
    pub fn operand<T: Element>(&self, i: usize) -> Result<&'a [T], Failed> {
        let o = self.checked(i)?;
        expect::<T>(o.dtype)?;
        // SAFETY: `new` promises readable, aligned memory that nobody writes; any bits are a valid `T`.
        Ok(unsafe { std::slice::from_raw_parts(o.ptr.cast(), o.len / size_of::<T>()) })
    }

    /// The bytes of operand `i`.
    ///
    /// # Errors
    /// [`Failed`] if there is no such operand or it [is shared](Io::is_shared).
    pub fn operand_bytes(&self, i: usize) -> Result<&'a [u8], Failed> {
        let o = self.checked(i)?;
        // SAFETY: `new` promises readable memory that nobody writes.
        Ok(unsafe { std::slice::from_raw_parts(o.ptr, o.len) })
    }

    fn checked(&self, i: usize) -> Result<&'a Operand, Failed> {
        let o = self.operands.get(i).ok_or_else(|| Failed::Data(format!("no operand {i}")))?;
        match o {
            Operand { shared: true, .. } => Err(Failed::Data(format!("operand {i} is computed in place"))),
            Operand { read: false, .. } => Err(Failed::Data(format!("operand {i} was to be packed"))),
            _ => Ok(o),
        }
    }

    /// The elements of result `i`; `bool` is viewed as `u8` and must be written as 0 and 1. A result can be taken once.
    /// What it holds is the operand that [is shared](Io::is_shared), or anything.
    ///
    /// # Errors
    /// [`Failed`] if there is no such result, it has another element type, or it is taken.
    pub fn result<T: Element>(&mut self, i: usize) -> Result<&'a mut [T], Failed> {
        expect::<T>(self.results.get(i).map_or(T::DTYPE, |r| r.dtype))?;
        let bytes = self.result_bytes(i)?;
        // SAFETY: `bytes` is not used any more, `new` promises the alignment, and any bits are a valid `T`.
        Ok(unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / size_of::<T>()) })
    }

    /// The bytes of result `i`, as [`Io::result`] gives the elements.
    ///
    /// # Errors
    /// As [`Io::result`].
    pub fn result_bytes(&mut self, i: usize) -> Result<&'a mut [u8], Failed> {
        let r = self.results.get_mut(i).ok_or_else(|| Failed::Data(format!("no result {i}")))?;
        if std::mem::replace(&mut r.taken, true) {
            return Err(Failed::Data(format!("result {i} is taken")));
        }
        // SAFETY: `new` promises exclusive memory, and a result is handed out once.
        Ok(unsafe { std::slice::from_raw_parts_mut(r.ptr, r.len) })
    }

    /// The first `count` elements of scratch not yet taken, aligned to 64 bytes, holding anything.
    ///
    /// # Errors
    /// [`Failed`] if the kernel asked for less in [`CpuKernel::scratch`].
    pub fn scratch<T: Pod>(&mut self, count: usize) -> Result<&'a mut [T], Failed> {
        let (ptr, left) = self.scratch;
        let bytes = (count * size_of::<T>()).next_multiple_of(64);
        if bytes > left || align_of::<T>() > 64 {
            return Err(Failed::Data(format!("{bytes} bytes of scratch, {left} left")));
        }
        // SAFETY: the range lies inside scratch, which `new` promises to be exclusive, and is handed out once.
        unsafe {
            self.scratch = (ptr.add(bytes), left - bytes);
            Ok(std::slice::from_raw_parts_mut(ptr.cast(), count))
        }
    }
}

fn expect<T: Element>(found: DType) -> Result<(), Failed> {
    if T::DTYPE == found || (found == DType::Bool && T::DTYPE == DType::U8) {
        return Ok(());
    }
    Err(Failed::Data(format!("a kernel for {} was given {found}", T::DTYPE)))
}

/// Bytes of scratch that `counts` elements of `T` take, each list on its own.
pub fn scratch_bytes<T>(counts: &[usize]) -> usize {
    counts.iter().map(|c| (c * size_of::<T>()).next_multiple_of(64)).sum()
}

/// The element types of `facts`, each named once, joined by `_`: the middle of a kernel's name.
pub fn dtypes(facts: &[Fact]) -> String {
    let mut names: Vec<&str> = facts.iter().map(|f| f.dtype.name()).collect();
    names.dedup();
    names.join("_")
}
