//! Folders with the result of every node.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use mindir::{GraphCell, Tensor, npy};

use crate::failure::Failure;
use crate::print;
use crate::save;

/// The file that lists the results.
pub const INDEX: &str = "index.tsv";
const HEADER: &str = "file\tnode\ttensor\n";

/// The result of a node.
pub struct NodeResult {
    /// Path of the node.
    pub node: String,
    /// Name of the value.
    pub name: String,
    /// Name of its file.
    pub file: String,
    pub tensor: Tensor,
}

/// The results of all nodes in execution order.
pub fn results(cell: &GraphCell, inputs: &[Tensor]) -> Result<Vec<NodeResult>, Failure> {
    let mut names = FileNames::default();
    let one = |(name, node, tensor): (String, String, Tensor)| {
        let file = format!("{}.npy", names.next(&name));
        NodeResult { node, name, file, tensor }
    };
    Ok(cell.trace(inputs)?.into_iter().map(one).collect())
}

/// Writes results to a folder, with an index in execution order; returns the paths.
pub fn write(dir: &Path, results: &[NodeResult]) -> Result<Vec<String>, Failure> {
    fs::create_dir_all(dir).map_err(Failure::file(dir))?;
    let mut index = String::from(HEADER);
    let mut written = Vec::new();
    for result in results {
        let path = dir.join(&result.file);
        save::write(&path, |out| npy::write_to(out, &result.tensor))?;
        index += &format!("{}\t{}\n", result.place(), result.tensor.fact());
        written.push(path.display().to_string());
    }
    let list = dir.join(INDEX);
    save::write(&list, |out| out.write_all(index.as_bytes()))?;
    written.push(list.display().to_string());
    Ok(written)
}

/// For each result its file in a folder, if there is one. A folder with an index must have all of them and no others.
pub fn files(dir: &Path, results: &[NodeResult]) -> Result<Vec<Option<PathBuf>>, Failure> {
    let list = dir.join(INDEX);
    if !list.exists() {
        let paths = results.iter().map(|r| dir.join(&r.file));
        return Ok(paths.map(|path| path.exists().then_some(path)).collect());
    }
    let index = fs::read_to_string(&list).map_err(Failure::file(&list))?;
    let places = index.lines().skip(1).map(|line| line.rsplit_once('\t').map_or(line, |(place, _)| place));
    if !places.eq(results.iter().map(NodeResult::place)) {
        let what = "the dump is of a model with other nodes".to_string();
        return Err(Failure::Usage(format!("{}: {what}", list.display())));
    }
    Ok(results.iter().map(|r| Some(dir.join(&r.file))).collect())
}

impl NodeResult {
    /// The file and the node, as the index names them.
    fn place(&self) -> String {
        format!("{}\t{}", self.file, print::name(&self.node))
    }
}

/// Names of values as names of files: letters, digits, `-`, `_` and `.` stay, the rest becomes `_`; repeated names get a
/// number.
#[derive(Default)]
struct FileNames {
    seen: HashMap<String, usize>,
}

impl FileNames {
    fn next(&mut self, name: &str) -> String {
        let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let text: String = name.chars().take(150).map(keep).collect();
        let text = if text.is_empty() || text.starts_with('.') { format!("_{text}") } else { text };
        let n = self.seen.entry(text.to_ascii_lowercase()).and_modify(|n| *n += 1).or_insert(0);
        if *n == 0 { text } else { format!("{text}~{n}") }
    }
}

#[cfg(test)]
mod tests {
    use super::FileNames;

    #[test]
    fn names_of_values_are_safe_as_files() {
        let mut names = FileNames::default();
        let got = ["a/b", "a:b", "..", "", "x.1"].map(|n| names.next(n));
        assert_eq!(got, ["a_b", "a_b~1", "_..", "_", "x.1"]);
    }
}
