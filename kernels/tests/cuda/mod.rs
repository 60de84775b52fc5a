//! CUDA without a GPU: a driver and a compiler that run kernels on the processor, built by g++ and loaded in place of NVIDIA's.

mod build;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const NOW: c_int = 2;

/// Builds the libraries and loads them into this process, so that whoever asks for `libcuda.so` by its name finds them.
/// Returns a folder for compiled kernels.
///
/// With `MINDIR_EMULATION=none` nothing is loaded, and NVIDIA's own libraries are found. With `MINDIR_EMULATION_LT` there is a
/// cuBLASLt, too.
pub fn load() -> Result<PathBuf, String> {
    static LOADED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let load = || {
        if std::env::var("MINDIR_EMULATION").is_ok_and(|v| v == "none") {
            return Ok(std::env::temp_dir().join("mindir-kernels"));
        }
        let folder = build::build()?;
        for name in ["libcuda.so", "libnvrtc.so"] {
            open(&folder.join(name))?;
        }
        if has_products() {
            open(&folder.join("lt/libcublasLt.so"))?;
        }
        Ok(folder.join("kernels"))
    };
    LOADED.get_or_init(load).clone()
}

/// Whether cuBLASLt belongs to the driver that [`load`] loads.
pub fn has_products() -> bool {
    std::env::var("MINDIR_EMULATION").is_ok_and(|v| v == "none") || std::env::var_os("MINDIR_EMULATION_LT").is_some()
}

fn open(path: &Path) -> Result<(), String> {
    let name = CString::new(path.display().to_string()).map_err(|e| e.to_string())?;
    // SAFETY: `name` ends with 0; what runs when the library is loaded is ours.
    let library = unsafe { dlopen(name.as_ptr(), NOW) };
    if !library.is_null() {
        return Ok(());
    }
    // SAFETY: a message was left by the call above.
    Err(unsafe { CStr::from_ptr(dlerror()) }.to_string_lossy().into_owned())
}
