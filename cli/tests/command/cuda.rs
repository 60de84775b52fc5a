//! `--device cuda` and `mindir kernels`: what is missing or damaged, and runs on a driver and a compiler that run kernels on the
//! processor.

#[path = "../../../kernels/tests/cuda/build.rs"]
mod emulation;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::digits;

/// A folder for compiled kernels and other files, beside the libraries of the emulation.
struct Place {
    libraries: PathBuf,
    folder: tempfile::TempDir,
}

impl Place {
    /// `None` if the emulation is not there and not required.
    fn new() -> Option<Place> {
        match emulation::build() {
            Ok(libraries) => Some(Place { libraries, folder: tempfile::tempdir().expect("a folder") }),
            Err(reason) => {
                let required = std::env::var("MINDIR_REQUIRE").is_ok_and(|v| v.contains("cuda"));
                assert!(!required, "MINDIR_REQUIRE asks for cuda: {reason}");
                println!("skipped: {reason}");
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder that has the driver and no compiler.
    fn driver(&self) -> PathBuf {
        let folder = self.path("driver");
        if !folder.exists() {
            std::fs::create_dir(&folder).expect("a folder");
            std::fs::copy(self.libraries.join("libcuda.so"), folder.join("libcuda.so")).expect("the driver");
        }
        folder
    }

    fn build(&self, model: &str, arch: &str, to: &str) -> (Option<i32>, String) {
        self.built(model, arch, to, &[])
    }

    fn built(&self, model: &str, arch: &str, to: &str, inputs: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mindir"));
        command.args(["kernels", "build", model, "--arch", arch, "-o"]).arg(self.path(to));
        command.args(inputs.iter().flat_map(|input| ["-i", input]));
        command.env("LD_LIBRARY_PATH", &self.libraries).env("MINDIR_CUDA_CACHE", self.libraries.join("kernels"));
        ended(&mut command)
    }
}

/// A run of a model that knows digits on CUDA, with the libraries of a folder.
fn seven(libraries: &Path, cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mindir"));
    command.args(["run", &digits("lenet5.mindir"), "-i", &digits("seven.png"), "--labels", &digits("labels.txt")]);
    command.args(["--top", "1", "--device", "cuda", "--fallback", "deny"]);
    command.env("LD_LIBRARY_PATH", libraries).env("MINDIR_CUDA_CACHE", cache).env("MINDIR_CUDA_OWN_PRODUCTS", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Exit code and what was said.
fn ended(command: &mut Command) -> (Option<i32>, String) {
    let ended = command.output().expect("the command");
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_missing_driver_is_said() {
    let empty = tempfile::tempdir().expect("a folder");
    let (code, said) = ended(&mut seven(empty.path(), empty.path()));
    // With NVIDIA's driver and compiler on this machine there is nothing to complain about.
    assert!(code == Some(0) || said.contains("libcuda") || said.contains("libnvrtc"), "{said}");
}

#[test]
fn a_picture_is_seen() {
    let Some(place) = Place::new() else { return };
    let (code, said) = ended(&mut seven(&place.libraries, &place.libraries.join("kernels")));
    assert!(code == Some(0) && said.contains("seven"), "{said}");
}

#[test]
fn the_doctor_tells_of_the_library_of_products() {
    let Some(place) = Place::new() else { return };
    let lt = std::env::join_paths([place.libraries.clone(), place.libraries.join("lt")]).expect("paths");
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_mindir"));
    let doctor = doctor.args(["doctor", "--quick"]).env("LD_LIBRARY_PATH", &lt);
    let (code, said) = ended(doctor);
    assert!(code == Some(0) && said.contains("cuda: emulation, sm_90, cuBLASLt 130000"), "{said}");
    let (code, said) = ended(doctor.env("MINDIR_CUDA_OWN_PRODUCTS", "1"));
    assert!(code == Some(0) && said.contains("cuda: emulation, sm_90, without cuBLASLt"), "{said}");
}

#[test]
fn what_a_driver_lacks_is_said() {
    let Some(place) = Place::new() else { return };
    let cache = place.libraries.join("kernels");
    for (variable, value, reason) in [
        ("MINDIR_EMULATION_VERSION", "11080", "the driver knows CUDA 11.8, expected at least 12.0"),
        ("MINDIR_EMULATION_ABSENT", "1", "no GPU with number 0, found 0 GPUs"),
    ] {
        let (code, said) = ended(seven(&place.libraries, &cache).env(variable, value));
        assert!(code == Some(5) && said.contains(reason), "{said}");
    }
}

#[test]
fn a_model_larger_than_the_gpu_is_refused() {
    let Some(place) = Place::new() else { return };
    let run = |bytes: &str| {
        ended(seven(&place.libraries, &place.libraries.join("kernels")).env("MINDIR_EMULATION_BYTES", bytes))
    };
    // Its largest weights have 192000 bytes.
    let (code, said) = run("150000");
    assert!(code == Some(5), "{said}");
    for part in ["no room for 192000 bytes", "out of memory", "of 150000 bytes are free", "for Default/", "fc1"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    // The weights have room, what lies between the steps has not.
    let (code, said) = run("255000");
    assert!(code == Some(5) && said.contains("out of memory") && said.contains("for Default/"), "{said}");
    assert_eq!(run("600000").0, Some(0));
    let (code, said) = ended(seven(&place.libraries, &place.libraries.join("kernels")).args(["--max-memory", "200K"]));
    assert!(code == Some(6), "{said}");
}

#[test]
fn processes_share_a_folder_of_kernels() {
    let Some(place) = Place::new() else { return };
    let cache = place.path("kernels");
    let started: Vec<_> = (0..3).map(|_| seven(&place.libraries, &cache).spawn().expect("the command")).collect();
    for run in started {
        let ended = run.wait_with_output().expect("an end");
        assert!(String::from_utf8_lossy(&ended.stdout).contains("seven"), "{ended:?}");
    }
    let files = || -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(&cache).expect("a folder").map(|e| e.expect("a file").path()).collect();
        files.sort();
        files
    };
    let all = files();
    assert!(!all.is_empty() && all.iter().all(|file| file.extension().is_some_and(|e| e == "cubin")), "{all:?}");
    let whole: Vec<Vec<u8>> = all.iter().map(|file| std::fs::read(file).expect("a file")).collect();
    // Cut, empty, and with a bit that is wrong.
    for (i, (file, bytes)) in all.iter().zip(&whole).enumerate() {
        let mut damaged = bytes.clone();
        match i % 3 {
            0 => damaged.truncate(bytes.len() / 2),
            1 => damaged.clear(),
            _ => damaged[bytes.len() / 2] ^= 1,
        }
        std::fs::write(file, damaged).expect("a file");
    }
    let (code, said) = ended(&mut seven(&place.libraries, &cache));
    assert!(code == Some(0) && said.contains("seven"), "{said}");
    assert_eq!(files(), all);
    assert!(all.iter().zip(&whole).all(|(file, bytes)| std::fs::read(file).expect("a file").len() == bytes.len()));
}

#[test]
fn a_bundle_makes_up_for_the_compiler() {
    let Some(place) = Place::new() else { return };
    let (driver, cache) = (place.driver(), place.path("none"));
    let (code, said) = ended(&mut seven(&driver, &cache));
    if !said.contains("libnvrtc") {
        return println!("skipped: there is another compiler");
    }
    assert_eq!(code, Some(5), "{said}");
    let with = |bundle: &str| ended(seven(&driver, &cache).env("MINDIR_CUDA_BUNDLE", place.path(bundle)));
    let (code, said) = place.build(&digits("lenet5.mindir"), "sm_80,sm_90a", "digits");
    assert!(code == Some(0) && said.contains("kernels for sm_80, sm_90a"), "{said}");
    let (code, said) = with("digits");
    assert!(code == Some(0) && said.contains("seven"), "{said}");
    // What follows the products of a library is there, too.
    let lt = std::env::join_paths([driver.clone(), place.libraries.join("lt")]).expect("paths");
    let mut by_library = seven(&driver, &cache);
    by_library.env("MINDIR_CUDA_BUNDLE", place.path("digits")).env("LD_LIBRARY_PATH", lt);
    let (code, said) = ended(by_library.env_remove("MINDIR_CUDA_OWN_PRODUCTS"));
    assert!(code == Some(0) && said.contains("seven"), "{said}");
    assert!(!cache.exists(), "nothing is compiled");
    let refused = |bundle: &str, reason: &str| {
        let (code, said) = with(bundle);
        assert!(code == Some(5) && said.contains(reason), "{bundle}: {said}");
    };
    assert_eq!(place.build(&digits("lenet5.mindir"), "sm_80", "old").0, Some(0));
    refused("old", "it is for sm_80, the GPU is sm_90");
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/mlp_small/model.mindir");
    assert_eq!(place.build(other, "sm_90", "other").0, Some(0));
    refused("other", "lacks this kernel");
    let mut bytes = std::fs::read(place.path("digits")).expect("a bundle");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(place.path("damaged"), &bytes).expect("a file");
    refused("damaged", "it is damaged, or no bundle of kernels");
    refused("missing", "No such file");
}

#[test]
fn a_bundle_has_what_a_loop_needs() {
    let Some(place) = Place::new() else { return };
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/cf_while/model.mindir");
    let given = ["in_0.npy", "in_1.npy"].map(|file| Path::new(model).with_file_name(file));
    let (code, said) =
        place.built(model, "sm_90", "loop", &given.each_ref().map(|file| file.to_str().expect("a path")));
    assert!(code == Some(0) && said.contains("branches that this run did not take"), "{said}");
    let compare = |bundle: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mindir"));
        command.args(["compare", model, "--device", "cuda"]).arg(Path::new(model).with_file_name(""));
        command.env("LD_LIBRARY_PATH", place.driver()).env("MINDIR_CUDA_CACHE", place.path("none"));
        command.env("MINDIR_CUDA_OWN_PRODUCTS", "1").envs(bundle.map(|b| ("MINDIR_CUDA_BUNDLE", place.path(b))));
        ended(&mut command)
    };
    if compare(None).1.contains("libnvrtc") {
        let (code, said) = compare(Some("loop"));
        assert!(code == Some(0) && said.contains("equal"), "{said}");
    }
}

#[test]
fn what_is_no_architecture_is_refused() {
    let Some(place) = Place::new() else { return };
    let (code, said) = place.build(&digits("lenet5.mindir"), "90", "bundle");
    assert!(code == Some(2) && said.contains("\"90\" is no architecture"), "{said}");
    assert!(!place.path("bundle").exists());
}
