//! Measurements that are kept, and compared with.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Key, Measured, Report};
use crate::failure::Failure;
use crate::print;
use crate::save;
use crate::stdin;

/// What is read of a report that was kept.
#[derive(Deserialize)]
pub struct Baseline {
    #[serde(default)]
    model: Option<PathBuf>,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    #[serde(flatten)]
    key: Key,
    p50_ns: u64,
}

/// A combination then and now.
#[derive(Serialize)]
pub struct Change {
    batch: Option<usize>,
    threads: usize,
    concurrency: usize,
    p50_ns_before: u64,
    p50_ns: u64,
    /// How much longer it takes, as a part of what it took before.
    slower: f64,
}

/// `5%`, or 5.
pub fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    let number = number.map_err(|_| format!("{} is no number of percent, such as 5%", print::quoted(text)))?;
    if number.is_finite() && number >= 0.0 { Ok(number / 100.0) } else { Err("expected a percentage from 0 on".into()) }
}

/// Keeps a report.
pub fn save(path: &Path, report: &Report) -> Result<(), Failure> {
    save::write(path, |out| out.write_all(print::json(report).as_bytes()))
}

impl Baseline {
    pub fn read(path: &Path) -> Result<Baseline, Failure> {
        let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
        serde_json::from_str(&text).map_err(|e| {
            let what = format!("expected a report of `bench --save`: {e}");
            Failure::Corrupt { path: path.to_path_buf(), what }
        })
    }

    /// Refuses what has none of these runs, which are to be measured, and warns of what is of another model or lacks some.
    pub fn check(&self, path: &Path, model: &Path, keys: &[Key]) -> Result<(), Failure> {
        let file = path.display();
        if let Some(other) = self.model.as_deref().filter(|other| is_other(other, model)) {
            print::warn(&format!("{file} is about {}, not {}", other.display(), model.display()));
        }
        match keys.iter().filter(|key| self.find(key).is_none()).count() {
            0 => {}
            missing if missing == keys.len() => {
                let text =
                    format!("{file}: it has no run with these inputs, threads, numbers at once, device and precision");
                return Err(Failure::Usage(text));
            }
            missing => print::warn(&format!("{} not in {file}", print::plural(missing, "run"))),
        }
        Ok(())
    }

    /// The changes of the runs that were measured then, too.
    pub fn changes(&self, now: &[Measured]) -> Vec<Change> {
        now.iter().filter_map(|m| self.change(m)).collect()
    }

    fn find(&self, key: &Key) -> Option<&Run> {
        self.runs.iter().find(|run| run.key == *key)
    }

    fn change(&self, m: &Measured) -> Option<Change> {
        let before = self.find(&m.key)?.p50_ns;
        Some(Change {
            batch: m.key.batch,
            threads: m.key.threads,
            concurrency: m.key.concurrency,
            p50_ns_before: before,
            p50_ns: m.p50_ns,
            slower: m.p50_ns as f64 / before.max(1) as f64 - 1.0,
        })
    }
}

/// Whether what was measured then is another file than the one now; it may have been on another machine or in another folder.
fn is_other(then: &Path, now: &Path) -> bool {
    let is_named_other = then.file_name() != now.file_name();
    !stdin::is(then) && !stdin::is(now) && (is_named_other || then.exists() && !save::is_same(then, now))
}

impl Change {
    /// Whether it takes longer by more than this part.
    pub fn is_above(&self, limit: f64) -> bool {
        self.slower > limit
    }

    fn row(&self) -> Vec<String> {
        let time = |ns: u64| print::time(ns as f64);
        vec![
            self.batch.map_or("-".into(), |b| b.to_string()),
            self.threads.to_string(),
            self.concurrency.to_string(),
            time(self.p50_ns_before),
            time(self.p50_ns),
            format!("{:+.1} %", 100.0 * self.slower),
        ]
    }
}

/// The changes as a table.
pub fn table(changes: &[Change]) -> String {
    let header = ["batch", "threads", "at once", "p50 before", "p50", "change"];
    print::table(&header, &[0, 1, 2, 3, 4, 5], changes.iter().map(Change::row))
}
