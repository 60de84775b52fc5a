//! Every operation in turn fails, is the last one of its process, or is the last one before the power goes.

mod exports;
mod memory;

use std::io::Write;
use std::sync::Arc;

use self::memory::{Fault, Memory};
use super::{Options, Step, StoreError, Writer, replace, sweep};

const PATH: &str = "/d/net";
const PREFIX: &str = "net_variables/data_";
const OLD: &str = "the old contents, which are worth keeping";
const NEW: &str = "the new contents, which took long to compute";

fn options(memory: &Memory) -> Options {
    Options { mode: Some(0o400), layer: Arc::new(memory.clone()), watch: None }
}

/// Writes one file.
fn one(memory: &Memory, text: &str) -> Result<(), StoreError> {
    replace(PATH, &options(memory), |out| out.write_all(text.as_bytes()))
}

fn read_one(memory: &Memory) -> Option<String> {
    memory.read(PATH).map(|bytes| String::from_utf8(bytes).unwrap())
}

/// Writes a main file that holds the names of two others, which have the two halves of the text.
fn several(memory: &Memory, text: &str) -> Result<(), StoreError> {
    let mut writer = Writer::begin(PATH, &options(memory))?;
    for half in [&text[..20], &text[20..]] {
        let location = writer.add(PREFIX, |out| out.write_all(half.as_bytes()))?;
        writeln!(writer, "{location}").map_err(|source| writer.failed(source))?;
    }
    writer.commit()
}

fn read_several(memory: &Memory) -> Option<String> {
    let main = memory.read(PATH)?;
    let main = String::from_utf8(main).unwrap();
    Some(main.lines().map(|line| String::from_utf8(memory.read(&format!("/d/{line}")).unwrap()).unwrap()).collect())
}

type Writes = fn(&Memory, &str) -> Result<(), StoreError>;
type Reads = fn(&Memory) -> Option<String>;

/// Ways to write, each with the names that it leaves after the first and the second time.
const WAYS: [(Writes, Reads, &[&str]); 2] = [
    (one, read_one, &["net"]),
    (several, read_several, &["net", "net_variables", "net_variables/data_", "net_variables/data_"]),
];

/// File systems to start from: with an old file, and without.
fn starts(write: Writes) -> [(Memory, Option<String>); 2] {
    let old = Memory::new();
    write(&old, OLD).unwrap();
    [(old, Some(OLD.to_string())), (Memory::new(), None)]
}

/// Checks that a file system without faults can be written to and is tidy afterwards.
fn assert_usable(memory: &Memory, (write, read, names): (Writes, Reads, &[&str]), what: &str) {
    write(memory, "something else, written after the accident").expect(what);
    assert_eq!(read(memory).as_deref(), Some("something else, written after the accident"), "{what}");
    let left: Vec<String> =
        memory.names().iter().map(|name| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_string()).collect();
    assert_eq!(left, names, "{what}");
}

#[test]
fn what_fails_leaves_the_old_file() {
    for way @ (write, read, _) in WAYS {
        for (start, old) in starts(write) {
            let mut replaced = 0;
            for at in 0.. {
                let memory = start.with(Fault::Error(at));
                let outcome = write(&memory, NEW);
                if !memory.failed() {
                    assert!(outcome.is_ok() && at > 10);
                    break;
                }
                let what = format!("operation {at}: {outcome:?}");
                let new = outcome.as_ref().is_err_and(StoreError::is_replaced) || outcome.is_ok();
                replaced += usize::from(outcome.is_err() && new);
                assert_eq!(read(&memory), if new { Some(NEW.to_string()) } else { old.clone() }, "{what}");
                assert_usable(&memory.healed(), way, &what);
            }
            assert_eq!(replaced, 1, "only the last sync fails after the file was replaced");
        }
    }
}

#[test]
fn who_dies_leaves_the_old_or_the_new_file() {
    for way @ (write, read, _) in WAYS {
        for (start, old) in starts(write) {
            let mut outcomes = [0, 0];
            for at in 0.. {
                let memory = start.with(Fault::Death(at));
                let outcome = write(&memory, NEW);
                if !memory.failed() {
                    break;
                }
                let memory = memory.after_death();
                let what = format!("operation {at}: {outcome:?}");
                let found = read(&memory);
                assert!(found == old || found.as_deref() == Some(NEW), "{what}: {found:?}");
                outcomes[usize::from(found.as_deref() == Some(NEW))] += 1;
                assert_usable(&memory, way, &what);
            }
            assert!(outcomes[0] > 5 && outcomes[1] > 0, "{outcomes:?}");
        }
    }
}

