//! `--device cuda`: what is missing, and a run on a driver and a compiler that run kernels on the processor.

#[path = "../../../kernels/tests/cuda/build.rs"]
mod emulation;

use std::process::Command;

use crate::digits;

fn run(libraries: &std::path::Path, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mindir"));
    command.args(["run", &digits("lenet5.mindir"), "-i", &digits("seven.png"), "--labels", &digits("labels.txt")]);
    command.args(["--top", "1", "--device", "cuda"]).args(more);
    command.env("LD_LIBRARY_PATH", libraries).env("MINDIR_CUDA_CACHE", libraries.join("kernels"));
    let ended = command.output().expect("the command");
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn what_is_missing_is_said() {
    let empty = tempfile::tempdir().expect("a folder");
    let (ran, said) = run(empty.path(), &[]);
    // With NVIDIA's driver and compiler on this machine there is nothing to complain about.
    assert!(ran || said.contains("libcuda") || said.contains("libnvrtc"), "{said}");
}

#[test]
fn a_picture_is_seen() {
    let libraries = match emulation::build() {
        Ok(libraries) => libraries,
        Err(reason) => {
            let required = std::env::var("MINDIR_REQUIRE").is_ok_and(|v| v.contains("cuda"));
            assert!(!required, "MINDIR_REQUIRE asks for cuda: {reason}");
            return println!("skipped: {reason}");
        }
    };
    let (ran, said) = run(&libraries, &["--fallback", "deny"]);
    assert!(ran && said.contains("seven"), "{said}");
}
