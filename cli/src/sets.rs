//! Folders with stored inputs and results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mindir::{GraphCell, Tensor, npy};
use serde_json::Value;

use crate::args;
use crate::content::{NAMED, is};
use crate::dump;
use crate::failure::Failure;
use crate::input::fit;
use crate::print::name;

/// A folder with sets of inputs and results, as `mindir compare` takes it.
pub struct Sets {
    dir: PathBuf,
    meta: Value,
    /// Folders of the sets in order; `.` is the folder itself.
    pub names: Vec<String>,
}

impl Sets {
    /// Finds the sets in a folder: all that are there, which are all that its meta.json lists, if it lists any. Nothing is
    /// passed over that may be meant as one, but for the arrays of a dump, which may lie in a folder with an index or that
    /// `has_dump`.
    pub fn of(dir: &Path, has_dump: bool) -> Result<Sets, Failure> {
        let meta = meta(dir)?;
        let listed = listed(dir, &meta)?;
        let is_set = |name: &str| number(name, "case", "").or(number(name, "step", "")).is_some();
        let is_other = |name: &str| ["after", "nodes"].contains(&name) || name.ends_with("_variables");
        let has_dump = has_dump || dir.join(dump::INDEX).exists();
        check(dir, has_dump, |name| is_set(name) || is_other(name) || listed.iter().any(|n| n == name))?;
        let found = found(dir)?;
        let names = if listed.is_empty() { found } else { same(dir, listed, found)? };
        names.iter().filter(|name| *name != ".").try_for_each(|name| check(&dir.join(name), false, |_| false))?;
        Ok(Sets { dir: dir.to_path_buf(), meta, names })
    }

    /// Whether the sets are calls one after another.
    pub fn are_steps(&self) -> bool {
        self.names.iter().any(|n| n.starts_with("step_"))
    }

    /// The tolerance that meta.json states.
    pub fn tolerance(&self) -> Result<Option<f64>, Failure> {
        match &self.meta["tolerance"] {
            Value::Null => Ok(None),
            stated => match stated.as_f64().filter(|x| crate::difference::is_bound(*x)) {
                Some(x) => Ok(Some(x)),
                None => Err(self.wrong(format!("the tolerance {stated} is no number from 0 on"))),
            },
        }
    }

    fn wrong(&self, what: String) -> Failure {
        Failure::Corrupt { path: self.dir.join("meta.json"), what }
    }

    /// The inputs of a set: one file for each input of the model, or one for each number in a tuple that is an input.
    pub fn inputs(&self, set: &str, cell: &GraphCell) -> Result<Vec<Tensor>, Failure> {
        let dir = self.dir.join(set);
        let (ports, files) = (cell.inputs(), numbered(&dir, "in")?);
        let arguments = self.arguments(set).filter(|stated| stated.len() == ports.len());
        let arguments = arguments.unwrap_or_else(|| vec![Argument::Tensor; ports.len()]);
        let n: usize = arguments.iter().map(Argument::files).sum();
        if !files.keys().copied().eq(0..n) {
            let names = files.keys().map(|i| format!("in_{i}.npy")).collect::<Vec<_>>().join(", ");
            let found = if names.is_empty() { "none".into() } else { names };
            let (all, dir) = (args::list(&ports), dir.display());
            let text = format!("{dir}: expected {n} inputs in_0.npy, …, found {found}; the inputs are {all}");
            return Err(Failure::Usage(text));
        }
        let mut files = files.values();
        arguments.iter().zip(&ports).map(|(argument, port)| fit(argument.read(&mut files)?, port)).collect()
    }

    /// The arguments that meta.json says a set has; `None` if it says nothing, or something else than tensors and tuples of
    /// numbers.
    fn arguments(&self, set: &str) -> Option<Vec<Argument>> {
        let set = lists(&self.meta).find(|s| s["dir"] == set)?;
        set["in_nest"].as_array()?.iter().map(Argument::of).collect()
    }

