//! The emulating driver and compiler, built by g++.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options of g++ that let kernels and driver find reads and writes beside an allocation or a shared array. The sanitizer's own
/// library must be in the process before they are loaded.
const ADDRESS: &str = "-fsanitize=address -fsanitize-sections=shared_memory";

/// Builds `libcuda.so`, `libnvrtc.so` and `lt/libcublasLt.so`, all in a folder that is named by what it is made of, and returns the folder. With
/// `MINDIR_SANITIZE=address` they look at addresses.
pub fn build() -> Result<PathBuf, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernels/tests/cuda");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sources.join("../../../target"), PathBuf::from);
    let address = std::env::var("MINDIR_SANITIZE").is_ok_and(|v| v == "address");
    let sanitize = if address { ADDRESS } else { "" };
    let mut hash = DefaultHasher::new();
    sanitize.hash(&mut hash);
    for name in ["driver.cpp", "compiler.cpp", "lt.cpp", "emulation.h"] {
        std::fs::read(sources.join(name)).map_err(|e| format!("{name}: {e}"))?.hash(&mut hash);
    }
    let folder = target.join("emulation").join(format!("{:016x}", hash.finish()));
    std::fs::create_dir_all(folder.join("lt")).map_err(|e| e.to_string())?;
    for (source, name) in
        [("driver.cpp", "libcuda.so"), ("compiler.cpp", "libnvrtc.so"), ("lt.cpp", "lt/libcublasLt.so")]
    {
        if folder.join(name).exists() {
            continue;
        }
        let beside = folder.join(format!("{name}.{}", std::process::id()));
        let mut compiler = Command::new("g++");
        compiler.args(["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
        compiler
            .arg(format!("-Wl,-soname,{}", name.trim_start_matches("lt/")))
            .arg("-o")
            .arg(&beside)
            .arg(sources.join(source));
        compiler.arg(format!("-DEMULATION=\"{}\"", sources.join("emulation.h").display()));
        compiler.arg(format!("-DSANITIZE=\"{sanitize}\"")).args(sanitize.split_whitespace()).env_remove("LD_PRELOAD");
        let made = compiler.output().map_err(|e| format!("g++: {e}"))?;
        if !made.status.success() {
            return Err(format!("g++: {}", String::from_utf8_lossy(&made.stderr)));
        }
        std::fs::rename(&beside, folder.join(name)).map_err(|e| e.to_string())?;
    }
    Ok(folder)
}
