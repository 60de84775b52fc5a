//! The rules, with a clock that is set by hand.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::config::Choose;
use super::*;
use crate::ckpt::{ReadOptions, read};

/// Seconds since some time, set by hand.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        let start = SystemTime::now();
        Clock(Arc::new(move || start + Duration::from_secs(seconds.load(Ordering::Relaxed))))
    }

    fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

fn state() -> Checkpoint {
    [("net.weight", 1.5f32), ("moments.net.weight", 0.5)].into_iter().collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = files::names(folder).unwrap();
    names.sort();
    names
}

/// The files that a loop of `steps` steps leaves, each of which takes `pace` seconds.
fn left(config: CheckpointConfig, steps: u64, per_epoch: u64, pace: u64) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let hand = Hand::default();
    let config = CheckpointConfig { clock: hand.clock(), ..config };
    let mut manager = CheckpointManager::new("net", folder.path().join("made"), config).unwrap();
    let mut run = manager.run(state);
    for step in 1..=steps {
        hand.set(step * pace);
        run.step_end(Progress::new(step, per_epoch)).unwrap();
    }
    run.finish().unwrap();
    names(&folder.path().join("made"))
}

fn config() -> CheckpointConfig {
    CheckpointConfig::default()
}

#[test]
fn steps_and_seconds_say_when() {
    let keep = |steps, seconds| CheckpointConfig {
        save_checkpoint_steps: steps,
        save_checkpoint_seconds: seconds,
        keep_checkpoint_max: 100,
        ..config()
    };
    for async_save in [false, true] {
        let left =
            |config, steps, per_epoch, pace| left(CheckpointConfig { async_save, ..config }, steps, per_epoch, pace);
        let every_third = ["net-1_10.ckpt", "net-1_3.ckpt", "net-1_6.ckpt", "net-1_9.ckpt"];
        assert_eq!(left(keep(3, 0), 10, 10, 1), every_third);
        assert_eq!(left(keep(3, 1), 10, 10, 1), every_third, "steps go before seconds");
        assert_eq!(left(keep(100, 0), 10, 5, 1), ["net-2_5.ckpt"]);
        // More than three seconds after the one before.
        assert_eq!(left(keep(0, 3), 9, 9, 1), ["net-1_4.ckpt", "net-1_8.ckpt", "net-1_9.ckpt"]);
        assert_eq!(left(keep(0, 3), 8, 8, 1), ["net-1_4.ckpt", "net-1_8.ckpt"]);
        assert_eq!(left(keep(2, 0), 5, 2, 1), ["net-1_2.ckpt", "net-2_2.ckpt", "net-3_1.ckpt"]);
        assert!(left(keep(0, 0), 5, 5, 1).is_empty());
    }
}

#[test]
fn old_files_go() {
    let keep = |most, minutes| CheckpointConfig {
        keep_checkpoint_max: most,
        keep_checkpoint_per_n_minutes: minutes,
        ..config()
    };
    for async_save in [false, true] {
        let left = |config, pace| left(CheckpointConfig { async_save, ..config }, 5, 5, pace);
        assert_eq!(left(keep(2, 0), 1), ["net-1_4.ckpt", "net-1_5.ckpt"]);
        assert_eq!(left(keep(2, 7), 1), ["net-1_4.ckpt", "net-1_5.ckpt"], "a maximum goes before minutes");
        assert_eq!(left(keep(0, 0), 1), ["net-1_5.ckpt"]);
        // All within a minute: the first and the last one.
        assert_eq!(left(keep(0, 1), 1), ["net-1_1.ckpt", "net-1_5.ckpt"]);
        assert_eq!(left(keep(0, 1), 60).len(), 5);
        // Of the last minute there is never more than one.
        assert_eq!(left(keep(0, 1), 40).len(), 5);
        assert_eq!(left(keep(0, 1), 25), ["net-1_1.ckpt", "net-1_3.ckpt", "net-1_5.ckpt"]);
    }
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let others = ["net-best.ckpt", "net-1_1.safetensors", "network-1_1.ckpt", "net2-1_1.ckpt", "notes.txt"];
    others.iter().for_each(|name| fs::write(folder.path().join(name), b"x").unwrap());
    let mut manager =
        CheckpointManager::new("nets", folder.path(), CheckpointConfig { keep_checkpoint_max: 1, ..config() }).unwrap();
    let mut run = manager.run(state);
    (1..5).for_each(|step| drop(run.step_end(Progress::new(step, 9)).unwrap()));
    run.finish().unwrap();
    let mut expected = others.map(String::from).to_vec();
    expected.push("nets-1_4.ckpt".to_string());
    expected.sort();
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn runs_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut manager = CheckpointManager::new("net", folder.path(), config()).unwrap();
        let mut run = manager.run(state);
        run.step_end(Progress::new(2, 2)).unwrap();
        run.finish().unwrap();
        assert!(manager.latest().unwrap().exists());
    }
    assert_eq!(names(folder.path()), ["net-1_2.ckpt", "net_1-1_2.ckpt", "net_2-1_2.ckpt"]);
}

