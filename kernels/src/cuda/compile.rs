//! Texts to machine code: NVRTC, and a folder of what it made.
//!
//! A file of the folder holds all that its code was made of, and a sum over its bytes, so one that is damaged or of another
//! text is made anew. Files are written beside their place and then renamed.

use std::ffi::{CString, c_int};
use std::fs;
use std::path::{Path, PathBuf};

use cudarc::nvrtc::{result, sys};

use super::Unavailable;

const MAGIC: &[u8; 16] = b"mindir cubin 1\0\n";

/// What kernels are compiled with, besides the architecture.
const OPTIONS: [&str; 3] = ["--std=c++17", "--device-as-default-execution-space", "--fmad=false"];

/// NVRTC for one architecture.
pub(super) struct Compiler {
    arch: String,
    version: (c_int, c_int),
    folder: Option<PathBuf>,
}

impl Compiler {
    /// Looks for NVRTC. Code for `arch`, `sm_90` say, is kept in `folder`, if one is given and can be written.
    ///
    /// # Errors
    /// [`Unavailable::NoCompiler`]; [`Unavailable::Driver`] if it fails.
    pub(super) fn find(arch: &str, folder: Option<PathBuf>) -> Result<Compiler, Unavailable> {
        // SAFETY: the library is opened and closed, no function of it is called.
        if !unsafe { sys::is_culib_present() } {
            return Err(Unavailable::NoCompiler);
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both places take a number.
        let told = unsafe { sys::nvrtcVersion(&mut major, &mut minor) };
        told.result().map_err(|e| Unavailable::Driver(e.to_string()))?;
        Ok(Compiler { arch: arch.into(), version: (major, minor), folder })
    }

    /// Machine code of `source`.
    ///
    /// # Errors
    /// What the compiler says.
    pub(super) fn cubin(&self, source: &str) -> Result<Vec<u8>, String> {
        let key = format!("{} {:?} {}", self.arch, self.version, made_of(source));
        let path = self.folder.as_ref().map(|folder| folder.join(format!("{:016x}.cubin", sum(key.as_bytes()))));
        if let Some(found) = path.as_deref().and_then(|path| read(path, &key)) {
            return Ok(found);
        }
        let (cubin, _) = compile(source, &self.arch, &[])?;
        if let Some(path) = path {
            // Without a place on the disk the code is made again next time.
            let _ = write(&path, &key, &cubin);
        }
        Ok(cubin)
    }
}

/// What code is made of, besides compiler and architecture.
pub(super) fn made_of(source: &str) -> String {
    format!("{OPTIONS:?}\n{source}")
}

/// `bytes` with their sum behind them.
pub(super) fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(sum(&bytes).to_le_bytes());
    bytes
}

/// What is between `magic` and the sum over all before it, if both are right.
pub(super) fn whole<'a>(magic: &[u8; 16], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (body, stated) = bytes.split_last_chunk::<8>()?;
    body.strip_prefix(magic).filter(|_| sum(body) == u64::from_le_bytes(*stated))
}

/// Appends bytes with their length before them.
pub(super) fn push_part(to: &mut Vec<u8>, part: &[u8]) {
    to.extend((part.len() as u64).to_le_bytes());
    to.extend(part);
}

/// Takes bytes with their length before them off the front.
pub(super) fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<8>()?;
    let (part, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *rest = after;
    Some(part)
}

/// The code in a file that was made of `key` and is whole.
fn read(path: &Path, key: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let mut rest = whole(MAGIC, &bytes)?;
    (part(&mut rest)? == key.as_bytes()).then(|| rest.to_vec())
}

fn write(path: &Path, key: &str, cubin: &[u8]) -> std::io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    push_part(&mut bytes, key.as_bytes());
    bytes.extend(cubin);
    let bytes = sealed(bytes);
    let beside = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let beside = path.with_extension(beside);
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It may not even exist.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// FNV-1a.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &b| (sum ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Machine code of a text, and what the compiler had to say.
fn compile(source: &str, arch: &str, more: &[&str]) -> Result<(Vec<u8>, String), String> {
    let text = CString::new(source).map_err(|e| e.to_string())?;
    let program = Program(result::create_program(&text, None).map_err(|e| e.to_string())?);
    let arch = format!("--gpu-architecture={arch}");
    let options: Vec<&str> = OPTIONS.iter().chain(more).copied().chain([arch.as_str()]).collect();
    // SAFETY: the program was created above and lives.
    let compiled = unsafe { result::compile_program(program.0, &options) };
    compiled.map_err(|e| format!("{e}: {}", program.log()))?;
    Ok((program.cubin().map_err(|e| e.to_string())?, program.log()))
}

