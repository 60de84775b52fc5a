//! Elements shared with other frameworks by DLPack, both ways.
//!
//! <https://dmlc.github.io/dlpack/latest/c_api.html>

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

use mindir::{DType, Tensor};
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use crate::array::{self, Shared};
use crate::error::{raised, usage};
use crate::tensor;

const OLD: &CStr = c"dltensor";
const OLD_USED: &CStr = c"used_dltensor";
const VERSIONED: &CStr = c"dltensor_versioned";
const VERSIONED_USED: &CStr = c"used_dltensor_versioned";
const READ_ONLY: u64 = 1;
/// The device type of the CPU.
pub const CPU: i32 = 1;

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device: [i32; 2],
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct Old {
    tensor: DlTensor,
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Old)>,
}

#[repr(C)]
struct Versioned {
    version: [u32; 2],
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Versioned)>,
    flags: u64,
    tensor: DlTensor,
}

/// What a deleter of ours frees.
struct Lent {
    _tensor: Tensor,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

/// A managed tensor of somebody else's, which is deleted when it is dropped.
enum Taken {
    Old(NonNull<Old>),
    Versioned(NonNull<Versioned>),
}

// SAFETY: DLPack lets any thread call the deleter.
unsafe impl Send for Taken {}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: the managed tensor was taken out of its capsule, so that nobody else deletes it.
        unsafe {
            match *self {
                Taken::Old(managed) => {
                    if let Some(delete) = managed.as_ref().deleter {
                        delete(managed.as_ptr());
                    }
                }
                Taken::Versioned(managed) => {
                    if let Some(delete) = managed.as_ref().deleter {
                        delete(managed.as_ptr());
                    }
                }
            }
        }
    }
}

/// The elements of an object with `__dlpack__`; `None` if it has none or they are not dense.
pub fn read(object: &Bound<'_, PyAny>) -> PyResult<Option<Shared>> {
    let py = object.py();
    if !object.hasattr("__dlpack__")? || !object.hasattr("__dlpack_device__")? {
        return Ok(None);
    }
    let (device, _): (i32, i32) = object.call_method0("__dlpack_device__")?.extract()?;
    if device != CPU {
        return Err(usage(format!(
            "expected a tensor in host memory, found one on a device of DLPack's type {device}"
        )));
    }
    let versions = PyDict::new(py);
    versions.set_item("max_version", (1, 0))?;
    let capsule = match object.call_method("__dlpack__", (), Some(&versions)) {
        Err(e) if e.is_instance_of::<PyTypeError>(py) => object.call_method0("__dlpack__")?,
        other => other?,
    };
    let taken = take(capsule.cast::<PyCapsule>()?)?;
    // SAFETY: a managed tensor lives until it is deleted.
    let (tensor, writable) = unsafe {
        match &taken {
            Taken::Old(managed) => (&managed.as_ref().tensor, true),
            Taken::Versioned(managed) => (&managed.as_ref().tensor, managed.as_ref().flags & READ_ONLY == 0),
        }
    };
    let dtype = dtype(tensor)?;
    let Some(dims) = dense(tensor) else { return Ok(None) };
    let data = tensor.data.cast::<u8>().wrapping_add(tensor.byte_offset as usize);
    // SAFETY: DLPack says that there are as many elements, as long as the managed tensor is not deleted.
    let tensor = unsafe { array::over(dtype, &dims, data, taken)? };
    Ok(Some(Shared { tensor, writable }))
}

/// Takes the managed tensor out of its capsule.
fn take(capsule: &Bound<'_, PyCapsule>) -> PyResult<Taken> {
    let raw = capsule.as_ptr();
    // SAFETY: `raw` is a capsule; the pointer is asked for under the name that it has, and DLPack says what is behind it.
    unsafe {
        if ffi::PyCapsule_IsValid(raw, VERSIONED.as_ptr()) != 0 {
            let pointer = ffi::PyCapsule_GetPointer(raw, VERSIONED.as_ptr()).cast::<Versioned>();
            let Some(managed) = NonNull::new(pointer) else { return Err(PyErr::fetch(capsule.py())) };
            let [major, minor] = managed.as_ref().version;
            if major != 1 {
                return Err(usage(format!("expected DLPack version 1, found {major}.{minor}")));
            }
            ffi::PyCapsule_SetName(raw, VERSIONED_USED.as_ptr());
            return Ok(Taken::Versioned(managed));
        }
        let Some(managed) = NonNull::new(ffi::PyCapsule_GetPointer(raw, OLD.as_ptr()).cast::<Old>()) else {
            return Err(PyErr::fetch(capsule.py()));
        };
        ffi::PyCapsule_SetName(raw, OLD_USED.as_ptr());
        Ok(Taken::Old(managed))
    }
}

/// The dimensions, if the elements lie in row-major order.
fn dense(tensor: &DlTensor) -> Option<Vec<usize>> {
    let n = usize::try_from(tensor.ndim).ok()?;
    let list = |at: *mut i64| match n {
        0 => &[][..],
        // SAFETY: DLPack says that there are `ndim` numbers.
        _ => unsafe { std::slice::from_raw_parts(at, n) },
    };
    let dims: Vec<usize> = list(tensor.shape).iter().map(|d| usize::try_from(*d).ok()).collect::<Option<_>>()?;
    if tensor.strides.is_null() || dims.contains(&0) {
        return Some(dims);
    }
    let mut step = 1i64;
    for (stride, dim) in list(tensor.strides).iter().zip(&dims).rev() {
        if *dim != 1 && *stride != step {
            return None;
        }
        step = step.checked_mul(i64::try_from(*dim).ok()?)?;
    }
    Some(dims)
}

