//! Elements shared with NumPy, both ways, by its array interface: a structure in a capsule, `__array_struct__`.
//!
//! <https://numpy.org/doc/stable/reference/arrays.interface.html>

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{self, NonNull};

use bytes::Bytes;
use mindir::{DType, Tensor};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::error::{raised, usage};

const CONTIGUOUS: c_int = 0x1;
const ALIGNED: c_int = 0x100;
const NATIVE: c_int = 0x200;
const WRITEABLE: c_int = 0x400;

/// NumPy's `PyArrayInterface`.
#[repr(C)]
struct Interface {
    two: c_int,
    nd: c_int,
    typekind: c_char,
    itemsize: c_int,
    flags: c_int,
    shape: *mut isize,
    strides: *mut isize,
    data: *mut c_void,
    descr: *mut ffi::PyObject,
}

/// The elements of an array, which somebody else may write.
pub struct Shared {
    /// The elements where the array has them.
    pub tensor: Tensor,
    /// Whether the array says that they may be written.
    pub writable: bool,
}

/// Memory that Python objects own.
struct Foreign<K> {
    data: *const u8,
    len: usize,
    _keep: K,
}

// SAFETY: the bytes are only read, and stay where they are while the objects that own them are kept.
unsafe impl<K: Send> Send for Foreign<K> {}
// SAFETY: as above.
unsafe impl<K: Send> Sync for Foreign<K> {}

impl<K> AsRef<[u8]> for Foreign<K> {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: whoever made it vouches for `len` bytes at `data` as long as `_keep` lives.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

/// A tensor over elements that belong to `keep`.
///
/// # Safety
/// While `keep` lives there are as many elements of `dtype` at `data` as `dims` have, row-major; nobody writes them while they are
/// read.
pub unsafe fn over<K: Send + 'static>(dtype: DType, dims: &[usize], data: *const u8, keep: K) -> PyResult<Tensor> {
    let len = dims.iter().try_fold(dtype.size(), |n, d| n.checked_mul(*d)).filter(|n| *n <= isize::MAX as usize);
    let len = len.ok_or_else(|| raised_shape(dims))?;
    let bytes = Bytes::from_owner(Foreign { data, len, _keep: keep });
    Tensor::from_bytes(dtype, dims, bytes).map_err(raised)
}

fn raised_shape(dims: &[usize]) -> PyErr {
    raised(mindir::TensorError::TooLarge(dims.to_vec()))
}

/// The elements of an object with `__array_struct__`; `None` if it has none, or they do not lie dense in memory as this machine
/// reads them.
pub fn read(array: &Bound<'_, PyAny>) -> PyResult<Option<Shared>> {
    let Ok(found) = array.getattr(pyo3::intern!(array.py(), "__array_struct__")) else { return Ok(None) };
    let Ok(capsule) = found.cast::<PyCapsule>() else { return Ok(None) };
    // SAFETY: the capsule is one; another name than none is an error, which is cleared below.
    let pointer = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), ptr::null()) };
    let Some(pointer) = NonNull::new(pointer.cast::<Interface>()) else {
        return Err(PyErr::fetch(array.py()));
    };
    // SAFETY: the protocol says that the capsule holds an `Interface`, which lives as long as the capsule.
    let interface = unsafe { pointer.as_ref() };
    let dense = CONTIGUOUS | ALIGNED | NATIVE;
    if interface.two != 2 || interface.flags & dense != dense {
        return Ok(None);
    }
    let dtype = dtype(array, interface)?;
    let nd = usize::try_from(interface.nd).unwrap_or_default();
    let dims: &[isize] = match nd {
        0 => &[],
        // SAFETY: the protocol says that there are `nd` dimensions at `shape`.
        _ => unsafe { std::slice::from_raw_parts(interface.shape, nd) },
    };
    let dims: Vec<usize> = dims.iter().map(|d| usize::try_from(*d).unwrap_or_default()).collect();
    let keep = (array.clone().unbind(), capsule.clone().unbind());
    // SAFETY: the protocol says so of contiguous, aligned arrays in native order while the array and its capsule live.
    let tensor = unsafe { over(dtype, &dims, interface.data.cast(), keep)? };
    Ok(Some(Shared { tensor, writable: interface.flags & WRITEABLE != 0 }))
}

