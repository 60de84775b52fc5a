//! The store on real file systems: links, locks between processes, full disks and sudden death.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mindir_graph::random::SplitMix;
use mindir_loader::store::{self, Options, StoreError, Writer};

/// Names the file that a child process of the tests writes, again and again.
const CHILD: &str = "MINDIR_STORE_CHILD";
const PREFIX: &str = "parts/data_";
const SIZE: usize = 300_000;

/// Contents that tell by themselves whether they are complete.
fn contents(number: u64) -> Vec<u8> {
    let mut random = SplitMix(number);
    let mut bytes = number.to_le_bytes().to_vec();
    while bytes.len() < SIZE {
        bytes.extend_from_slice(&random.bits().to_le_bytes());
    }
    bytes
}

fn assert_complete(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == contents(number), "contents {number} are damaged");
    number
}

/// The main file holds a number, and the location of a file that holds the same one.
fn write_pair(path: &Path, number: u64) -> Result<(), StoreError> {
    let mut writer = Writer::begin(path, &Options::default())?;
    let location = writer.add(PREFIX, |out| out.write_all(&contents(number)))?;
    let main = [contents(number), location.into_bytes()].concat();
    writer.write_all(&main).map_err(|source| writer.failed(source))?;
    writer.commit()
}

fn assert_pair(path: &Path) -> u64 {
    let main = fs::read(path).unwrap();
    let (bytes, location) = main.split_at(contents(0).len());
    let number = assert_complete(bytes);
    let part = fs::read(path.with_file_name(str::from_utf8(location).unwrap())).unwrap();
    assert_eq!(assert_complete(&part), number);
    number
}

/// Runs this program as a child that executes only the test `write_until_killed` with the given file.
fn child(path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "write_until_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Not a test: what the children of the other tests do.
#[test]
fn write_until_killed() {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let mut number = if path.exists() { assert_pair(&path) } else { 0 };
    loop {
        number += 1;
        write_pair(&path, number).unwrap();
    }
}

/// A number from the environment.
fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// `MINDIR_KILLS` says how often a child is killed while it writes.
#[test]
fn a_killed_writer_leaves_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    write_pair(&path, 1).unwrap();
    let mut last = 1;
    let mut unfinished = 0;
    for round in 0..setting("MINDIR_KILLS", 20) {
        let running = child(&path).spawn().unwrap();
        // Spread over the time of a few writes, which begin a few milliseconds after the start.
        std::thread::sleep(Duration::from_micros(4000 + (round as u64 * 7919) % 20_000));
        kill(running);
        let number = assert_pair(&path);
        assert!(number >= last, "{number} came after {last}");
        last = number;
        unfinished += usize::from(fs::read_dir(folder.path()).unwrap().count() > 2);
    }
    assert!(unfinished > 0, "no kill hit a write");
    write_pair(&path, last + 1).unwrap();
    assert_eq!(assert_pair(&path), last + 1);
    assert_eq!(names(folder.path()), ["net", "parts"]);
    assert_eq!(names(&folder.path().join("parts")).len(), 1);
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_living_process_keeps_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    let writer = Writer::begin(&path, &Options::default()).unwrap();
    let ended = child(&path).status().unwrap();
    assert!(!ended.success(), "two processes wrote at the same time");
    drop(writer);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_size_limit_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    write_pair(&path, 1).unwrap();
    // Units of 512 bytes; the signal is ignored so that the call fails.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" --exact write_until_killed", SIZE / 512 / 2);
    let program = std::env::current_exe().unwrap();
    let out = Command::new("sh").args(["-c", &script]).arg(program).env(CHILD, &path).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && text.contains("File too large"), "{text}");
    assert_eq!(assert_pair(&path), 1);
    assert_eq!(names(folder.path()), ["net", "parts"]);
}

/// Needs the right to mount; without it the test passes unless `MINDIR_REQUIRE` contains `tmpfs`.
#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
    if !mount.as_ref().is_ok_and(|out| out.status.success()) {
        let required = std::env::var("MINDIR_REQUIRE").is_ok_and(|needs| needs.contains("tmpfs"));
        assert!(!required, "MINDIR_REQUIRE asks for tmpfs: {mount:?}");
        eprintln!("not tested, nothing can be mounted: {mount:?}");
        return;
    }
    let path = folder.path().join("net");
    let checks = std::panic::catch_unwind(|| {
        write_pair(&path, 1).unwrap();
        let error = write_pair(&path, 2).unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
        assert_eq!(assert_pair(&path), 1);
        assert_eq!(names(folder.path()), ["net", "parts"]);
        let error = store::replace(&path, &Options::default(), |out| out.write_all(&vec![1; 1 << 20])).unwrap_err();
        assert!(!error.is_replaced());
        assert_eq!(assert_pair(&path), 1);
    });
    // Lazily: a process that another test is just starting may still hold this one's open files.
    assert!(Command::new("umount").arg("--lazy").arg(folder.path()).status().unwrap().success());
    checks.unwrap();
}

#[test]
fn links_and_folders_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), b"kept").unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink(at("file"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    for name in ["link", "dangling", "folder", "."] {
        let error = write_pair(&at(name), 1).unwrap_err();
        assert!(matches!(error, StoreError::Target { .. }), "{name}: {error}");
    }
    symlink(at("folder"), at("parts")).unwrap();
    let error = write_pair(&at("net"), 1).unwrap_err();
    assert!(error.to_string().ends_with("symbolic links are not followed"), "{error}");
    // A lock that is a link to somewhere else is not opened.
    symlink(at("target"), at(".other.lock")).unwrap();
    store::replace(at("other"), &Options::default(), |out| out.write_all(b"x")).unwrap_err();
    assert_eq!(names(folder.path()), [".other.lock", "dangling", "file", "folder", "link", "parts"]);
    assert_eq!(fs::read(at("file")).unwrap(), b"kept");
    assert!(fs::read_dir(at("folder")).unwrap().next().is_none());
    let error = store::replace(at("none/net"), &Options::default(), |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn permissions_are_set_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net");
    let write = |mode| store::replace(&path, &Options { mode, ..Options::default() }, |out| out.write_all(b"x"));
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    fs::write(folder.path().join("usual"), b"").unwrap();
    write(None).unwrap();
    assert_eq!(mode(), fs::metadata(folder.path().join("usual")).unwrap().permissions().mode() & 0o777);
    write(Some(0o400)).unwrap();
    assert_eq!(mode(), 0o400);
    let before = fs::metadata(&path).unwrap().ino();
    write(None).unwrap();
    assert_eq!(mode(), 0o400);
    assert_ne!(fs::metadata(&path).unwrap().ino(), before);
}

#[test]
fn sweeping_leaves_what_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["net", ".net.tmp", ".hidden", "x.lock", ".a.0123456789abcdef.tmp", ".b.lock"] {
        fs::write(at(name), b"x").unwrap();
    }
    let writer = Writer::begin(at("busy"), &Options::default()).unwrap();
    store::sweep(folder.path(), &Options::default()).unwrap();
    let left = names(folder.path());
    assert_eq!(left.len(), 6, "{left:?}");
    assert!(left.iter().any(|name| name.starts_with(".busy.") && name.ends_with(".tmp")));
    drop(writer);
    assert_eq!(names(folder.path()), [".hidden", ".net.tmp", "net", "x.lock"]);
}
