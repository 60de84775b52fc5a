//! What was measured of each case with each runner, and why some are not computed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{Case, RUNNERS, Runner};

/// How to write the table.
const COMMAND: &str = "MINDIR_MEASURE=1 cargo test -p mindir-tests --test suite";

/// The rows that are there, by name of the case: a cell for each runner.
pub struct Table {
    rows: BTreeMap<String, Vec<Option<Cell>>>,
    excuses: Vec<Excuse>,
}

/// What is known of a case with a runner.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// The largest error that was measured, in units in the last place of a tensor's largest magnitude.
    Error(f64),
    /// The name of an excuse.
    Excused(String),
}

/// Why a runner does not compute some cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excuse {
    /// What cells of the table call it.
    pub name: String,
    /// Part of what the runner says in such a case.
    pub says: String,
    /// Why that is right.
    pub why: String,
}

/// The error that is allowed where `measured` was measured: room for other processors, and never less than one rounding.
pub fn room(measured: f64) -> f64 {
    (4.0 * measured).max(1.0)
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Error(error) => write!(f, "{error}"),
            Cell::Excused(name) => f.write_str(name),
        }
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suite").join(name)
}

/// Lines of a file that say something.
fn lines(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path(name)).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(String::from).collect()
}

impl Table {
    /// The table as the files have it.
    ///
    /// # Panics
    /// If a line is not of the form that the head of its file describes.
    pub fn read() -> Table {
        let excuse = |line: String| {
            let parts: Vec<String> = line.splitn(3, " | ").map(|part| part.trim().to_string()).collect();
            let [name, says, why] = parts.try_into().unwrap_or_else(|_| panic!("excuses.txt: {line}"));
            Excuse { name, says, why }
        };
        let row = |line: String| {
            let mut rest = line.as_str();
            let mut cell = || {
                let (first, others) = rest.trim_start().split_once(' ').unwrap_or_else(|| panic!("bounds.txt: {line}"));
                rest = others;
                match first.parse() {
                    _ if first == "?" => None,
                    Ok(error) => Some(Cell::Error(error)),
                    Err(_) => Some(Cell::Excused(first.into())),
                }
            };
            let cells = RUNNERS.iter().map(|_| cell()).collect();
            (rest.trim().to_string(), cells)
        };
        Table {
            rows: lines("bounds.txt").into_iter().map(row).collect(),
            excuses: lines("excuses.txt").into_iter().map(excuse).collect(),
        }
    }

    /// Writes what was measured with one runner, and leaves the columns of others alone.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write(runner: &Runner, measured: &BTreeMap<&String, Cell>) {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock();
        let mut table = Table::read();
        table.rows.retain(|name, _| super::all().iter().any(|case| case.name == *name));
        for (name, cell) in measured {
            let row = table.rows.entry((*name).clone()).or_insert_with(|| vec![None; RUNNERS.len()]);
            row[runner.column()] = Some(cell.clone());
        }
        let column = |text: String| format!("{text:<9} ");
        let mut text = String::from(
            "# What each runner makes of each case: the largest error that was measured, in units in the last place of a tensor's\n\
             # largest magnitude, or the name of an excuse. Four times the error is allowed, and at least one unit.\n#\n",
        );
        text += &format!("# Written by {COMMAND}\n#\n");
        text += &RUNNERS.iter().map(|runner| column(format!("#{}", runner.name))).collect::<String>();
        text += "case\n";
        for (name, cells) in &table.rows {
            let cells = cells.iter().map(|c| column(c.as_ref().map_or("?".into(), Cell::to_string)));
            text += &format!("{}{name}\n", cells.collect::<String>());
        }
        std::fs::write(path("bounds.txt"), text).unwrap_or_else(|e| panic!("bounds.txt: {e}"));
    }

    /// The excuse of this name.
    pub fn excuse(&self, name: &str) -> Option<&Excuse> {
        self.excuses.iter().find(|excuse| excuse.name == name)
    }

    /// What is in the table and is no case, or is one twice.
    pub fn rows_without_case(&self, cases: &[Case]) -> Vec<String> {
        let mut seen = BTreeMap::<&str, usize>::new();
        cases.iter().for_each(|case| *seen.entry(&case.name).or_default() += 1);
        let gone = self.rows.keys().filter(|name| !seen.contains_key(name.as_str()));
        let gone = gone.map(|name| format!("{name}: the case is gone; {COMMAND} takes it out of the table"));
        let twice = seen.iter().filter(|(_, count)| **count > 1);
        let used = |e: &Excuse| self.rows.values().flatten().flatten().any(|c| *c == Cell::Excused(e.name.clone()));
        let unused = self.excuses.iter().filter(|e| !used(e));
        let unused = unused.map(|e| format!("the excuse {} is used by no case; take it out of excuses.txt", e.name));
        gone.chain(twice.map(|(name, count)| format!("{name}: {count} cases of that name"))).chain(unused).collect()
    }

    fn cell(&self, runner: &Runner, case: &Case) -> Option<&Cell> {
        self.rows.get(&case.name)?.get(runner.column())?.as_ref()
    }

    /// The cell of a case, if what the runner made of it is as the cell says.
    ///
    /// # Errors
    /// What is not.
    pub fn judge(&self, runner: &Runner, case: &Case, outcome: &Result<f64, String>) -> Result<Cell, String> {
        let cell = self.cell(runner, case).ok_or_else(|| format!("not in the table; {COMMAND} measures it"))?;
        match (cell, outcome) {
            (Cell::Error(measured), Ok(error)) => {
                let bound = if case.exact { 0.0 } else { room(*measured) };
                let off = || format!("off by {error:.2} units in the last place, {bound} are allowed");
                if *error <= bound { Ok(cell.clone()) } else { Err(off()) }
            }
            (Cell::Error(_), Err(why)) => Err(why.clone()),
            (Cell::Excused(name), Ok(_)) => Err(format!("is computed: the excuse {name} no longer holds; {COMMAND}")),
            (Cell::Excused(name), Err(why)) => {
                let excuse = self.excuse(name).ok_or_else(|| format!("there is no excuse {name} in excuses.txt"))?;
                let other = || format!("the excuse {name} is for {:?}, and this is: {why}", excuse.says);
                if why.contains(&excuse.says) { Ok(cell.clone()) } else { Err(other()) }
            }
        }
    }

    /// The cell for what the runner made of a case: the one that is there if it holds and is not four times too wide.
    ///
    /// # Errors
    /// What has no excuse.
    pub fn measured(&self, runner: &Runner, case: &Case, outcome: &Result<f64, String>) -> Result<Cell, String> {
        match (self.judge(runner, case, outcome), outcome) {
            (Ok(Cell::Error(old)), Ok(error)) if old <= room(*error) => Ok(Cell::Error(old)),
            (Ok(cell @ Cell::Excused(_)), _) => Ok(cell),
            (_, Ok(error)) if case.exact && *error > 0.0 => Err(format!("off by {error} and meant to be exact")),
            (_, Ok(error)) if error.is_finite() => Ok(Cell::Error((error * 100.0).ceil() / 100.0)),
            (_, Ok(error)) => Err(format!("off by {error}")),
            (_, Err(why)) => {
                let excuse = self.excuses.iter().find(|excuse| why.contains(&excuse.says)).ok_or(why)?;
                Ok(Cell::Excused(excuse.name.clone()))
            }
        }
    }
}