#[test]
fn power_loss_leaves_the_old_or_the_new_file() {
    for way @ (write, read, _) in WAYS {
        for (start, old) in starts(write) {
            for at in 0.. {
                let memory = start.with(Fault::Death(at));
                let outcome = write(&memory, NEW);
                for after in memory.after_power_loss() {
                    let what = format!("operation {at}: {outcome:?}, left {:?}", after.names());
                    let found = read(&after);
                    let is_new = found.as_deref() == Some(NEW);
                    assert!(is_new || (found == old && outcome.is_err()), "{what}: {found:?}");
                    assert_usable(&after, way, &what);
                }
                if !memory.failed() {
                    break;
                }
            }
        }
    }
}

#[test]
fn permissions_are_narrow_until_the_file_is_complete() {
    let memory = Memory::new();
    let mut writer = Writer::begin(PATH, &options(&memory)).unwrap();
    writer.write_all(b"x").unwrap();
    let temporary = memory.names().into_iter().find(|name| name.ends_with(".tmp")).unwrap();
    assert_eq!(memory.mode(&format!("/d/{temporary}")), Some(0o600));
    writer.commit().unwrap();
    assert_eq!(memory.mode(PATH), Some(0o400));
    // Without a wish, the permissions of the old file stay.
    replace(PATH, &Options { mode: None, ..options(&memory) }, |out| out.write_all(b"y")).unwrap();
    assert_eq!(memory.mode(PATH), Some(0o400));
}

#[test]
fn a_second_writer_is_refused() {
    let memory = Memory::new();
    let first = Writer::begin(PATH, &options(&memory)).unwrap();
    let error = one(&memory, NEW).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    assert_eq!(error.to_string(), "/d/net: another writer is busy with this file");
    one_at(&memory, "/d/other").unwrap();
    sweep("/d", &options(&memory)).unwrap();
    drop(first);
    one(&memory, NEW).unwrap();
    assert_eq!(memory.names(), ["net", "other"]);
}

fn one_at(memory: &Memory, path: &str) -> Result<(), StoreError> {
    replace(path, &options(memory), |out| out.write_all(b"x"))
}

#[test]
fn sweeping_removes_what_the_dead_have_left() {
    let start = Memory::new();
    one_at(&start, "/d/a").unwrap();
    let mut memory = start;
    for name in ["/d/b", "/d/c"] {
        let dying = memory.with(Fault::Death(5));
        one_at(&dying, name).unwrap_err();
        memory = dying.after_death();
    }
    assert_eq!(memory.names().len(), 5, "{:?}", memory.names());
    sweep("/d", &options(&memory)).unwrap();
    assert_eq!(memory.names(), ["a"]);
}

#[test]
fn members_stay_inside() {
    let memory = Memory::new();
    let mut writer = Writer::begin(PATH, &options(&memory)).unwrap();
    for prefix in ["../data_", "/etc/data_", "a/../data_", "C:/data_", "", "a/", "a\\b"] {
        let added = writer.add(prefix, |out| out.write_all(b"x"));
        assert!(matches!(added, Err(StoreError::Target { .. })), "{prefix}");
        assert!(writer.owns(prefix).is_err(), "{prefix}");
    }
    assert_eq!(writer.add("data_", |out| out.write_all(b"x")).unwrap(), "data_0");
    assert_eq!(writer.add("data_", |out| out.write_all(b"y")).unwrap(), "data_1");
    drop(writer);
    assert!(memory.names().is_empty());
}

#[test]
fn numbers_are_not_used_again() {
    let memory = Memory::new();
    for round in 0..3 {
        several(&memory, OLD).unwrap();
        let expected = [2 * round, 2 * round + 1].map(|number| format!("net_variables/data_{number}"));
        assert_eq!(memory.names()[2..], expected);
    }
    let mut writer = Writer::begin(PATH, &options(&memory)).unwrap();
    writer.owns(PREFIX).unwrap();
    writer.write_all(b"all in one").unwrap();
    writer.commit().unwrap();
    assert_eq!(memory.names(), ["net", "net_variables"]);
}

#[test]
fn errors_say_what_was_being_done() {
    let memory = Memory::new();
    let error = replace(PATH, &options(&memory), |_| Err(std::io::Error::other("no weights"))).unwrap_err();
    assert!(matches!(error, StoreError::Io { step: Step::Write, replaced: false, .. }));
    assert_eq!(error.to_string(), "/d/net: cannot write: no weights");
    assert_eq!(error.file(), PATH);
}
