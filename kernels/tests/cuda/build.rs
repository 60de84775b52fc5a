//! The emulating driver, compiler and cuBLASLt, built by g++.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options of g++ that let kernels and driver find reads and writes beside an allocation or a shared array. The sanitizer's own
/// library must be in the process before they are loaded.
const ADDRESS: &str = "-fsanitize=address -fsanitize-sections=shared_memory";

/// Builds `libcuda.so`, `libnvrtc.so` and `lt/libcublasLt.so` in a folder that is named by what they are made of, and returns the
/// folder. What they compile is kept in its folder `kernels`. With `MINDIR_SANITIZE=address` they look at addresses.
pub fn build() -> Result<PathBuf, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/tests/cuda");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sources.join("../../../target"), PathBuf::from);
    let address = std::env::var("MINDIR_SANITIZE").is_ok_and(|v| v == "address");
    let sanitize = if address { ADDRESS } else { "" };
    let folder = target.join("emulation");
    let libraries = folder.join(sum(&sources, sanitize, &["driver.cpp", "compiler.cpp", "lt.cpp", "emulation.h"])?);
    // Kernels do not depend on driver and cuBLASLt.
    let kernels = sum(&sources, sanitize, &["compiler.cpp", "emulation.h"])?;
    for folder in [&libraries.join("lt"), &folder.join(&kernels)] {
        std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    }
    for (source, name) in
        [("driver.cpp", "libcuda.so"), ("compiler.cpp", "libnvrtc.so"), ("lt.cpp", "lt/libcublasLt.so")]
    {
        if !libraries.join(name).exists() {
            compile(&sources, source, &libraries.join(name), sanitize)?;
        }
    }
    match std::os::unix::fs::symlink(Path::new("..").join(kernels), libraries.join("kernels")) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e.to_string()),
        _ => Ok(libraries),
    }
}

/// A name for what is made of these files.
fn sum(sources: &Path, sanitize: &str, names: &[&str]) -> Result<String, String> {
    let mut hash = DefaultHasher::new();
    sanitize.hash(&mut hash);
    for name in names {
        std::fs::read(sources.join(name)).map_err(|e| format!("{name}: {e}"))?.hash(&mut hash);
    }
    Ok(format!("{:016x}", hash.finish()))
}

fn compile(sources: &Path, source: &str, library: &Path, sanitize: &str) -> Result<(), String> {
    let beside = library.with_extension(std::process::id().to_string());
    let name = library.file_name().unwrap_or_default().display();
    let mut compiler = Command::new("g++");
    compiler.args(["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
    compiler.arg(format!("-Wl,-soname,{name}")).arg("-o").arg(&beside).arg(sources.join(source));
    compiler.arg(format!("-DEMULATION=\"{}\"", sources.join("emulation.h").display()));
    compiler.arg(format!("-DSANITIZE=\"{sanitize}\"")).args(sanitize.split_whitespace()).env_remove("LD_PRELOAD");
    let made = compiler.output().map_err(|e| format!("g++: {e}"))?;
    if !made.status.success() {
        return Err(format!("g++: {}", String::from_utf8_lossy(&made.stderr)));
    }
    std::fs::rename(&beside, library).map_err(|e| e.to_string())
}
