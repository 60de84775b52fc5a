//! CUDA without a GPU: a driver and a compiler that run kernels on the processor, built by g++ and loaded in place of NVIDIA's.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const NOW: c_int = 2;

/// Builds `libcuda.so` and `libnvrtc.so`, each in a folder that is named by what it is made of, and returns the folder.
pub fn build() -> Result<PathBuf, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/tests/cuda");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sources.join("../../../target"), PathBuf::from);
    let mut hash = DefaultHasher::new();
    for name in ["driver.cpp", "compiler.cpp", "emulation.h"] {
        std::fs::read(sources.join(name)).map_err(|e| format!("{name}: {e}"))?.hash(&mut hash);
    }
    let folder = target.join("emulation").join(format!("{:016x}", hash.finish()));
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    for (source, name) in [("driver.cpp", "libcuda.so"), ("compiler.cpp", "libnvrtc.so")] {
        if folder.join(name).exists() {
            continue;
        }
        let beside = folder.join(format!("{name}.{}", std::process::id()));
        let mut compiler = Command::new("g++");
        compiler.args(["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
        compiler.arg(format!("-Wl,-soname,{name}")).arg("-o").arg(&beside).arg(sources.join(source));
        compiler.arg(format!("-DEMULATION=\"{}\"", sources.join("emulation.h").display()));
        let made = compiler.output().map_err(|e| format!("g++: {e}"))?;
        if !made.status.success() {
            return Err(format!("g++: {}", String::from_utf8_lossy(&made.stderr)));
        }
        std::fs::rename(&beside, folder.join(name)).map_err(|e| e.to_string())?;
    }
    Ok(folder)
}

/// Builds the libraries and loads them into this process, so that whoever asks for `libcuda.so` by its name finds them.
/// Returns a folder for compiled kernels.
///
/// With `MINDIR_EMULATION=none` nothing is loaded, and NVIDIA's own libraries are found.
pub fn load() -> Result<PathBuf, String> {
    static LOADED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let load = || {
        if std::env::var("MINDIR_EMULATION").is_ok_and(|v| v == "none") {
            return Ok(std::env::temp_dir().join("mindir-kernels"));
        }
        let folder = build()?;
        for name in ["libcuda.so", "libnvrtc.so"] {
            open(&folder.join(name))?;
        }
        Ok(folder.join("kernels"))
    };
    LOADED.get_or_init(load).clone()
}

fn open(path: &Path) -> Result<*mut c_void, String> {
    let name = CString::new(path.display().to_string()).map_err(|e| e.to_string())?;
    // SAFETY: `name` ends with 0; what runs when the library is loaded is ours.
    let library = unsafe { dlopen(name.as_ptr(), NOW) };
    if !library.is_null() {
        return Ok(library);
    }
    // SAFETY: a message was left by the call above.
    Err(unsafe { CStr::from_ptr(dlerror()) }.to_string_lossy().into_owned())
}

/// Allocations, streams, events, graphs and modules of the emulated driver that nobody has freed.
#[allow(dead_code)]
pub fn left() -> i64 {
    let library = open(Path::new("libcuda.so")).expect("a loaded library");
    // SAFETY: the library is loaded, and the name ends with 0.
    let symbol = unsafe { dlsym(library, c"emulation_left".as_ptr()) };
    assert!(!symbol.is_null(), "the driver is no emulation");
    // SAFETY: this is the type of the function with this name.
    let left = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_long>(symbol) };
    left()
}