    /// The results that are meant to differ, with the reasons that meta.json gives.
    pub fn meant(&self) -> Result<BTreeMap<usize, String>, Failure> {
        let Some(stated) = self.meta.get("differs") else { return Ok(BTreeMap::new()) };
        let wrong = || self.wrong(format!("expected results by number and reasons in `differs`, found {stated}"));
        let one = |(i, why): (&String, &Value)| Some((i.parse().ok()?, why.as_str()?.to_string()));
        stated.as_object().ok_or_else(wrong)?.iter().map(|entry| one(entry).ok_or_else(wrong)).collect()
    }

    /// The expected results of a set by the numbers of their files.
    pub fn outputs(&self, set: &str) -> Result<BTreeMap<usize, Tensor>, Failure> {
        let files = numbered(&self.dir.join(set), "out")?;
        files.into_iter().map(|(i, path)| Ok((i, read(&path)?))).collect()
    }

    /// Numbers of the files for `count` results of a set: results that are text have a number, but no file.
    pub fn numbers(&self, set: &str, count: usize) -> Vec<usize> {
        let sets = lists(&self.meta).filter(|s| s["dir"] == set);
        let outputs = sets.filter_map(|s| s["outputs"].as_array()).flatten().enumerate();
        let texts: Vec<usize> = outputs.filter(|(_, o)| o["dtype"] == "str").map(|(i, _)| i).collect();
        (0..).filter(|i| !texts.contains(i)).take(count).collect()
    }

    /// What parameters are expected to hold after the last call, by name; `None` if nothing says it.
    pub fn parameters(&self) -> Result<Option<BTreeMap<String, Tensor>>, Failure> {
        let dir = self.dir.join("after");
        if !dir.exists() {
            return Ok(None);
        }
        let arrays = entries(&dir)?.into_iter().filter_map(|name| Some((name.strip_suffix(".npy")?.to_string(), name)));
        arrays.map(|(name, file)| Ok((name, read(&dir.join(file))?))).collect::<Result<_, _>>().map(Some)
    }
}

/// An argument of a model.
#[derive(Clone)]
enum Argument {
    Tensor,
    /// A tuple of so many integers, which is one tensor of one dimension.
    Integers(usize),
}

impl Argument {
    fn of(nest: &Value) -> Option<Argument> {
        match nest {
            Value::Array(items) if items.iter().all(|item| item == "int") => Some(Argument::Integers(items.len())),
            Value::String(_) => Some(Argument::Tensor),
            _ => None,
        }
    }

    fn files(&self) -> usize {
        match self {
            Argument::Tensor => 1,
            Argument::Integers(count) => *count,
        }
    }

    /// Takes as many files as it has.
    fn read<'a>(&self, files: &mut impl Iterator<Item = &'a PathBuf>) -> Result<Tensor, Failure> {
        let paths: Vec<&PathBuf> = files.take(self.files()).collect();
        match (self, paths.as_slice()) {
            (Argument::Tensor, [path]) => read(path),
            _ => paths.into_iter().map(|path| integer(path)).collect::<Result<Vec<_>, _>>().map(|n| Tensor::vector(&n)),
        }
    }
}

/// The one integer in a file.
fn integer(path: &Path) -> Result<i64, Failure> {
    let tensor = read(path)?;
    match tensor.to_i64s().as_deref() {
        Ok([number]) if tensor.dtype().is_int() => Ok(*number),
        _ => Err(Failure::Usage(format!("{}: expected an integer, found {}", path.display(), tensor.fact()))),
    }
}

fn read(path: &Path) -> Result<Tensor, Failure> {
    npy::read(path).map_err(Failure::file(path))
}

fn meta(dir: &Path) -> Result<Value, Failure> {
    let path = dir.join("meta.json");
    if !path.exists() {
        return Ok(Value::Null);
    }
    let text = std::fs::read_to_string(&path).map_err(Failure::file(&path))?;
    serde_json::from_str(&text).map_err(|e| Failure::Corrupt { path, what: e.to_string() })
}

/// What meta.json says of the sets.
fn lists(meta: &Value) -> impl Iterator<Item = &Value> {
    meta["cases"].as_array().or(meta["steps"].as_array()).into_iter().flatten()
}