fn dtype(tensor: &DlTensor) -> PyResult<DType> {
    let (code, bits, lanes) = (tensor.code, tensor.bits, tensor.lanes);
    let found = DType::ALL.into_iter().find(|d| (code_of(*d), d.size() * 8) == (code, usize::from(bits)));
    let wrong = || usage(format!("there are no tensors of DLPack's type {code} with {bits} bits and {lanes} lanes"));
    found.filter(|_| lanes == 1).ok_or_else(wrong)
}

fn code_of(dtype: DType) -> u8 {
    match dtype {
        DType::Bool => 6,
        DType::BF16 => 4,
        _ if dtype.is_complex() => 5,
        _ if dtype.is_float() => 2,
        _ if dtype.name().starts_with('u') => 1,
        _ => 0,
    }
}

/// A capsule over the elements of `tensor`. One of the old form, which cannot say that elements must not be written, has a copy
/// of them unless they may be, which is an error if `copy` says that there is to be none.
pub fn lend(
    py: Python<'_>,
    tensor: &Tensor,
    writable: bool,
    versioned: bool,
    copy: Option<bool>,
) -> PyResult<Py<PyAny>> {
    let is_needed = !versioned && !writable;
    if is_needed && copy == Some(false) {
        return Err(PyBufferError::new_err(
            "elements that must not be written are copied unless max_version is (1, 0)",
        ));
    }
    let copied = is_needed || copy == Some(true);
    let source = if copied { tensor::copy(tensor).map_err(raised)? } else { tensor.clone() };
    let (tensor, context) = describe(&source)?;
    let context = context.cast();
    let (pointer, name, end): (*mut c_void, &CStr, ffi::PyCapsule_Destructor) = match versioned {
        true => {
            let flags = if writable || copied { 0 } else { READ_ONLY };
            let managed = Versioned { version: [1, 0], context, deleter: Some(delete_versioned), flags, tensor };
            (Box::into_raw(Box::new(managed)).cast(), VERSIONED, end_versioned)
        }
        false => (Box::into_raw(Box::new(Old { tensor, context, deleter: Some(delete_old) })).cast(), OLD, end_old),
    };
    // SAFETY: the pointer is not null, and is freed by whoever takes it, or by `end`.
    let capsule = unsafe { ffi::PyCapsule_New(pointer, name.as_ptr(), Some(end)) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, capsule) }.map(Bound::unbind)
}

/// The tensor as DLPack describes it, and what keeps it.
fn describe(tensor: &Tensor) -> PyResult<(DlTensor, *mut Lent)> {
    let data = tensor.aligned().map_err(raised)?.as_ptr();
    let shape: Vec<i64> = tensor.shape().iter().map(|d| *d as i64).collect();
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for (stride, dim) in strides.iter_mut().zip(&shape).rev() {
        *stride = step;
        step *= (*dim).max(1);
    }
    let dtype = tensor.dtype();
    let mut lent = Box::new(Lent { _tensor: tensor.clone(), shape, strides });
    let described = DlTensor {
        data: data.cast_mut().cast(),
        device: [CPU, 0],
        ndim: lent.shape.len() as i32,
        code: code_of(dtype),
        bits: (dtype.size() * 8) as u8,
        lanes: 1,
        shape: lent.shape.as_mut_ptr(),
        strides: lent.strides.as_mut_ptr(),
        byte_offset: 0,
    };
    Ok((described, Box::into_raw(lent)))
}

unsafe extern "C" fn delete_old(managed: *mut Old) {
    // SAFETY: whoever took the managed tensor of `lend` deletes it once.
    unsafe {
        let managed = Box::from_raw(managed);
        drop(Box::from_raw(managed.context.cast::<Lent>()));
    }
}

unsafe extern "C" fn delete_versioned(managed: *mut Versioned) {
    // SAFETY: whoever took the managed tensor of `lend` deletes it once.
    unsafe {
        let managed = Box::from_raw(managed);
        drop(Box::from_raw(managed.context.cast::<Lent>()));
    }
}

unsafe extern "C" fn end_old(capsule: *mut ffi::PyObject) {
    // SAFETY: a capsule of `lend`, whose managed tensor nobody took if it still has its first name.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, OLD.as_ptr()) != 0 {
            delete_old(ffi::PyCapsule_GetPointer(capsule, OLD.as_ptr()).cast());
        }
    }
}

unsafe extern "C" fn end_versioned(capsule: *mut ffi::PyObject) {
    // SAFETY: as for `end_old`.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, VERSIONED.as_ptr()) != 0 {
            delete_versioned(ffi::PyCapsule_GetPointer(capsule, VERSIONED.as_ptr()).cast());
        }
    }
}

/// Refuses what `__dlpack__` cannot give.
pub fn check_device(wanted: Option<(i32, i32)>) -> PyResult<()> {
    match wanted {
        Some((kind, _)) if kind != CPU => Err(PyBufferError::new_err("the tensor is in host memory")),
        _ => Ok(()),
    }
}