struct Program(sys::nvrtcProgram);

impl Program {
    fn log(&self) -> String {
        // SAFETY: the program lives.
        let log = unsafe { result::get_program_log(self.0) }.unwrap_or_default();
        let bytes: Vec<u8> = log.iter().map(|&c| c as u8).take_while(|&b| b != 0).collect();
        String::from_utf8_lossy(&bytes).trim().to_string()
    }

    fn cubin(&self) -> Result<Vec<u8>, result::NvrtcError> {
        let mut size = 0;
        // SAFETY: the program lives, and `size` takes a number.
        unsafe { sys::nvrtcGetCUBINSize(self.0, &mut size) }.result()?;
        let mut cubin = vec![0u8; size];
        // SAFETY: the program lives, and the buffer has as many bytes as the code.
        unsafe { sys::nvrtcGetCUBIN(self.0, cubin.as_mut_ptr().cast()) }.result()?;
        Ok(cubin)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program lives, and nobody uses it any more. There is nothing to do if it cannot be freed.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

#[cfg(test)]
#[path = "../../../shaders/tests/cuda/mod.rs"]
mod variants;

#[cfg(test)]
mod tests {
    use mindir_shaders::Module;

    use super::*;

    /// NVRTC itself, whose folder `LD_LIBRARY_PATH` names, compiles every kernel, and none keeps registers in memory. Without
    /// it this prints so and passes, unless the environment variable `MINDIR_REQUIRE` contains `nvrtc`.
    #[test]
    fn every_kernel_compiles() {
        // SAFETY: the library is opened and closed.
        if !unsafe { sys::is_culib_present() } {
            let required = std::env::var("MINDIR_REQUIRE").is_ok_and(|v| v.contains("nvrtc"));
            assert!(!required, "MINDIR_REQUIRE asks for nvrtc");
            return println!("skipped: there is no NVRTC");
        }
        let only = std::env::var("MINDIR_CASE").unwrap_or_default();
        let all: Vec<_> = variants::modules().into_iter().filter(|(name, _)| name.contains(&only)).collect();
        let part = all.len().div_ceil(std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let failures: Vec<String> = std::thread::scope(|scope| {
            let started: Vec<_> =
                all.chunks(part).map(|part| scope.spawn(|| part.iter().flat_map(trouble).collect())).collect();
            started
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|_| vec!["a panic".to_string()]))
                .collect()
        });
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    /// What is wrong with a kernel.
    fn trouble((name, module): &(String, Module)) -> Vec<String> {
        let of = |arch: &str| match compile(&module.source, arch, &["--ptxas-options=-v"]) {
            Ok((cubin, _)) if !cubin.starts_with(b"\x7fELF") => vec![format!("{name} for {arch}: no machine code")],
            Ok((_, log)) => {
                let parts = log.split([',', '\n']).map(str::trim);
                let spills = parts.filter(|part| part.contains("spill") && !part.starts_with("0 bytes"));
                spills.map(|part| format!("{name} for {arch}: {part}")).collect()
            }
            Err(e) => vec![format!("{name} for {arch}: {e}")],
        };
        ["sm_80", "sm_90a"].into_iter().flat_map(of).collect()
    }

    #[test]
    fn files_that_are_not_whole_are_not_read() {
        let folder = std::env::temp_dir().join(format!("mindir-cubins-{}", std::process::id()));
        let path = folder.join("a.cubin");
        assert_eq!(read(&path, "key"), None);
        write(&path, "key", b"code").expect("a file");
        assert_eq!(read(&path, "key").as_deref(), Some(&b"code"[..]));
        assert_eq!(read(&path, "other"), None);
        let whole = fs::read(&path).expect("a file");
        for i in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[i] ^= 4;
            fs::write(&path, &damaged).expect("a file");
            assert_eq!(read(&path, "key"), None, "byte {i}");
            fs::write(&path, &whole[..i]).expect("a file");
            assert_eq!(read(&path, "key"), None, "{i} bytes");
        }
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
        fs::remove_dir_all(&folder).expect("a folder");
    }
}
