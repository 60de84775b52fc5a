//! Products by cuBLASLt, where the library is there: sums of true f32, of tf32 where the task allows it, and a bias if that is all that follows. Other epilogues are
//! kernels of their own behind the product.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, Weak};

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;
use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUdeviceptr;
use mindir_graph::DType;
use sys::cublasLtMatmulDescAttributes_t as Attribute;
use sys::cublasLtMatmulPreferenceAttributes_t as Preference;
use sys::cublasLtMatrixLayoutAttribute_t as Layout;

use super::gpu::{Memory, lock};
use crate::launch::{Columns, Form};

/// Bytes that a product may use besides its operands: what the library advises for the largest GPUs.
const WORKSPACE: usize = 32 << 20;

/// The library, opened.
pub(super) struct Lt {
    handle: Mutex<Handle>,
    /// Products come one after the other on the device's stream, so they share it.
    workspace: Memory,
    /// What was worked out for products that something still holds.
    plans: Mutex<HashMap<Form, Weak<Plan>>>,
    pub(super) version: usize,
}

struct Handle(sys::cublasLtHandle_t);

// SAFETY: the library takes a handle from any thread; one uses it at a time.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle was created and is not used any more. There is nothing to do if it cannot be freed.
        let _ = unsafe { result::destroy_handle(self.0) };
    }
}

/// How the library computes a product.
pub(super) struct Plan {
    parts: Mutex<Parts>,
}

struct Parts {
    operation: Operation,
    left: Described,
    right: Described,
    result: Described,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

// SAFETY: descriptions are plain memory of the library's, which one thread uses at a time.
unsafe impl Send for Parts {}

struct Operation(sys::cublasLtMatmulDesc_t);

impl Operation {
    fn set<T>(&self, attribute: Attribute, value: T) -> Result<(), CublasError> {
        // SAFETY: the description lives, and the value has as many bytes.
        unsafe { result::set_matmul_desc_attribute(self.0, attribute, (&raw const value).cast(), size_of::<T>()) }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: it was created and is not used any more.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

/// A matrix, described.
struct Described(sys::cublasLtMatrixLayout_t);

impl Described {
    fn new(m: &Columns, dtype: DType, batches: i32) -> Result<Described, CublasError> {
        let made = Described(result::create_matrix_layout(number(dtype), m.rows, m.cols, m.ld)?);
        if batches > 1 {
            made.set(Layout::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batches)?;
            made.set(Layout::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, m.stride)?;
        }
        Ok(made)
    }

    fn set<T>(&self, attribute: Layout, value: T) -> Result<(), CublasError> {
        // SAFETY: the description lives, and the value has as many bytes.
        unsafe { result::set_matrix_layout_attribute(self.0, attribute, (&raw const value).cast(), size_of::<T>()) }
    }
}

impl Drop for Described {
    fn drop(&mut self) {
        // SAFETY: it was created and is not used any more.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

/// What is wanted of an algorithm.
struct Wanted(sys::cublasLtMatmulPreference_t);

impl Wanted {
    fn new(form: &Form) -> Result<Wanted, CublasError> {
        let wanted = Wanted(result::create_matmul_pref()?);
        wanted.set(Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, WORKSPACE)?;
        // Parts of a sum are not rounded to halves before they are added.
        let in_full = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
        wanted.set(Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, in_full as u32)?;
        wanted.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, form.left.alignment)?;
        wanted.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, form.right.alignment)?;
        wanted.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, form.result.alignment)?;
        wanted.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, form.result.alignment)?;
        Ok(wanted)
    }

