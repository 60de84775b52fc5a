//! `mindir ops`.

use clap::Args;
use mindir::OpDef;
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::print;

/// List the operators that models may use.
#[derive(Args, Debug)]
pub struct Ops {
    /// Only names that contain this, in any case
    filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    aliases: &'static [&'static str],
    arguments: Vec<&'static str>,
    doc: &'static str,
}

impl Ops {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let filter = self.filter.unwrap_or_default().to_ascii_lowercase();
        let mut rows: Vec<Row> = mindir::ops::OPS.iter().map(row).filter(|r| r.matches(&filter)).collect();
        rows.sort_by_key(|r| r.name);
        if self.json {
            return Ok(Outcome::ok(print::json(&rows)));
        }
        let table = print::table(&["operator", "arguments", ""], &[], rows.iter().map(Row::cells));
        Ok(Outcome::ok(format!("{table}{} operators\n", rows.len())))
    }
}

fn row(def: &'static OpDef) -> Row {
    Row {
        name: def.name,
        aliases: def.aliases,
        arguments: def.params.iter().map(|p| p.name).collect(),
        doc: def.doc.trim().split("\n\n").next().unwrap_or_default(),
    }
}

impl Row {
    fn matches(&self, filter: &str) -> bool {
        self.aliases.iter().chain([&self.name]).any(|n| n.to_ascii_lowercase().contains(filter))
    }

    fn cells(&self) -> Vec<String> {
        let names: Vec<&str> = [self.name].iter().chain(self.aliases).copied().collect();
        let doc: Vec<&str> = self.doc.lines().map(str::trim).collect();
        vec![names.join(", "), self.arguments.join(", "), doc.join(" ")]
    }
}
