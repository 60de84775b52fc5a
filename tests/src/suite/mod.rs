//! The suite: whatever has a result that is known to be right, and every way to compute it.
//!
//! A [`Case`] is a model with inputs and the right results: every case of every operator, every golden that MindSpore exported,
//! every ONNX model of `tests/onnx`. A [`Runner`] computes a case in one way and says how far off it is. `tests/suite/bounds.txt`
//! has a row for each case and a column for each runner. Its cells hold the error that was measured, of which a run may make
//! four times as much, or the name of an [`Excuse`]: why this runner does not compute this case.
//!
//! A case without a row, a row without a case, an error beyond the bound, and an excuse for what works are failures.
//! `MINDIR_CASE=text` looks only at cases whose names contain it, and
//!
//! ```text
//! MINDIR_MEASURE=1 cargo test -p mindir-tests --test suite
//! ```
//!
//! writes the table: rows of new cases, and cells that no longer hold. It fails if something goes wrong for which there is no
//! excuse in `tests/suite/excuses.txt`.

mod case;
mod file;
mod run;
mod table;

use std::collections::BTreeMap;

pub use case::{Call, Case, Content, Results, all, goldens, operators};
pub use file::{same_interface, same_operators};
pub use run::{RUNNERS, Runner, on_cuda};
pub use table::{Cell, Excuse, Table, room};

/// Runs the cases and says how each compares with the table.
///
/// # Panics
/// If a case is not as the table has it.
pub fn check(runner: &Runner) {
    let only = std::env::var("MINDIR_CASE").unwrap_or_default();
    let measure = std::env::var_os("MINDIR_MEASURE").is_some();
    let table = Table::read();
    let mut red = if only.is_empty() && !measure { table.rows_without_case(all()) } else { Vec::new() };
    let (mut cells, mut excused) = (BTreeMap::new(), BTreeMap::<&str, usize>::new());
    for case in all().iter().filter(|case| case.name.contains(&only)) {
        let outcome = (runner.run)(case);
        let cell = if measure {
            table.measured(runner, case, &outcome).inspect(|cell| drop(cells.insert(&case.name, cell.clone())))
        } else {
            table.judge(runner, case, &outcome)
        };
        match cell {
            Ok(Cell::Excused(name)) => *excused.entry(table.excuse(&name).map_or("", |e| &e.name)).or_default() += 1,
            Ok(Cell::Error(_)) => {}
            Err(why) => red.push(format!("{}: {}: {why}", runner.name, case.name)),
        }
    }
    if measure {
        Table::write(runner, &cells);
    }
    println!("{}: {} cases, {} red", runner.name, all().len(), red.len());
    for (name, count) in &excused {
        println!("{}: {count} excused, {name}: {}", runner.name, table.excuse(name).map_or("", |e| &e.why));
    }
    assert!(red.is_empty(), "{} red:\n{}", red.len(), red.join("\n"));
}
