//! The opened GPU: its stream, its memory and its kernels.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DriverError, PinnedHostSlice, result, sys,
};
use cudarc::nvrtc::Ptx;
use mindir_graph::bounds::{self, Reservation};
use mindir_shaders::Module;

use super::bundle::Bundle;
use super::compile::Compiler;
use super::lt::Lt;
use super::tensor::driver;
use super::{NAME, Options, Unavailable};
use crate::device::DeviceError;
use crate::knobs::{CUDA_BUNDLE, CUDA_CACHE, CUDA_OWN_PRODUCTS};
use crate::launch::Limits;

/// The oldest driver whose functions this crate calls.
const OLDEST: c_int = 12000;

/// Bytes that copies to and from the GPU go through. Whatever is larger is copied without.
const STAGING: usize = 4 << 20;

/// A kernel and the threads of its blocks.
pub(super) struct Kernel {
    function: CudaFunction,
    threads: u32,
}

/// Memory of the GPU, with what it takes of an account.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) slice: CudaSlice<u8>,
    _held: Reservation,
}

impl Memory {
    /// Memory that no account pays for.
    pub(super) fn free(slice: CudaSlice<u8>) -> Memory {
        Memory { slice, _held: Reservation::default() }
    }

    /// Where it starts.
    pub(super) fn address(&self) -> CUdeviceptr {
        self.slice.device_ptr(self.slice.stream()).0
    }
}

/// An opened GPU.
pub(super) struct Gpu {
    pub(super) context: Arc<CudaContext>,
    /// Everything happens in its order.
    pub(super) stream: Arc<CudaStream>,
    /// Takes down graphs; nothing is done on it.
    pub(super) recorder: Mutex<Arc<CudaStream>>,
    /// Host memory that copies to and from the GPU go through; who finds it in use copies without.
    pub(super) staging: Mutex<Option<PinnedHostSlice<u8>>>,
    pub(super) limits: Limits,
    /// Tells devices of one process apart.
    pub(super) id: u64,
    name: String,
    /// `sm_90`, say.
    arch: String,
    /// cuBLASLt, if it is there and wanted.
    pub(super) lt: Option<Lt>,
    bundle: Option<Bundle>,
    /// There is always one where there is no bundle.
    compiler: Option<Compiler>,
    kernels: Mutex<HashMap<String, Arc<Kernel>>>,
}

static DEVICES: AtomicU64 = AtomicU64::new(0);

/// Finds out what is missing before any function is called that would panic without it.
fn probe(ordinal: usize) -> Result<(), Unavailable> {
    // SAFETY: the library is opened and closed, no function of it is called.
    if !unsafe { sys::is_culib_present() } {
        return Err(Unavailable::NoDriver);
    }
    let mut version = 0;
    // SAFETY: `version` takes a number.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(unavailable)?;
    if version < OLDEST {
        let text = |v: c_int| format!("{}.{}", v / 1000, v % 1000 / 10);
        return Err(Unavailable::OldDriver { found: text(version), needed: text(OLDEST) });
    }
    let found = usize::try_from(CudaContext::device_count().map_err(unavailable)?).unwrap_or(0);
    if ordinal >= found { Err(Unavailable::NoGpu { ordinal, found }) } else { Ok(()) }
}

impl Gpu {
    pub(super) fn open(options: &Options) -> Result<Gpu, Unavailable> {
        probe(options.ordinal)?;
        let context = CudaContext::new(options.ordinal).map_err(unavailable)?;
        // SAFETY: everything happens on one stream, in its order.
        unsafe { context.disable_event_tracking() };
        let (major, minor) = context.compute_capability().map_err(unavailable)?;
        let arch = format!("sm_{major}{minor}");
        let bundle = options.bundle.clone().or_else(|| CUDA_BUNDLE.get().map(PathBuf::from));
        let bundle = bundle.map(|path| Bundle::read(&path, (major, minor))).transpose()?;
        let compiler = match Compiler::find(&arch, folder(options)) {
            Err(Unavailable::NoCompiler) if bundle.is_some() => None,
            found => Some(found?),
        };
        let stream = context.new_stream().map_err(unavailable)?;
        let own_products = options.own_products || CUDA_OWN_PRODUCTS.is_set()?;
        let workspace = |bytes| {
            // SAFETY: products write there before they read.
            let slice = unsafe { stream.alloc(bytes) };
            slice.ok().map(Memory::free)
        };
        let lt = if own_products { None } else { Lt::find(workspace) };
        Ok(Gpu {
            lt,
            stream,
            recorder: Mutex::new(context.new_stream().map_err(unavailable)?),
            staging: Mutex::default(),
            limits: options.within.map_or(Limits::CUDA, |within| Limits::CUDA.and(within)),
            id: DEVICES.fetch_add(1, Ordering::Relaxed),
            name: context.name().map_err(unavailable)?,
            arch,
            bundle,
            compiler,
            kernels: Mutex::default(),
            context,
        })
    }

