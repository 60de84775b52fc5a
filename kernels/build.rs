//! Tells one state of the CPU's kernels from another, for packed weights that are kept on a disk.

use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let mut hasher = DefaultHasher::new();
    for file in files(Path::new("src/cpu"))? {
        hasher.write(&fs::read(file)?);
    }
    println!("cargo:rerun-if-changed=src/cpu");
    println!("cargo:rustc-env=MINDIR_KERNELS={:016x}", hasher.finish());
    Ok(())
}

/// The files of a folder and of those in it, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut entries = fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}