#[test]
fn what_is_saved_can_be_chosen_and_appended() {
    let folder = tempfile::tempdir().unwrap();
    let append_info = AppendInfo {
        epoch_num: Some(10),
        step_num: Some(100),
        values: vec![("lr".to_string(), 0.5f32.into()), ("note".to_string(), "x".into())],
    };
    let saved_network = Some(Choose(Arc::new(|name: &str| name.starts_with("net."))));
    let config = CheckpointConfig { append_info, saved_network, exception_save: true, ..config() };
    let mut manager = CheckpointManager::new("net", folder.path(), config).unwrap();
    let mut run = manager.run(state);
    let path = run.step_end(Progress::new(7, 5)).unwrap().unwrap();
    let broken = run.interrupt().unwrap().unwrap();
    let found = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(found.names().collect::<Vec<_>>(), ["net.weight", "epoch_num", "step_num", "lr", "note"]);
    assert_eq!((found.get("epoch_num"), found.get("step_num")), (Some(&12i64.into()), Some(&107i64.into())));
    // A breakpoint has everything, so that training can go on.
    assert_eq!(broken.file_name().unwrap(), "net-2_2_breakpoint.ckpt");
    let found = read(&broken, &ReadOptions::default()).unwrap();
    let all = ["net.weight", "moments.net.weight", "epoch_num", "step_num", "lr", "note"];
    assert_eq!(found.names().collect::<Vec<_>>(), all);
}

#[test]
fn loops_that_break_leave_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let every = |exception_save| CheckpointConfig { save_checkpoint_steps: 100, exception_save, ..config() };
    let fail = |exception_save, panics: bool| {
        let mut manager = CheckpointManager::new("net", folder.path(), every(exception_save)).unwrap();
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut run = manager.run(state);
            run.step_end(Progress::new(3, 10)).unwrap();
            assert!(!panics, "the loop panics");
        }));
    };
    fail(false, false);
    assert!(names(folder.path()).is_empty());
    fail(true, false);
    fail(true, true);
    assert_eq!(names(folder.path()), ["net-1_3_breakpoint.ckpt", "net_1-1_3_breakpoint.ckpt"]);
    // A loop that ends as it should leaves none, nor does one without a step.
    let mut manager = CheckpointManager::new("net", folder.path(), every(true)).unwrap();
    drop(manager.run(state));
    manager.run(state).finish().unwrap();
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn errors_of_the_background_come_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager =
        CheckpointManager::new("net", folder.path(), CheckpointConfig { async_save: true, ..config() }).unwrap();
    fs::create_dir(folder.path().join("net-1_1.ckpt")).unwrap();
    let mut run = manager.run(state);
    run.step_end(Progress::new(1, 9)).unwrap();
    let error = run.step_end(Progress::new(2, 9)).unwrap_err();
    assert!(error.to_string().contains("net-1_1.ckpt"), "{error}");
    drop(run);
    let handle = write_async(folder.path(), state(), WriteOptions::default(), || panic!("must not be called")).unwrap();
    assert!(handle.wait().is_err());
}

