//! Measurements that are kept, and compared with.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Measured, Report};
use crate::failure::Failure;
use crate::print;
use crate::save;

/// What is read of a report that was kept.
#[derive(Deserialize)]
pub struct Baseline {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    batch: Option<usize>,
    threads: usize,
    #[serde(default = "one")]
    concurrency: usize,
    inputs: Vec<String>,
    p50_ns: u64,
}

fn one() -> usize {
    1
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

    /// The changes of the runs that were measured then, too.
    pub fn changes(&self, path: &Path, now: &[Measured]) -> Result<Vec<Change>, Failure> {
        let changes: Vec<Change> = now.iter().filter_map(|m| self.change(m)).collect();
        if changes.is_empty() {
            let text = format!("{}: it has no run with these inputs, threads and numbers at once", path.display());
            return Err(Failure::Usage(text));
        }
        if changes.len() < now.len() {
            let missing = now.len() - changes.len();
            print::warn(&format!("{} not in {}", print::plural(missing, "run"), path.display()));
        }
        Ok(changes)
    }

    fn change(&self, m: &Measured) -> Option<Change> {
        let same = |r: &&Run| {
            (r.batch, r.threads, r.concurrency) == (m.batch, m.threads, m.concurrency) && r.inputs == m.inputs
        };
        let before = self.runs.iter().find(same)?.p50_ns;
        Some(Change {
            batch: m.batch,
            threads: m.threads,
            concurrency: m.concurrency,
            p50_ns_before: before,
            p50_ns: m.p50_ns,
            slower: m.p50_ns as f64 / before.max(1) as f64 - 1.0,
        })
    }
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
