//! Names of checkpoint files and what they tell.

use std::collections::HashMap;
use std::path::Path;
use std::time::SystemTime;
use std::{fs, io};

use crate::ckpt::Format;

const BREAKPOINT: &str = "_breakpoint.ckpt";

/// Names in a folder that are text.
pub(super) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

/// The prefix for a new run: with the number after the largest one that there is.
pub(super) fn next_prefix(names: &[String], prefix: &str, breakpoints: bool) -> String {
    let is_checkpoint = |name: &str| name.ends_with(".ckpt") || name.ends_with(".safetensors");
    let used = names.iter().filter(|name| name.ends_with(BREAKPOINT) == breakpoints && is_checkpoint(name));
    let number = |rest: &str| -> Option<u64> {
        let mut chars = rest.chars();
        if chars.next()?.is_alphabetic() {
            return None;
        }
        let (before, _) = rest.split_once('-')?;
        let mut digits = before.chars();
        match digits.next() {
            None => Some(1),
            Some(_) => digits.as_str().parse().ok().and_then(|number: u64| number.checked_add(1)),
        }
    };
    let number = used.filter_map(|name| number(name.strip_prefix(prefix)?)).max();
    number.map_or_else(|| prefix.to_string(), |number| format!("{prefix}_{number}"))
}

/// A file that was saved before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Old {
    pub(super) time: SystemTime,
    pub(super) name: String,
}

/// When the files of this run were saved.
#[derive(Debug, Default)]
pub(super) struct Kept {
    times: HashMap<String, SystemTime>,
}

impl Kept {
    pub(super) fn saved(&mut self, name: String, time: SystemTime) {
        self.times.insert(name, time);
    }

    /// The files `prefix-…` but for `new`, oldest first. For those of another process their own times count.
    pub(super) fn list(
        &mut self,
        folder: &Path,
        names: &[String],
        prefix: &str,
        format: Format,
        new: &str,
    ) -> Vec<Old> {
        let ending = format!(".{format}");
        let is_ours = |name: &str| {
            let middle = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(&ending));
            middle.is_some_and(|middle| middle.starts_with('-') && !middle.chars().any(char::is_alphabetic))
        };
        let ours = names.iter().filter(|name| is_ours(name) && *name != new);
        let time = |name: &String| {
            let own = || fs::metadata(folder.join(name)).and_then(|found| found.modified()).ok();
            self.times.get(name).copied().or_else(own)
        };
        let mut old: Vec<Old> = ours.filter_map(|name| Some(Old { time: time(name)?, name: name.clone() })).collect();
        old.sort();
        self.times.retain(|name, _| old.iter().any(|file| file.name == *name));
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_numbered_as_in_mindspore() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&[], "net", "net"),
            (&["net-1_2.ckpt"], "net", "net_1"),
            (&["net-1_2.ckpt", "net_1-1_2.ckpt"], "net", "net_2"),
            (&["net_7-1_2.safetensors"], "net", "net_8"),
            (&["network-1_2.ckpt", "net.ckpt", "net-1_2.txt", "net_x-1_2.ckpt", "other-1_1.ckpt"], "net", "net"),
            (&["net-1_2_breakpoint.ckpt"], "net", "net"),
            (&["nét-1_2.ckpt"], "n", "n"),
        ];
        for (names, prefix, expected) in cases {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            assert_eq!(next_prefix(&names, prefix, false), *expected, "{names:?}");
        }
        let names = ["net-1_2.ckpt".to_string(), "net-1_2_breakpoint.ckpt".to_string()];
        assert_eq!(next_prefix(&names, "net", true), "net_1");
        assert_eq!(next_prefix(&names[..1], "net", true), "net");
    }
}