/// Folders of the sets that meta.json lists.
fn listed(dir: &Path, meta: &Value) -> Result<Vec<String>, Failure> {
    let name = |set: &Value| {
        let name = set["dir"].as_str().filter(|n| *n == "." || !n.contains(['/', '\\']) && *n != "..");
        let what = || format!("a set has no folder of its own: {}", set["dir"]);
        name.map(str::to_string).ok_or_else(|| Failure::Corrupt { path: dir.join("meta.json"), what: what() })
    };
    lists(meta).map(name).collect()
}

/// The listed sets, which must be those that were found.
fn same(dir: &Path, listed: Vec<String>, found: Vec<String>) -> Result<Vec<String>, Failure> {
    let missing = listed.iter().find(|n| *n != "." && !dir.join(n).is_dir());
    if let Some(missing) = missing {
        return Err(Failure::Usage(format!("{}: meta.json lists {missing}, which is not there", dir.display())));
    }
    if let Some(more) = found.iter().find(|n| !listed.contains(n)) {
        return Err(Failure::Usage(format!("{}: meta.json does not list {more}", dir.display())));
    }
    Ok(listed)
}

/// Refuses arrays that have no number, unless there is a dump, and folders that are not `known`.
fn check(dir: &Path, has_dump: bool, known: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let is_odd = |n: &&String| match dir.join(n).is_dir() {
        true => !known(n) && !n.starts_with('.'),
        false if number(n, "in", ".npy").or(number(n, "out", ".npy")).is_some() => false,
        false => !has_dump && is(n.as_ref(), &["npy", "npz"]),
    };
    let all = entries(dir)?;
    let mut odd: Vec<String> = all.iter().filter(is_odd).map(|n| name(n)).collect();
    if odd.is_empty() {
        return Ok(());
    }
    odd.sort();
    let (dir, more) = (dir.display(), if odd.len() > NAMED { ", …" } else { "" });
    odd.truncate(NAMED);
    let expected = "expected in_0.npy, out_0.npy, …, and folders case_1, … or step_0, …";
    Err(Failure::Usage(format!("{dir}: {expected}, found {}{more}", odd.join(", "))))
}

/// The sets that are in a folder: its own, and those in numbered folders, which are counted from 0 or 1 on.
fn found(dir: &Path) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    if !numbered(dir, "in")?.is_empty() || !numbered(dir, "out")?.is_empty() {
        names.push(".".to_string());
    }
    let mut kinds = Vec::new();
    for kind in ["case", "step"] {
        let numbers =
            entries(dir)?.iter().filter(|n| dir.join(n).is_dir()).filter_map(|n| number(n, kind, "")).collect();
        let numbers: std::collections::BTreeSet<usize> = numbers;
        let Some(first) = numbers.first().map(|first| (*first).min(1)) else { continue };
        if let Some(missing) = (first..).zip(&numbers).find(|(i, n)| i != *n).map(|(i, _)| i) {
            let what = format!("{}: {kind}_{missing} is missing", dir.display());
            return Err(Failure::Usage(what));
        }
        kinds.push(kind);
        names.extend(numbers.iter().map(|i| format!("{kind}_{i}")));
    }
    if kinds.len() > 1 {
        return Err(Failure::Usage(format!("{}: there are cases and steps", dir.display())));
    }
    if names.is_empty() {
        return Err(Failure::Usage(format!("{}: there is neither in_0.npy nor out_0.npy", dir.display())));
    }
    Ok(names)
}

/// The files `KIND_0.npy`, `KIND_1.npy`, … of a folder by number.
fn numbered(dir: &Path, kind: &str) -> Result<BTreeMap<usize, PathBuf>, Failure> {
    Ok(entries(dir)?.iter().filter_map(|name| Some((number(name, kind, ".npy")?, dir.join(name)))).collect())
}

/// The number in `KIND_NUMBER` with this ending.
fn number(name: &str, kind: &str, ending: &str) -> Option<usize> {
    let digits = name.strip_prefix(kind)?.strip_prefix('_')?.strip_suffix(ending)?;
    digits.parse().ok().filter(|n: &usize| n.to_string() == digits)
}

/// Names in a folder.
fn entries(dir: &Path) -> Result<Vec<String>, Failure> {
    let names = std::fs::read_dir(dir).and_then(|all| {
        all.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<std::io::Result<Vec<_>>>()
    });
    names.map_err(Failure::file(dir))
}