    fn set<T>(&self, attribute: Preference, value: T) -> Result<(), CublasError> {
        // SAFETY: the preferences live, and the value has as many bytes.
        unsafe { result::set_matmul_pref_attribute(self.0, attribute, (&raw const value).cast(), size_of::<T>()) }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        // SAFETY: they were created and are not used any more.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}

impl Lt {
    /// The library, if it is found and works.
    pub(super) fn find(memory: impl FnOnce(usize) -> Option<Memory>) -> Option<Lt> {
        // SAFETY: the library is opened and closed, no function of it is called.
        if !unsafe { sys::is_culib_present() } {
            return None;
        }
        let handle = Handle(result::create_handle().ok()?);
        // SAFETY: the library is there.
        let version = unsafe { sys::cublasLtGetVersion() };
        Some(Lt { handle: Mutex::new(handle), workspace: memory(WORKSPACE)?, plans: Mutex::default(), version })
    }

    /// How to compute a product, if the library knows. The device's context is the thread's.
    pub(super) fn plan(&self, form: &Form) -> Option<Arc<Plan>> {
        let mut plans = lock(&self.plans);
        if let Some(found) = plans.get(form).and_then(Weak::upgrade) {
            return Some(found);
        }
        let made = Arc::new(Plan { parts: Mutex::new(self.parts(form).ok()?) });
        plans.retain(|_, plan| plan.strong_count() > 0);
        plans.insert(*form, Arc::downgrade(&made));
        Some(made)
    }

    fn parts(&self, form: &Form) -> Result<Parts, CublasError> {
        let compute = match form.tf32 {
            true => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            false => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let operation = Operation(result::create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F)?);
        let turn = |m: &Columns| i32::from(m.transposed);
        operation.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSA, turn(&form.left))?;
        operation.set(Attribute::CUBLASLT_MATMUL_DESC_TRANSB, turn(&form.right))?;
        if form.bias {
            let bias = sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
            operation.set(Attribute::CUBLASLT_MATMUL_DESC_EPILOGUE, bias as i32)?;
        }
        let described = |m: &Columns, dtype| Described::new(m, dtype, form.batches);
        let (left, right) = (described(&form.left, form.dtype)?, described(&form.right, form.dtype)?);
        let result = described(&form.result, form.out)?;
        let (wanted, handle) = (Wanted::new(form)?, lock(&self.handle));
        // SAFETY: all descriptions live.
        let found = unsafe {
            let (left, right, out) = (left.0, right.0, result.0);
            result::get_matmul_algo_heuristic(handle.0, operation.0, left, right, out, out, wanted.0)
        }?;
        Ok(Parts { operation, left, right, result, algorithm: found.algo })
    }

    /// Puts a product on `stream`: addresses of the left and right factor, the result, and the bias if there is one.
    ///
    /// # Errors
    /// What the library says.
    ///
    /// # Safety
    /// Behind the addresses lies what the plan's form describes, until the product is done. Products that are made of one `Lt` come
    /// one after the other.
    pub(super) unsafe fn multiply(
        &self,
        plan: &Plan,
        addresses: &[CUdeviceptr],
        stream: &CudaStream,
    ) -> Result<(), String> {
        let [left, right, out, bias @ ..] = addresses else { return Err("a product lacks an operand".into()) };
        stream.context().bind_to_thread().map_err(super::gpu::said)?;
        let (parts, handle) = (lock(&plan.parts), lock(&self.handle));
        if let Some(bias) = bias.first() {
            parts.operation.set(Attribute::CUBLASLT_MATMUL_DESC_BIAS_POINTER, *bias).map_err(|e| e.to_string())?;
        }
        let (one, zero) = (1f32, 0f32);
        let at = |address: CUdeviceptr| address as *mut c_void;
        // SAFETY: the caller vouches for the operands; the descriptions live, and the workspace has as many bytes.
        let done = unsafe {
            result::matmul(
                handle.0,
                parts.operation.0,
                (&raw const one).cast(),
                (&raw const zero).cast(),
                at(*left),
                parts.left.0,
                at(*right),
                parts.right.0,
                at(*out),
                parts.result.0,
                at(*out),
                parts.result.0,
                &raw const parts.algorithm,
                at(self.workspace.address()),
                WORKSPACE,
                stream.cu_stream().cast(),
            )
        };
        done.map_err(|e| e.to_string())
    }
}

/// The library's number of an element type that [`Form`] has.
fn number(dtype: DType) -> sys::cudaDataType_t {
    match dtype {
        DType::F16 => sys::cudaDataType_t::CUDA_R_16F,
        DType::BF16 => sys::cudaDataType_t::CUDA_R_16BF,
        _ => sys::cudaDataType_t::CUDA_R_32F,
    }
}
