//! Samples with labels: what `eval` and `train` read.

mod list;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use mindir::preprocess::{Picture, Preprocess};
use mindir::{Buffer, DType, Dim, Port, Spec, Tensor, npy, picture};

use self::list::{Entry, Separator};
use crate::args::{self, LimitArgs};
use crate::content::{Content, is};
use crate::failure::Failure;
use crate::image::{ImageArgs, Target};
use crate::input;
use crate::print::{self, name, quoted};
use crate::save;
use crate::top;

/// Samples and their labels.
#[derive(Args, Debug)]
pub struct SampleArgs {
    /// The samples: a folder, a list, a .npy or a .npz file.
    ///
    /// DIR has a folder of pictures for each class. Classes are numbered in the order of the folders' names, as MindSpore's
    /// ImageFolderDataset does, or as --labels says. Files that are no pictures by their names are left out.
    ///
    /// A list names pictures, relative to its own folder, and their labels, one pair a line: between commas in a .csv file,
    /// where names may be in quotes; by a tab in a .tsv file; by blanks in .txt and .lst files. Labels are class numbers, other
    /// numbers, or names of classes, which are numbered in the order of their names unless --labels says how.
    ///
    /// A .npy file holds the samples along the first dimension, and --labels another file for their labels. A .npz file holds
    /// both; see --keys. An array of u8 for an input of pictures that has another element type holds their pixels, and is
    /// treated as they are.
    #[arg(long, value_name = "DIR|FILE")]
    pub data: PathBuf,
    /// A .npy file with the labels of the samples; or any other file for the names of the classes, one a line. Both can be given
    #[arg(long, value_name = "FILE")]
    pub labels: Vec<PathBuf>,
    /// Arrays of a .npz file: one for each input in order, and the one of the labels last [default: x,y]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub keys: Vec<String>,
}

/// How samples become inputs.
#[derive(Args, Debug)]
pub struct ShapingArgs {
    /// Convert arrays to the element types of their inputs, which must hold every number; floats are rounded to other floats
    #[arg(long)]
    pub cast: bool,
    /// Samples of a batch [default: as many as the model was exported for, or 32 where that is open]
    #[arg(long, value_name = "N", value_parser = batch)]
    pub batch: Option<usize>,
    #[command(flatten)]
    pub image: ImageArgs,
}

fn batch(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=1 << 20).contains(n));
    n.ok_or_else(|| format!("expected a number of samples from 1 to {}", 1 << 20))
}

/// Samples of a batch where nothing says it.
const BATCH: usize = 32;

/// How many samples a model takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub size: usize,
    /// Whether a smaller one has to be filled up.
    pub is_fixed: bool,
}

impl ShapingArgs {
    /// The batch of inputs whose first dimension it is.
    pub fn batch_of(&self, ports: &[Port]) -> Result<Batch, Failure> {
        let mut fixed = None;
        for port in ports {
            let Some(dims) = &port.spec.dims else { continue };
            let first = dims.first().ok_or_else(|| {
                Failure::Usage(format!("input {} {} has no dimension for a batch", name(&port.name), port.spec))
            })?;
            let Dim::Known(n) = first else { continue };
            if fixed.replace(*n).is_some_and(|other| other != *n) {
                let all = args::list(ports);
                return Err(Failure::Usage(format!("the first dimensions of inputs are one batch, and differ: {all}")));
            }
        }
        let size = self.batch.or(fixed).unwrap_or(BATCH);
        match size {
            0 => Err(Failure::Usage(format!("a batch of 0 samples holds none: {}", args::list(ports)))),
            size => Ok(Batch { size, is_fixed: fixed.is_some() }),
        }
    }
}

/// What becomes one input, or the labels.
#[derive(Clone)]
enum Column {
    Pictures(Vec<PathBuf>),
    Array { from: String, tensor: Tensor },
}

/// Samples with labels.
pub struct Samples {
    inputs: Vec<Column>,
    labels: Column,
    count: usize,
    /// Names of the classes, if something says them.
    pub names: Option<Vec<String>>,
    from: String,
}

/// What samples are turned into inputs with.
#[derive(Clone, Copy)]
pub struct Shaping<'a> {
    pub args: &'a ShapingArgs,
    pub recorded: Option<&'a Preprocess>,
    pub limits: &'a LimitArgs,
}