fn dtype(array: &Bound<'_, PyAny>, interface: &Interface) -> PyResult<DType> {
    let known = match (interface.typekind as u8, interface.itemsize) {
        (b'b', 1) => Some(DType::Bool),
        (b'i', 1) => Some(DType::I8),
        (b'i', 2) => Some(DType::I16),
        (b'i', 4) => Some(DType::I32),
        (b'i', 8) => Some(DType::I64),
        (b'u', 1) => Some(DType::U8),
        (b'u', 2) => Some(DType::U16),
        (b'u', 4) => Some(DType::U32),
        (b'u', 8) => Some(DType::U64),
        (b'f', 2) => Some(DType::F16),
        (b'f', 4) => Some(DType::F32),
        (b'f', 8) => Some(DType::F64),
        (b'c', 8) => Some(DType::C64),
        (b'c', 16) => Some(DType::C128),
        (b'V', 2) if array.getattr("dtype")?.getattr("name")?.extract::<String>()? == "bfloat16" => Some(DType::BF16),
        _ => None,
    };
    let missing = || match array.getattr("dtype") {
        Ok(dtype) => usage(format!("there are no tensors of {dtype}")),
        Err(e) => e,
    };
    known.ok_or_else(missing)
}

/// What a capsule for NumPy owns.
#[repr(C)]
struct Lent {
    interface: Interface,
    shape: Vec<isize>,
    strides: Vec<isize>,
    _tensor: Tensor,
}

/// A capsule for NumPy over the elements of `tensor`; `None` for bfloat16, which the interface has no letter for.
pub fn lend(py: Python<'_>, tensor: &Tensor, writable: bool) -> PyResult<Option<Py<PyAny>>> {
    let dtype = tensor.dtype();
    let typekind = match dtype {
        DType::BF16 => return Ok(None),
        DType::Bool => b'b',
        _ if dtype.is_int() && dtype.name().starts_with('u') => b'u',
        _ if dtype.is_int() => b'i',
        _ if dtype.is_float() => b'f',
        _ => b'c',
    };
    let data = tensor.aligned().map_err(raised)?.as_ptr();
    let shape = tensor.shape().iter().map(|d| *d as isize).collect();
    let interface = Interface {
        two: 2,
        nd: tensor.shape().len() as c_int,
        typekind: typekind as c_char,
        itemsize: dtype.size() as c_int,
        flags: CONTIGUOUS | ALIGNED | NATIVE | if writable { WRITEABLE } else { 0 },
        shape: ptr::null_mut(),
        strides: ptr::null_mut(),
        data: data.cast_mut().cast(),
        descr: ptr::null_mut(),
    };
    let strides = strides(tensor.shape(), dtype.size());
    let mut lent = Box::new(Lent { interface, shape, strides, _tensor: tensor.clone() });
    lent.interface.shape = lent.shape.as_mut_ptr();
    lent.interface.strides = lent.strides.as_mut_ptr();
    let raw = Box::into_raw(lent);
    // SAFETY: `raw` is not null, and `end` frees it once.
    let capsule = unsafe { ffi::PyCapsule_New(raw.cast(), ptr::null(), Some(end)) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, capsule) }.map(|capsule| Some(capsule.unbind()))
}

/// Bytes from element to element in each dimension of a dense tensor.
fn strides(dims: &[usize], size: usize) -> Vec<isize> {
    let mut strides = vec![0; dims.len()];
    let mut step = size as isize;
    for (stride, dim) in strides.iter_mut().zip(dims).rev() {
        *stride = step;
        step *= (*dim).max(1) as isize;
    }
    strides
}

unsafe extern "C" fn end(capsule: *mut ffi::PyObject) {
    // SAFETY: Python calls this once for a capsule of `lend`, whose pointer is that of a box.
    unsafe {
        let pointer = ffi::PyCapsule_GetPointer(capsule, ptr::null());
        drop(Box::from_raw(pointer.cast::<Lent>()));
    }
}