#[test]
fn the_old_file_goes_only_when_the_new_one_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager =
        CheckpointManager::new("net", folder.path(), CheckpointConfig { keep_checkpoint_max: 1, ..config() }).unwrap();
    let mut run = manager.run(state);
    run.step_end(Progress::new(1, 9)).unwrap();
    fs::create_dir(folder.path().join("net-1_2.ckpt")).unwrap();
    run.step_end(Progress::new(2, 9)).unwrap_err();
    assert!(folder.path().join("net-1_1.ckpt").is_file());
    // The step is saved later after all.
    fs::remove_dir(folder.path().join("net-1_2.ckpt")).unwrap();
    run.finish().unwrap();
    assert_eq!(names(folder.path()), ["net-1_2.ckpt"]);
}

#[test]
fn wrong_rules_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let make = |prefix: &str, config| CheckpointManager::new(prefix, folder.path(), config).map(drop);
    let none = CheckpointConfig { save_checkpoint_steps: 0, keep_checkpoint_max: 0, ..config() };
    assert!(matches!(make("net", none), Err(ConfigError::NoRule)));
    for prefix in ["a/b", "", "..", "a\n"] {
        assert!(matches!(make(prefix, config()), Err(ConfigError::Prefix { .. })), "{prefix}");
    }
    let format = |format| WriteOptions { format: Some(format), ..config().write };
    let crc = CheckpointConfig { write: WriteOptions { crc: true, ..format(Format::Safetensors) }, ..config() };
    assert!(matches!(make("net", crc), Err(ConfigError::Safetensors)));
    let npz = CheckpointConfig { write: format(Format::Npz), ..config() };
    assert!(matches!(make("net", npz), Err(ConfigError::Format(Format::Npz))));
    assert!(make("net", CheckpointConfig { write: format(Format::Safetensors), ..config() }).is_ok());
    fs::write(folder.path().join("file"), b"x").unwrap();
    let error = CheckpointManager::new("net", folder.path().join("file"), config()).unwrap_err();
    assert!(matches!(error, ConfigError::Folder { .. }));
}

#[cfg(unix)]
#[test]
fn files_are_for_the_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("a/b");
    let mut manager = CheckpointManager::new("net", &made, config()).unwrap();
    let mut run = manager.run(state);
    let path = run.step_end(Progress::new(1, 1)).unwrap().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&made)), (0o400, 0o700));
}

#[test]
fn a_loop_that_goes_on_is_saved_after_the_same_steps() {
    let folder = tempfile::tempdir().unwrap();
    let every = |steps| CheckpointConfig { save_checkpoint_steps: steps, keep_checkpoint_max: 9, ..config() };
    for (steps, done, expected) in [(4, 8, &[12, 13][..]), (4, 9, &[12, 13]), (5, 9, &[10, 13])] {
        let place = folder.path().join(format!("{steps}_{done}"));
        let mut manager = CheckpointManager::new("net", &place, every(steps)).unwrap();
        manager.go_on_after(done);
        let mut run = manager.run(state);
        (done + 1..=13).for_each(|step| drop(run.step_end(Progress::new(step, 100)).unwrap()));
        run.finish().unwrap();
        let expected: Vec<String> = expected.iter().map(|at| format!("net-1_{at}.ckpt")).collect();
        assert_eq!(names(&place), expected, "{steps} {done}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_file_is_refused_at_once() {
    let refused = CheckpointManager::new("net", "/proc", config()).unwrap_err();
    assert!(matches!(refused, ConfigError::Store(_)), "{refused:?}");
    let folder = tempfile::tempdir().unwrap();
    CheckpointManager::new("net", folder.path(), config()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