impl Samples {
    /// Reads what `data`, `labels` and `keys` mean; see [`SampleArgs`].
    pub fn read(data: &Path, labels: &[PathBuf], keys: &[String]) -> Result<Samples, Failure> {
        let (arrays, texts): (Vec<&PathBuf>, Vec<&PathBuf>) = labels.iter().partition(|path| is(path, &["npy"]));
        if let [_, second, ..] = arrays.as_slice() {
            return Err(Failure::Usage(format!("{}: the labels of the samples are given already", second.display())));
        }
        if let [_, second, ..] = texts.as_slice() {
            return Err(Failure::Usage(format!("{}: the names of the classes are given already", second.display())));
        }
        let names = texts.first().map(|path| names(path)).transpose()?;
        let labels = arrays.first().map(|path| array(path)).transpose()?;
        if !keys.is_empty() && !is(data, &["npz"]) {
            return Err(Failure::Usage(format!("--keys is about .npz files, and {} is none", data.display())));
        }
        let samples = if data.is_dir() {
            Samples::of_folder(data, names)?
        } else if let Some(separator) = Separator::of(data) {
            Samples::of_list(data, separator, names)?
        } else if is(data, &["npy"]) {
            let text = format!("{}: its labels are missing; give --labels FILE.npy", data.display());
            let labels = labels.clone().ok_or(Failure::Usage(text))?;
            Samples::of_arrays(data, vec![array(data)?], labels, names)?
        } else if is(data, &["npz"]) {
            let (inputs, labels) = archive(data, keys, labels.clone())?;
            Samples::of_arrays(data, inputs, labels, names)?
        } else {
            let lists = list::ENDINGS.map(|ending| format!(".{ending}")).join(", ");
            // A file that is not there says so.
            std::fs::metadata(data).map_err(Failure::file(data))?;
            let text = format!("{}: expected a folder, a .npy or .npz file or a list ({lists})", data.display());
            return Err(Failure::Usage(text));
        };
        if let (Column::Pictures(_), Some(Column::Array { from, .. })) = (&samples.inputs[0], &labels) {
            return Err(Failure::Usage(format!("{from}: {} says the labels", data.display())));
        }
        if samples.count == 0 {
            return Err(Failure::Usage(format!("{}: expected samples, found none", data.display())));
        }
        Ok(samples)
    }

    fn of_folder(dir: &Path, names: Option<Vec<String>>) -> Result<Samples, Failure> {
        let classes = entries(dir, |path| path.is_dir())?;
        if classes.is_empty() {
            let text = format!("{}: expected a folder of pictures for each class, found no folder", dir.display());
            return Err(Failure::Usage(text));
        }
        let found: Vec<String> = classes.iter().map(|path| file_name(path)).collect();
        let numbers: Option<Vec<u64>> = found.iter().map(|class| class.parse().ok()).collect();
        if names.is_none() && numbers.is_some_and(|numbers| !numbers.is_sorted()) {
            let text = "folders are classes in the order of their names, as in MindSpore: 10 comes before 2";
            print::warn(&format!("{}: {text}; --labels can say another", dir.display()));
        }
        let names = names.unwrap_or_else(|| found.clone());
        let (mut paths, mut labels) = (Vec::new(), Vec::new());
        for (folder, class) in classes.iter().zip(&found) {
            let expected = || format!("{}: expected one of {}", folder.display(), some(&names));
            let at = names.iter().position(|name| name == class).ok_or_else(|| Failure::Usage(expected()))?;
            let pictures = entries(folder, |path| is(path, &picture::ENDINGS) && path.is_file())?;
            labels.extend(pictures.iter().map(|_| at as i64));
            paths.extend(pictures);
        }
        Ok(Samples::of_pictures(dir, paths, Tensor::vector(&labels), Some(names)))
    }

    fn of_list(path: &Path, separator: Separator, names: Option<Vec<String>>) -> Result<Samples, Failure> {
        let bytes = std::fs::read(path).map_err(Failure::file(path))?;
        save::reads(path);
        let corrupt = |what| Failure::Corrupt { path: path.to_path_buf(), what };
        let entries = list::parse(&bytes, separator).map_err(corrupt)?;
        let (labels, names) = meanings(&entries, names).map_err(corrupt)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = entries.iter().map(|entry| folder.join(&entry.path)).collect();
        Ok(Samples::of_pictures(path, paths, labels, names))
    }

    fn of_pictures(from: &Path, paths: Vec<PathBuf>, labels: Tensor, names: Option<Vec<String>>) -> Samples {
        let from = from.display().to_string();
        let labels = Column::Array { from: from.clone(), tensor: labels };
        Samples { count: paths.len(), inputs: vec![Column::Pictures(paths)], labels, names, from }
    }

