//! What `ARCHITECTURE.md` says of the sources as a whole. What it says of runs, the other tests hold it to.

use std::path::{Path, PathBuf};

use mindir_graph::ops::OPS;

/// The crates that a program is made of.
const LIBRARIES: [&str; 6] = ["graph", "kernels", "loader", "proto", "runtime", "shaders"];

/// The code of `folder`, file by file, without tests and comments.
fn code(folder: &str) -> Vec<(PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut folders, mut files) = (vec![root.join(folder).join("src")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "{folder} has no files");
    files.into_iter().map(|path| (path.strip_prefix(&root).unwrap().to_path_buf(), lines(&path))).collect()
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let shipped = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = shipped.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    lines.map(str::to_string).collect()
}

/// Lines of `folder` of which `wrong` says so, as `file: line`.
fn found(folder: &str, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let files = code(folder).into_iter();
    let named = files.flat_map(|(path, lines)| lines.into_iter().map(move |line| (path.clone(), line)));
    named.filter(|(_, line)| wrong(line)).map(|(path, line)| format!("{}: {line}", path.display())).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphanumeric())
}

#[test]
fn devices_name_no_operator() {
    let names: Vec<String> = OPS.iter().flat_map(|def| def.names()).map(|name| format!("\"{name}\"")).collect();
    for folder in ["kernels", "shaders"] {
        let wrong = found(folder, |line| line.contains('"') && names.iter().any(|name| line.contains(name.as_str())));
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn operators_and_passes_name_no_device() {
    let devices = ["cpu", "wgpu", "cuda", "gpu", "avx2", "avx512", "neon"];
    let wrong = found("graph", |line| words(line).any(|word| devices.contains(&word.to_lowercase().as_str())));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn global_state_is_what_is_listed() {
    let listed = ["CURRENT: RefCell<Bounds>", "LIVE: Mutex<Vec<(usize, usize)>>", "DEVICES: AtomicU64"];
    let mutable = ["Atomic", "Cell", "Lock", "Mutex", "mut "];
    for folder in LIBRARIES {
        let states = |line: &str| {
            let after = line.split_once("static ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
            after.is_some_and(|(_, rest)| mutable.iter().any(|kind| rest.contains(kind)))
        };
        let wrong = found(folder, |line| states(line) && !listed.iter().any(|known| line.contains(known)));
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Arrays of NumPy are no models: they are written where they are asked for. Neither are kernels that a device keeps.
#[test]
fn files_are_replaced_in_the_store_only() {
    let writing =
        ["fs::rename", "fs::write", "fs::copy", "File::create", ".persist(", ".create(true)", ".truncate(true)"];
    for folder in LIBRARIES.into_iter().chain(["cli"]) {
        let wrong = found(folder, |line| writing.iter().any(|call| line.contains(call)));
        let places = ["loader/src/store/", "loader/src/npy/", "kernels/src/cuda/compile.rs"];
        let elsewhere = |line: &String| !places.iter().any(|place| line.starts_with(place));
        let wrong: Vec<String> = wrong.into_iter().filter(elsewhere).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