    pub(super) fn describe(&self) -> String {
        match &self.lt {
            Some(lt) => format!("{}, {}, cuBLASLt {}", self.name, self.arch, lt.version),
            None => format!("{}, {}, without cuBLASLt", self.name, self.arch),
        }
    }

    /// Memory of at least `bytes`, with anything in it.
    ///
    /// # Errors
    /// [`DeviceError::Memory`] with what is free; [`DeviceError::Limit`] if the thread's account has not as much.
    pub(super) fn memory(&self, bytes: usize) -> Result<Memory, DeviceError> {
        let held = bounds::reserve(bytes)?;
        // SAFETY: results are written whole before they are read, and inputs uploaded before each run.
        let slice = unsafe { self.stream.alloc(bytes.max(1)) };
        let slice = slice.map_err(|e| DeviceError::Memory {
            device: NAME.into(),
            bytes: bytes as u64,
            message: match self.context.mem_get_info() {
                Ok((free, total)) => format!("{} ({free} of {total} bytes are free)", said(e)),
                Err(_) => said(e),
            },
        })?;
        Ok(Memory { slice, _held: held })
    }

    /// Memory with these contents.
    ///
    /// # Errors
    /// As [`memory`](Self::memory), or what the driver says.
    pub(super) fn filled(&self, bytes: &[u8]) -> Result<Memory, DeviceError> {
        let mut memory = self.memory(bytes.len())?;
        if !bytes.is_empty() {
            self.stream.memcpy_htod(bytes, &mut memory.slice).map_err(driver)?;
            self.stream.synchronize().map_err(driver)?;
        }
        Ok(memory)
    }

    /// Machine code of a kernel: of the bundle, or else by the compiler.
    fn code(&self, source: &str) -> Result<Vec<u8>, String> {
        match (self.bundle.as_ref().map(|bundle| (bundle, bundle.cubin(source))), &self.compiler) {
            (Some((_, Some(code))), _) => Ok(code.to_vec()),
            (_, Some(compiler)) => compiler.cubin(source),
            (Some((bundle, None)), None) => Err(bundle.lacks()),
            (None, None) => Err(Unavailable::NoCompiler.to_string()),
        }
    }

    /// Host memory that the GPU reaches by itself; none if the driver gives none.
    pub(super) fn pinned<'a>(&self, staging: &'a mut Option<PinnedHostSlice<u8>>) -> Option<&'a mut [u8]> {
        if staging.is_none() {
            // SAFETY: it is filled below, before anybody reads it.
            let made = unsafe { self.context.alloc_pinned_with_flags::<u8>(STAGING, 0) };
            let mut made = made.ok()?;
            // SAFETY: the memory has as many bytes, and nobody else knows it.
            unsafe { made.as_mut_ptr().ok()?.write_bytes(0, STAGING) };
            *staging = Some(made);
        }
        staging.as_mut()?.as_mut_slice().ok()
    }

    /// The kernel of a module, made if it is new.
    ///
    /// # Errors
    /// What the compiler or the driver says.
    pub(super) fn kernel(&self, module: &Module) -> Result<Arc<Kernel>, String> {
        let mut kernels = lock(&self.kernels);
        if let Some(found) = kernels.get(&module.source) {
            return Ok(found.clone());
        }
        let code = Ptx::from_binary(self.code(&module.source)?);
        let loaded = self.context.load_module(code).map_err(said)?;
        let function = loaded.load_function("kernel").map_err(said)?;
        let made = Arc::new(Kernel { function, threads: module.invocations });
        kernels.insert(module.source.clone(), made.clone());
        Ok(made)
    }
}

impl Kernel {
    /// Puts a launch on `stream`: parameters first, then the addresses that it binds.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// `params` are those of the kernel's family, and each address has as many bytes behind it as the kernel reads or writes
    /// with them, until the launch is done.
    pub(super) unsafe fn launch(
        &self,
        stream: &CudaStream,
        grid: [u32; 3],
        params: &[u64],
        addresses: &mut [CUdeviceptr],
    ) -> Result<(), DriverError> {
        stream.context().bind_to_thread()?;
        let mut args: Vec<*mut c_void> = vec![params.as_ptr().cast_mut().cast()];
        args.extend(addresses.iter_mut().map(|address| std::ptr::from_mut(address).cast::<c_void>()));
        let (grid, block) = ((grid[0], grid[1], grid[2]), (self.threads, 1, 1));
        // SAFETY: the caller vouches for the arguments, which the driver copies; the function's module lives.
        unsafe { result::launch_kernel(self.function.cu_function(), grid, block, 0, stream.cu_stream(), &mut args) }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver's words for an error.
pub(super) fn said(e: DriverError) -> String {
    match e.error_string() {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => format!("{:?}", e.0),
    }
}

fn unavailable(e: DriverError) -> Unavailable {
    Unavailable::Driver(said(e))
}

/// Where compiled kernels are kept.
fn folder(options: &Options) -> Option<PathBuf> {
    let user = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
        Some(cache?.join("mindir").join("cuda"))
    };
    options.cache.clone().or_else(|| CUDA_CACHE.get().map(PathBuf::from)).or_else(user)
}