    fn of_arrays(
        from: &Path,
        inputs: Vec<Column>,
        labels: Column,
        names: Option<Vec<String>>,
    ) -> Result<Samples, Failure> {
        let count = labels.len()?;
        for column in &inputs {
            let found = column.len()?;
            if found != count {
                let text = format!("expected {count} samples, one for each label, found {found}");
                return Err(Failure::Usage(format!("{}: {text}", column.from())));
            }
        }
        Ok(Samples { inputs, labels, count, names, from: from.display().to_string() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Number of arrays that are inputs.
    pub fn width(&self) -> usize {
        self.inputs.len()
    }

    /// Where they are from.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Refuses a model that takes another number of inputs, and flags about pictures and arrays where there is none.
    pub fn check(&self, ports: &[Port], args: &ShapingArgs) -> Result<(), Failure> {
        if ports.len() != self.inputs.len() {
            let (from, found, all) = (&self.from, self.inputs.len(), args::list(ports));
            let hint = if is(from.as_ref(), &["npz"]) { "; see --keys" } else { "" };
            let expected = print::plural(ports.len(), "array");
            return Err(Failure::Usage(format!(
                "{from}: expected {expected} for the inputs {all}, found {found}{hint}"
            )));
        }
        let is_picture = |(column, port): (&Column, &Port)| column.is_pictures(port);
        let all: Vec<bool> = self.inputs.iter().zip(ports).map(is_picture).collect();
        match args.image.given() {
            Some(flag) if !all.contains(&true) => {
                Err(Failure::Usage(format!("{flag} is about pictures, and no input is one")))
            }
            _ if args.cast && !all.contains(&false) => {
                Err(Failure::Usage("--cast is about arrays, and no input is one".into()))
            }
            _ => Ok(()),
        }
    }

    /// Inputs of the samples with these numbers, as a model with these inputs takes them.
    pub fn inputs(&self, of: &[usize], ports: &[Port], shaping: Shaping) -> Result<Vec<Tensor>, Failure> {
        let one = |(at, (column, port)): (usize, (&Column, &Port))| column.input(of, at, port, shaping);
        self.inputs.iter().zip(ports).enumerate().map(one).collect()
    }

    /// Labels of the samples with these numbers.
    pub fn labels(&self, of: &[usize]) -> Result<Tensor, Failure> {
        match &self.labels {
            Column::Array { tensor, .. } => rows(tensor, of),
            Column::Pictures(_) => Err(Failure::Usage(format!("{}: labels are no pictures", self.from))),
        }
    }

    /// Labels as an input of a training step takes them: integers become its integers, floats its floats.
    pub fn label_input(&self, of: &[usize], port: &Port) -> Result<Tensor, Failure> {
        let labels = self.labels(of)?;
        let is_kin = |d: DType| d.is_int() == labels.dtype().is_int() && d.is_float() == labels.dtype().is_float();
        input::array_for(labels.clone(), port, port.spec.dtype.is_some_and(is_kin), self.labels.from())
    }

    /// Whether labels are numbers of classes: integers, one for each sample.
    pub fn has_classes(&self) -> bool {
        matches!(&self.labels, Column::Array { tensor, .. } if tensor.dtype().is_int() && tensor.count() == self.count)
    }

    /// Labels as numbers of classes.
    pub fn classes(&self, of: &[usize]) -> Result<Vec<usize>, Failure> {
        let labels = self.labels(of)?;
        let wrong = |found: String| {
            let text = format!("{}: expected classes, which are integers from 0 on, found {found}", self.labels.from());
            Failure::Usage(text)
        };
        if !self.has_classes() {
            return Err(wrong(labels.fact().to_string()));
        }
        let class = |(i, x): (&usize, i128)| usize::try_from(x).map_err(|_| wrong(format!("{x} for sample {i}")));
        of.iter().zip(labels.to_i128s()?).map(class).collect()
    }
}

impl Column {
    fn from(&self) -> &str {
        match self {
            Column::Pictures(_) => "pictures",
            Column::Array { from, .. } => from,
        }
    }

    fn len(&self) -> Result<usize, Failure> {
        match self {
            Column::Pictures(paths) => Ok(paths.len()),
            Column::Array { from, tensor } => tensor.shape().first().copied().ok_or_else(|| {
                Failure::Usage(format!("{from}: expected samples along the first dimension, found {}", tensor.fact()))
            }),
        }
    }

    /// Whether this is pictures for an input.
    fn is_pictures(&self, port: &Port) -> bool {
        match self {
            Column::Pictures(_) => true,
            Column::Array { tensor, .. } => {
                let is_other = port.spec.dtype.is_some_and(|d| d != DType::U8);
                tensor.dtype() == DType::U8 && is_other && input::takes_pictures(port) && planes(tensor).is_some()
            }
        }
    }

    /// Samples as an input of the model.
    fn input(&self, of: &[usize], at: usize, port: &Port, shaping: Shaping) -> Result<Tensor, Failure> {
        let Shaping { args, recorded, limits } = shaping;
        if !self.is_pictures(port) {
            let Column::Array { from, tensor } = self else { return Err(no_pictures(port)) };
            return input::array_for(rows(tensor, of)?, port, args.cast, from);
        }
        let recorded = recorded.filter(|_| at == 0 && args.image.given().is_none());
        let (paths, pictures) = match self {
            Column::Pictures(paths) => {
                let pictures = decoded(paths, of, recorded.is_none(), limits)?;
                (of.iter().filter_map(|i| paths.get(*i)).map(|path| path.display().to_string()).collect(), pictures)
            }
            Column::Array { from, tensor } => (vec![from.clone(); of.len()], pixels(tensor, of)?),
        };
        let spec = sized(port, of.len())?;
        Target { input: &port.name, flags: &args.image, recorded, limits }.tensor(&spec, &paths, pictures)
    }
}

fn no_pictures(port: &Port) -> Failure {
    Failure::Usage(format!("input {} {} takes no pictures", name(&port.name), port.spec))
}

/// What an input declares, for so many samples.
fn sized(port: &Port, count: usize) -> Result<Spec, Failure> {
    let Some(dims) = &port.spec.dims else { return Ok(port.spec.clone()) };
    if dims.len() != 4 {
        return Err(no_pictures(port));
    }
    let dims = [Dim::Known(count)].into_iter().chain(dims.iter().skip(1).cloned()).collect();
    Ok(Spec { dims: Some(dims), ..port.spec.clone() })
}

/// The pictures with these numbers. If one cannot be read, it is said of how many of all that is so.
fn decoded(paths: &[PathBuf], of: &[usize], upright: bool, limits: &LimitArgs) -> Result<Vec<Picture>, Failure> {
    let one = |path: &PathBuf| match Content::read(plain(path)?, upright, limits)? {
        Content::Picture(picture) => Ok(picture),
        _ => {
            let what = "expected a picture, found an array".into();
            Err(Failure::Corrupt { path: path.clone(), what })
        }
    };
    let chosen = of.iter().filter_map(|i| paths.get(*i));
    chosen.map(one).collect::<Result<_, _>>().map_err(|failure| {
        let mut bad = paths.iter().filter_map(|path| one(path).err());
        let first = bad.next().unwrap_or(failure);
        let which = format!("{} of {} pictures cannot be read, the first", 1 + bad.count(), paths.len());
        Failure::of(&which)(first)
    })
}

/// The path, unless it is there and no plain file: what a pipe or a device gives need not end.
fn plain(path: &Path) -> Result<&Path, Failure> {
    match path.metadata() {
        Ok(found) if !found.is_file() => {
            Err(Failure::Corrupt { path: path.to_path_buf(), what: "expected a file, found something else".into() })
        }
        _ => Ok(path),
    }
}

/// Rows of a tensor.
fn rows(tensor: &Tensor, of: &[usize]) -> Result<Tensor, Failure> {
    let count = tensor.shape().first().copied().unwrap_or(0);
    let size = tensor.bytes().len().checked_div(count).unwrap_or(0);
    let mut buffer = Buffer::new(size.saturating_mul(of.len()))?;
    if size > 0 {
        for (to, i) in buffer.bytes_mut().chunks_exact_mut(size).zip(of) {
            let row = i.checked_mul(size).and_then(|at| tensor.bytes().get(at..at + size));
            to.copy_from_slice(row.ok_or_else(|| Failure::Usage(format!("expected {count} samples, found less")))?);
        }
    }
    let dims: Vec<usize> = [of.len()].into_iter().chain(tensor.shape().iter().skip(1).copied()).collect();
    Ok(Tensor::from_buffer(tensor.dtype(), &dims, buffer)?)
}

/// Height, width, channels, and whether channels come first, of an array of pictures.
fn planes(tensor: &Tensor) -> Option<([usize; 3], bool)> {
    match *tensor.shape() {
        [_, h, w] => Some(([h, w, 1], true)),
        [_, c @ (1 | 3), h, w] => Some(([h, w, c], true)),
        [_, h, w, c @ (1 | 3)] => Some(([h, w, c], false)),
        _ => None,
    }
}

/// Pictures of an array.
fn pixels(tensor: &Tensor, of: &[usize]) -> Result<Vec<Picture>, Failure> {
    let wrong = |what: String| Failure::Usage(what);
    let ([h, w, c], is_planar) =
        planes(tensor).ok_or_else(|| wrong(format!("expected pictures, found {}", tensor.fact())))?;
    let one = |i: &usize| {
        let row = rows(tensor, &[*i])?;
        let bytes = row.bytes();
        let pixels = match is_planar && c > 1 {
            true => (0..bytes.len()).map(|at| bytes[at % c * (h * w) + at / c]).collect(),
            false => bytes.to_vec(),
        };
        Picture::new(h, w, c, pixels).map_err(|e| wrong(e.to_string()))
    };
    of.iter().map(one).collect()
}

fn array(path: &Path) -> Result<Column, Failure> {
    save::reads(path);
    let tensor = npy::read(path).map_err(Failure::file(path))?;
    Ok(Column::Array { from: path.display().to_string(), tensor })
}

/// The inputs and the labels of an archive.
fn archive(path: &Path, keys: &[String], labels: Option<Column>) -> Result<(Vec<Column>, Column), Failure> {
    save::reads(path);
    let entries = npy::read_npz(path).map_err(Failure::file(path))?;
    let usual = if labels.is_some() { &["x"][..] } else { &["x", "y"] };
    let keys: Vec<&str> = if keys.is_empty() { usual.to_vec() } else { keys.iter().map(|key| key.trim()).collect() };
    let one = |key: &&str| {
        let found = entries.iter().find(|(entry, _)| entry == key);
        let (_, tensor) = found.ok_or_else(|| {
            let all: Vec<String> = entries.iter().map(|(entry, _)| entry.clone()).collect();
            let text = format!("expected an array {}, found {}", quoted(key), some(&all));
            Failure::Usage(format!("{}: {text}; see --keys", path.display()))
        })?;
        Ok(Column::Array { from: format!("{}: {}", path.display(), name(key)), tensor: tensor.clone() })
    };
    let mut columns = keys.iter().map(one).collect::<Result<Vec<_>, Failure>>()?;
    let labels = labels.or_else(|| columns.pop()).filter(|_| !columns.is_empty());
    let text = || format!("{}: expected arrays for inputs and labels, found one; see --keys", path.display());
    Ok((columns, labels.ok_or_else(|| Failure::Usage(text()))?))
}

/// Names of classes, which differ.
fn names(path: &Path) -> Result<Vec<String>, Failure> {
    let names = top::labels(path)?;
    let mut seen = BTreeSet::new();
    match names.iter().enumerate().find(|(_, name)| !seen.insert(name.as_str())) {
        None => Ok(names),
        Some((i, twice)) => {
            let what = format!("line {}: expected another name than those before, found {}", i + 1, quoted(twice));
            Err(Failure::Corrupt { path: path.to_path_buf(), what })
        }
    }
}

/// What the labels of a list mean, and what the classes are called.
fn meanings(entries: &[Entry], names: Option<Vec<String>>) -> Result<(Tensor, Option<Vec<String>>), String> {
    if let Some(names) = names {
        let class = |entry: &Entry| {
            let called = names.iter().position(|name| *name == entry.label);
            let number = || entry.label.parse().ok().filter(|n| *n < names.len());
            called.or_else(number).map(|n| n as i64).ok_or_else(|| {
                let (line, label) = (entry.line, quoted(&entry.label));
                format!(
                    "line {line}: expected one of {} or a number below {}, found {label}",
                    some(&names),
                    names.len()
                )
            })
        };
        let classes = entries.iter().map(class).collect::<Result<Vec<_>, _>>()?;
        return Ok((Tensor::vector(&classes), Some(names)));
    }
    let is_number = |entry: &Entry| entry.label.parse::<f64>().is_ok_and(f64::is_finite);
    if !entries.first().is_some_and(is_number) {
        if let Some(odd) = entries.iter().find(|entry| is_number(entry)) {
            let (line, label) = (odd.line, quoted(&odd.label));
            return Err(format!(
                "line {line}: expected a name as in the lines before, found {label}; --labels FILE says what classes are called"
            ));
        }
        let names: BTreeSet<&str> = entries.iter().map(|entry| entry.label.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_string).collect();
        let class = |entry: &Entry| names.binary_search(&entry.label).unwrap_or(0) as i64;
        return Ok((Tensor::vector(&entries.iter().map(class).collect::<Vec<_>>()), Some(names)));
    }
    if let Some(odd) = entries.iter().find(|entry| !is_number(entry)) {
        let (line, label) = (odd.line, quoted(&odd.label));
        return Err(format!("line {line}: expected a number as in the lines before, found {label}"));
    }
    let integers: Option<Vec<i64>> = entries.iter().map(|entry| entry.label.parse().ok()).collect();
    let numbers = || entries.iter().filter_map(|entry| entry.label.parse().ok()).collect::<Vec<f64>>();
    Ok((integers.map_or_else(|| Tensor::vector(&numbers()), |integers| Tensor::vector(&integers)), None))
}

/// Paths in a folder in the order of their names, but for hidden ones.
fn entries(dir: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Failure> {
    let paths = std::fs::read_dir(dir)
        .and_then(|all| all.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>());
    let mut paths = paths.map_err(Failure::file(dir))?;
    paths.retain(|path| !file_name(path).starts_with('.') && wanted(path));
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The first of several names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|one| name(one)).collect();
    match (shown.is_empty(), names.len() > SHOWN) {
        (true, _) => "none".into(),
        (_, more) => format!("{}{}", shown.join(", "), if more { ", …" } else { "" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries_of(labels: &[&str]) -> Vec<Entry> {
        let entry = |(i, label): (usize, &&str)| Entry { line: i + 1, path: "p".into(), label: label.to_string() };
        labels.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn labels_of_a_list_are_numbers_or_names() {
        let names = |all: &[&str]| Some(all.iter().map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(meanings(&entries_of(&["3", "0"]), None).unwrap(), (Tensor::vector(&[3i64, 0]), None));
        assert_eq!(meanings(&entries_of(&["3", "0.5"]), None).unwrap(), (Tensor::vector(&[3.0, 0.5]), None));
        let (classes, called) = meanings(&entries_of(&["dog", "ant", "cat", "dog"]), None).unwrap();
        assert_eq!((classes, called), (Tensor::vector(&[2i64, 0, 1, 2]), names(&["ant", "cat", "dog"])));
        let error = meanings(&entries_of(&["dog", "7"]), None).unwrap_err();
        assert!(error.starts_with("line 2: expected a name as in the lines before, found \"7\""), "{error}");
        let given = names(&["zero", "one"]);
        assert_eq!(meanings(&entries_of(&["one", "0"]), given.clone()).unwrap().0, Tensor::vector(&[1i64, 0]));
        let error = meanings(&entries_of(&["one", "two"]), given).unwrap_err();
        assert_eq!(error, "line 2: expected one of zero, one or a number below 2, found \"two\"");
        let error = meanings(&entries_of(&["1", "two"]), None).unwrap_err();
        assert_eq!(error, "line 2: expected a number as in the lines before, found \"two\"");
    }

    #[test]
    fn arrays_are_taken_by_rows() {
        let t = Tensor::from_slice(&[3, 2], &[0i32, 1, 2, 3, 4, 5]).unwrap();
        let picked = rows(&t, &[2, 0, 2]).unwrap();
        assert_eq!(picked, Tensor::from_slice(&[3, 2], &[4i32, 5, 0, 1, 4, 5]).unwrap());
        assert!(rows(&t, &[3]).is_err());
    }

    #[test]
    fn planes_become_pixels() {
        let t = Tensor::from_slice(&[1, 3, 1, 2], &[1u8, 2, 3, 4, 5, 6]).unwrap();
        let own = Picture::new(1, 2, 3, vec![1, 3, 5, 2, 4, 6]).unwrap();
        assert_eq!(pixels(&t, &[0]).unwrap(), [own]);
        let last = Tensor::from_slice(&[1, 1, 2, 3], &[1u8, 3, 5, 2, 4, 6]).unwrap();
        assert_eq!(planes(&last), Some(([2, 3, 1], true)));
        let last = Tensor::from_slice(&[1, 2, 1, 3], &[1u8, 3, 5, 2, 4, 6]).unwrap();
        assert_eq!(pixels(&last, &[0]).unwrap()[0].pixels, mindir::preprocess::Pixels::Bytes(vec![1, 3, 5, 2, 4, 6]));
    }
}
