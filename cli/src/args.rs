//! Arguments that several subcommands share.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use mindir::ckpt::{self, Checkpoint, Kind, ReadOptions};
use mindir::crypto::{Cipher, Decryption, Key};
use mindir::{
    Access, DEVICES, DeviceEntry, Dim, Fact, Fallback, GraphCell, Limit, Limits, Loaded, Options, PackedWeights, Port,
    Precision, Source,
};

use crate::failure::Failure;
use crate::print::{self, name, quoted};
use crate::save;
use crate::stdin;

/// The model.
#[derive(Args, Debug)]
pub struct ModelArg {
    /// MindIR or ONNX file, or `-` for standard input; for a split model NAME_graph.mindir
    #[arg(value_name = "MODEL")]
    pub path: PathBuf,
    #[command(flatten)]
    pub key: ModelKeyArgs,
}

impl ModelArg {
    /// Reads the model; also says how long that took.
    pub fn load(&self) -> Result<(Loaded, Duration), Failure> {
        let start = Instant::now();
        let loaded = load(self.key.source(&self.path)?)?;
        Ok((loaded, start.elapsed()))
    }
}

/// Reads a model, and tells what was read and how long that took.
pub fn load(source: Source) -> Result<Loaded, Failure> {
    let start = Instant::now();
    let loaded = mindir::load_source(source)?;
    let took = start.elapsed();
    for file in &loaded.report.files {
        print::tell(|| format!("read {}, {}", name(&file.name), print::bytes(file.bytes)));
    }
    print::tell(|| format!("the model was loaded in {}", print::time(took.as_nanos() as f64)));
    Ok(loaded)
}

/// Tells what a plan for these inputs has, and how long it took to make.
pub fn tell_plan(cell: &GraphCell, inputs: &[Fact]) {
    print::tell(|| {
        let start = Instant::now();
        let planned = cell.plan(inputs);
        let took = print::time(start.elapsed().as_nanos() as f64);
        match planned {
            Ok(plan) => {
                let steps = plan.stages().iter().map(|s| s.steps.len()).sum();
                format!("{} planned in {took}", print::plural(steps, "step"))
            }
            Err(_) => format!("planning failed after {took}"),
        }
    });
}

/// Tells what a folder for packed weights was good for, and warns of one that could not be used.
pub fn tell_packed(cell: &GraphCell) {
    let Some(PackedWeights { read, written, fault }) = cell.packed_weights() else { return };
    print::tell(|| format!("packed weights: {read} read, {written} written"));
    if let Some(fault) = fault {
        print::warn(&format!("--packed-weights: what was packed is not kept: {fault}"));
    }
}

/// The key of encrypted files.
#[derive(Args, Debug, Clone, Default)]
pub struct KeyArgs {
    /// File that holds the key of encrypted files: its 16, 24 or 32 bytes
    #[arg(long, value_name = "FILE", conflicts_with = "key_env")]
    key_file: Option<PathBuf>,
    /// Environment variable that holds the key of encrypted files
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
}

impl KeyArgs {
    /// The key, if one was given.
    pub fn key(&self) -> Result<Option<Key>, Failure> {
        key(self.key_file.as_deref(), self.key_env.as_deref())
    }

    /// The model at `path`.
    pub fn source(&self, path: &Path) -> Result<Source, Failure> {
        let source = if stdin::is(path) {
            Source::from_bytes(stdin::NAME, stdin::bytes("the model")?)
        } else {
            let source = Source::open(path, Access::Map).map_err(mindir::Error::from)?;
            source.path().into_iter().for_each(save::reads);
            source
        };
        Ok(source.with_decryption(self.key()?.map(Decryption::new)))
    }

    /// Reads a checkpoint.
    pub fn read(&self, path: &Path) -> Result<(Checkpoint, Kind), Failure> {
        self.read_checked(path, false)
    }

    /// Reads a checkpoint, and checks its checksum where that is demanded.
    pub fn read_checked(&self, path: &Path, verify_crc: bool) -> Result<(Checkpoint, Kind), Failure> {
        let head = head(path)?;
        save::reads(path);
        // A key may be given for one of several files.
        let decryption = self.key()?.filter(|_| Cipher::of(&head).is_some()).map(Decryption::new);
        let start = Instant::now();
        let read = ckpt::read_with_kind(path, &ReadOptions { decryption, verify_crc, ..ReadOptions::default() })?;
        print::tell(|| {
            let (took, entries) = (print::time(start.elapsed().as_nanos() as f64), print::entries(read.0.len()));
            format!("read {}, {entries}, in {took}", path.display())
        });
        Ok(read)
    }
}

/// The key of encrypted models.
#[derive(Args, Debug)]
pub struct ModelKeyArgs {
    #[command(flatten)]
    pub files: KeyArgs,
    /// How the model is encrypted, if the file does not say it: AES-GCM, AES-CBC or SM4-CBC
    #[arg(long, value_name = "MODE", requires = "KeyArgs")]
    key_mode: Option<Cipher>,
}

impl ModelKeyArgs {
    /// How a model is encrypted that names this mode.
    pub fn cipher(&self, named: Option<Cipher>) -> Option<Cipher> {
        named.map(|named| self.key_mode.unwrap_or(named))
    }

    /// The model at `path`.
    pub fn source(&self, path: &Path) -> Result<Source, Failure> {
        let source = self.files.source(path)?;
        if self.key_mode.is_none() { Ok(source) } else { Ok(source.with_decryption(self.decryption()?)) }
    }

    /// How models are decrypted, if a key was given.
    pub fn decryption(&self) -> Result<Option<Decryption>, Failure> {
        let mode = |key| match self.key_mode {
            Some(mode) => Decryption::new(key).with_mode(mode),
            None => Decryption::new(key),
        };
        Ok(self.files.key()?.map(mode))
    }
}

/// A key from a file or an environment variable.
pub fn key(file: Option<&Path>, variable: Option<&str>) -> Result<Option<Key>, Failure> {
    let found = file.map(Key::from_file).or_else(|| variable.map(Key::from_env));
    found.transpose().map_err(|fault| Failure::Usage(fault.to_string()))
}

/// The first bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    if !std::fs::metadata(path).map_err(Failure::file(path))?.is_file() {
        // What it is instead is said where it is read; to open a pipe could take forever.
        return Ok(bytes);
    }
    let file = std::fs::File::open(path).map_err(Failure::file(path))?;
    file.take(4).read_to_end(&mut bytes).map_err(Failure::file(path))?;
    Ok(bytes)
}

/// A number of bytes: `4096`, `64K`, `512M`, `2G`, `1T`, or `64KiB` and so on.
pub fn bytes(text: &str) -> Result<u64, String> {
    let unit = text.strip_suffix("iB").unwrap_or(text);
    let (digits, shift) = match unit.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(digits) => (digits, 10 * (1 + "KMGT".find(&unit[digits.len()..]).unwrap_or(0) as u32)),
        None => (text, 0),
    };
    let number =
        digits.parse::<u64>().map_err(|_| format!("{} is no number of bytes such as 4096 or 512M", quoted(text)))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{} is too large", name(text)))
}

/// What a model may take. Beyond it the command ends with exit code 6.
#[derive(Args, Debug, Clone, Default)]
pub struct LimitArgs {
    /// Most bytes for weights, plans and values, such as 512M or 1GiB
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    max_memory: Option<u64>,
    /// Most time for one run with its planning, such as 200ms or 2s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// Most calls of graphs in one run, loop iterations included
    #[arg(long, value_name = "N")]
    max_calls: Option<u64>,
    /// Most nodes of one plan
    #[arg(long, value_name = "N")]
    max_plan_nodes: Option<u64>,
}

impl LimitArgs {
    /// The options with these limits.
    pub fn options(&self, options: Options) -> Options {
        Options {
            max_memory: self.max_memory.or(options.max_memory),
            deadline: self.deadline.or(options.deadline),
            max_calls: self.max_calls.unwrap_or(options.max_calls),
            max_plan_nodes: self.max_plan_nodes.unwrap_or(options.max_plan_nodes),
            ..options
        }
    }

    /// Refuses a tensor that takes more memory than all may take.
    pub fn fits(&self, fact: &Fact) -> Result<(), Failure> {
        let count = fact.shape.iter().fold(1u64, |n, d| n.saturating_mul(*d as u64));
        self.hold(count.saturating_mul(fact.dtype.size() as u64))
    }

    /// Refuses to take so many bytes if they are more than all may take.
    pub fn hold(&self, needed: u64) -> Result<(), Failure> {
        match self.max_memory {
            Some(limit) if needed > limit => Err(mindir::Error::Limit { what: Limit::Memory, limit, needed }.into()),
            _ => Ok(()),
        }
    }
}

/// How to run.
#[derive(Args, Debug, Clone)]
pub struct DeviceArgs {
    /// Where to run: cpu, or wgpu or cuda if built with the feature of that name
    #[arg(long, default_value = "cpu", value_name = "DEVICE", value_parser = device)]
    pub device: String,
    /// Whether the CPU may take steps that the device declines: allow or deny
    #[arg(long, default_value = "allow", value_name = "POLICY", value_parser = fallback)]
    pub fallback: Fallback,
    /// What operands of matrix products and convolutions of f32 are rounded to: f32, tf32, f16 or bf16
    #[arg(long, default_value = "f32", value_name = "PRECISION", value_parser = precision)]
    pub precision: Precision,
    /// Leave out a pass of the planner, or `all`; may be repeated
    #[arg(long = "disable-pass", value_name = "PASS", value_parser = pass)]
    pub disabled: Vec<String>,
    /// Folder that keeps large weights in the layouts that kernels read, so that the next start need not make them
    ///
    /// It may be shared by models and emptied at any time. Files in it that are damaged, belong to another user or may be written
    /// by others are not read.
    #[arg(long, value_name = "FOLDER")]
    pub packed_weights: Option<PathBuf>,
    #[command(flatten)]
    pub limits: LimitArgs,
}

impl DeviceArgs {
    /// The options for a cell with this many threads.
    pub fn options(&self, threads: Option<usize>) -> Result<Options, Failure> {
        let options = self.without_device(threads).on(&self.device)?;
        tell_device(&self.device, threads);
        Ok(options)
    }

    /// The options for a cell that makes plans only: for a device that is not there, with the least that one of its kind can do.
    pub fn plan_options(&self, threads: Option<usize>) -> Result<Options, Failure> {
        let options = self.without_device(threads);
        let plan_only = DEVICES.iter().find(|d| d.name == self.device).and_then(DeviceEntry::plan_only);
        match (options.clone().on(&self.device), plan_only) {
            (Err(mindir::Error::NoDevice { device, reason }), Some(plan_only)) => {
                print::warn(&format!(
                    "{device} is not there ({reason}); this is the plan for the least that one can do"
                ));
                Ok(options.with_device(plan_only))
            }
            (found, _) => Ok(found?),
        }
    }

    fn without_device(&self, threads: Option<usize>) -> Options {
        let options = self.limits.options(Options {
            fallback: self.fallback,
            precision: self.precision,
            threads,
            disabled_passes: self.disabled.clone(),
            packed_weights: self.packed_weights.clone(),
            ..Options::default()
        });
        if self.fallback == Fallback::Deny && self.device == "cpu" {
            print::warn("--fallback has no effect on the CPU, which declines nothing");
        }
        if self.precision == Precision::Tf32 && self.device != "cuda" {
            print::warn(&format!("--precision tf32 has no effect on {}, which computes in f32", self.device));
        }
        options
    }
}

/// Tells where a model runs.
fn tell_device(device: &str, threads: Option<usize>) {
    print::tell(|| match mindir::machine::processor() {
        Ok(p) => format!("runs on {device}; {} with {}", p.isa, print::plural(threads.unwrap_or(p.threads), "thread")),
        Err(_) => format!("runs on {device}"),
    });
}

/// The name of a device.
pub fn device(text: &str) -> Result<String, String> {
    if DEVICES.iter().any(|d| d.name == text) {
        return Ok(text.into());
    }
    Err(format!("the devices are {}", DEVICES.iter().map(|d| d.name).collect::<Vec<_>>().join(", ")))
}

/// What operands are rounded to.
pub fn precision(text: &str) -> Result<Precision, String> {
    let names = || Precision::ALL.map(Precision::name).join(", ");
    Precision::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| format!("the precisions are {}", names()))
}

fn fallback(text: &str) -> Result<Fallback, String> {
    match text {
        "allow" => Ok(Fallback::Allow),
        "deny" => Ok(Fallback::Deny),
        _ => Err("expected allow or deny".into()),
    }
}

fn pass(text: &str) -> Result<String, String> {
    if text == "all" || Options::passes().any(|p| p == text) {
        return Ok(text.into());
    }
    Err(format!("the passes are all, {}", Options::passes().collect::<Vec<_>>().join(", ")))
}

/// A number of threads that a cell may have.
pub fn threads(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| (1..=Options::MOST_THREADS).contains(n));
    n.ok_or_else(|| format!("expected a number from 1 to {}", Options::MOST_THREADS))
}

/// Threads for one cell.
#[derive(Args, Debug)]
pub struct ThreadArg {
    /// Threads of the CPU [default: the cores that the process may use]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
}

/// Shapes of inputs.
#[derive(Args, Clone, Debug, Default)]
pub struct ShapeArgs {
    /// Shape of an input, as NAME=1,3,224,224, where NAME may be left out if there is one input; or the length of a dimension,
    /// as batch=2, in every input that has one of this name.
    ///
    /// A dimension is as long in every input that has one of its name, as ONNX demands. Where a file gives one name to dimensions
    /// that differ, the shape of an input that is given here holds for it whatever its dimensions are called; names without a
    /// letter, such as `?`, say nothing.
    #[arg(long = "shape", value_name = "[NAME=]DIMS", allow_hyphen_values = true)]
    pub shapes: Vec<String>,
}

impl ShapeArgs {
    /// For each input its dimensions, if anything was given about them.
    pub fn given(&self, ports: &[Port]) -> Result<Vec<Option<Vec<Dim>>>, Failure> {
        let mut out: Vec<Option<Vec<Dim>>> = vec![None; ports.len()];
        let mut lengths: HashMap<&str, usize> = HashMap::new();
        let names = Names::of(ports);
        for text in &self.shapes {
            let wrong = |why: String| Failure::Usage(format!("--shape {}: {why}", name(text)));
            if let Some((dim, length)) = names.dimension(text)? {
                let none = |_| wrong(format!("expected the length of dimension {}, found {}", name(dim), name(length)));
                if lengths.insert(dim, length.trim().parse().map_err(none)?).is_some() {
                    return Err(wrong("the dimension has a length already".into()));
                }
                continue;
            }
            let (at, dims) = names.split(text).map_err(|e| match text.split_once('=') {
                Some((given, _)) if matches!(names.called(given), Ok(None)) => {
                    wrong(format!("no input or dimension is called {}; the inputs are {}", name(given), list(ports)))
                }
                _ => e,
            })?;
            let at = match at {
                Some(at) => at,
                None if ports.len() == 1 => 0,
                None => return Err(wrong(format!("say which input: {}", list(ports)))),
            };
            if out[at].is_some() {
                return Err(wrong("the input has a shape already".into()));
            }
            let dims = dimensions(dims).map_err(wrong)?;
            names.check_rank(text, at, dims.len()).map_err(wrong)?;
            out[at] = Some(dims.into_iter().map(Dim::Known).collect());
        }
        for (dims, port) in out.iter_mut().zip(ports) {
            resize(dims, port, &lengths)?;
        }
        Ok(out)
    }

    /// The facts of all inputs: as given, else as exported.
    pub fn facts(&self, ports: &[Port]) -> Result<Vec<Fact>, Failure> {
        let given = self.given(ports)?;
        ports.iter().zip(given).map(|(p, dims)| fact(p, dims.as_deref(), ports)).collect()
    }
}

/// Gives dimensions of an input the lengths that their names have.
fn resize(dims: &mut Option<Vec<Dim>>, port: &Port, lengths: &HashMap<&str, usize>) -> Result<(), Failure> {
    let declared = port.spec.dims.as_deref().unwrap_or_default();
    for (axis, dim) in declared.iter().enumerate() {
        let Dim::Named(called) = dim else { continue };
        let Some(length) = lengths.get(&**called) else { continue };
        let own = dims.get_or_insert_with(|| declared.to_vec());
        match own.get_mut(axis) {
            Some(Dim::Known(n)) if n != length => {
                let text = format!("--shape: input {} has {n} for {dim}, which is to be {length}", name(&port.name));
                return Err(Failure::Usage(text));
            }
            Some(d) => *d = Dim::Known(*length),
            None => {}
        }
    }
    Ok(())
}

/// The fact of an input, one of `ports`, with these dimensions, or with those that the file declares.
pub fn fact(port: &Port, dims: Option<&[Dim]>, ports: &[Port]) -> Result<Fact, Failure> {
    let missing = |what: &str, hint: &str| {
        Failure::Usage(format!("input {} {}: the {what} is not known{hint}", name(&port.name), port.spec))
    };
    let dtype = port.spec.dtype.ok_or_else(|| missing("element type", ""))?;
    let dims = dims.or(port.spec.dims.as_deref());
    let sizes: Option<Vec<usize>> = dims.and_then(|dims| dims.iter().map(Dim::size).collect());
    let mut open: Vec<&Dim> = Vec::new();
    for dim in dims.unwrap_or_default().iter().filter(|d| d.size().is_none()) {
        if !open.contains(&dim) {
            open.push(dim);
        }
    }
    let hint = match open.as_slice() {
        // An input takes precedence over a dimension of its name.
        [Dim::Named(_), ..] if open.iter().all(|dim| is_own_name(dim, ports)) => {
            let flags: Vec<String> = open.iter().map(|dim| format!("--shape {dim}=…")).collect();
            format!("; give {}", flags.join(" "))
        }
        _ => format!("; give --shape {}=…", name(&port.name)),
    };
    Ok(Fact::new(dtype, &sizes.ok_or_else(|| missing("shape", &hint))?))
}

/// Whether a dimension has a name that no input has.
fn is_own_name(dim: &Dim, ports: &[Port]) -> bool {
    matches!(dim, Dim::Named(name) if !ports.iter().any(|port| means(name, port)))
}

fn dimensions(text: &str) -> Result<Vec<usize>, String> {
    if text.is_empty() || text == "[]" {
        return Ok(Vec::new());
    }
    let most = Limits::default().max_rank;
    if text.split([',', 'x']).count() > most {
        return Err(format!("expected at most {most} dimensions"));
    }
    let one = |d: &str| d.trim().parse::<usize>().map_err(|_| format!("{} is no dimension", quoted(d)));
    text.trim_matches(['[', ']']).split([',', 'x']).map(one).collect()
}

/// Whether `given` is the name of an input: all of it, or the part after the last colon, as MindSpore puts the path of the
/// cell before it.
pub fn means(given: &str, port: &Port) -> bool {
    given == port.name || port.name.rsplit_once(':').is_some_and(|(_, short)| short == given)
}

/// What inputs and their dimensions are called.
pub struct Names<'a> {
    ports: &'a [Port],
    /// The inputs with a name, or a part of theirs that [`means`] them.
    inputs: HashMap<&'a str, Vec<usize>>,
    dims: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    pub fn of(ports: &'a [Port]) -> Names<'a> {
        let mut inputs: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, port) in ports.iter().enumerate() {
            let short = port.name.rsplit_once(':').map(|(_, short)| short);
            [port.name.as_str()].into_iter().chain(short).for_each(|name| inputs.entry(name).or_default().push(i));
        }
        let dims = ports.iter().flat_map(|port| port.spec.dims.iter().flatten());
        let dims = dims.filter_map(|dim| if let Dim::Named(name) = dim { Some(&**name) } else { None }).collect();
        Names { ports, inputs, dims }
    }

    /// The input with a name, if there is one.
    pub fn called(&self, given: &str) -> Result<Option<usize>, Failure> {
        match self.inputs.get(given).map_or(&[][..], Vec::as_slice) {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            several => {
                let (n, given, all) = (several.len(), name(given), list(self.ports));
                Err(Failure::Usage(format!("{n} inputs are called {given}: {all}")))
            }
        }
    }

    /// Refuses `NAME=DIMS` of another rank for an input that is called as a dimension, whose length may be meant.
    fn check_rank(&self, text: &str, at: usize, found: usize) -> Result<(), String> {
        let given = text.rsplit_once('=').map(|(given, _)| given).filter(|given| self.dims.contains(given));
        let rank = self.ports[at].spec.dims.as_ref().map(|dims| dims.len()).filter(|rank| *rank != found);
        let (Some(given), Some(rank)) = (given, rank) else { return Ok(()) };
        let (given, rank) = (name(given), print::plural(rank, "dimension"));
        Err(format!("{given} is an input and has {rank}; dimension {given} follows from the shapes of inputs"))
    }

    /// Splits `NAME=LENGTH` if NAME is not an input but a dimension of inputs.
    pub fn dimension<'b>(&self, text: &'b str) -> Result<Option<(&'b str, &'b str)>, Failure> {
        let Some((given, length)) = text.rsplit_once('=') else { return Ok(None) };
        let is_one = self.dims.contains(given) && self.called(given)?.is_none();
        Ok(is_one.then_some((given, length)))
    }

    /// Splits `NAME=REST` where NAME is an input; without one, all of `text` is the rest.
    pub fn split<'b>(&self, text: &'b str) -> Result<(Option<usize>, &'b str), Failure> {
        let ends = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..])).collect::<Vec<_>>();
        for (given, rest) in ends.into_iter().rev() {
            if let Some(at) = self.called(given)? {
                return Ok((Some(at), rest));
            }
        }
        match text.split_once('=') {
            Some((wrong, _)) if !Path::new(text).exists() => {
                Err(Failure::Usage(format!("no input is called {}; the inputs are {}", name(wrong), list(self.ports))))
            }
            _ => Ok((None, text)),
        }
    }
}

/// The inputs with what is known about them.
pub fn list(ports: &[Port]) -> String {
    if ports.is_empty() {
        return "(none)".into();
    }
    ports.iter().map(|p| format!("{} {}", name(&p.name), p.spec)).collect::<Vec<_>>().join(", ")
}

/// A cell for a model.
pub fn cell(model: impl Into<Arc<mindir::graph::Model>>, options: Options) -> Result<GraphCell, Failure> {
    Ok(GraphCell::new(model, options)?)
}

/// `2s`, `500ms`, or seconds as a plain number.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let scale = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "m" | "min" => 60.0,
        _ => return Err(format!("{} is no unit; units are us, ms, s, min", quoted(unit))),
    };
    let seconds = number.parse::<f64>().map_err(|_| format!("{} is no number", quoted(number)))? * scale;
    if (0.0..=86_400.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("expected a time up to a day".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mindir::{DType, Spec};

    fn ports() -> Vec<Port> {
        let port = |name: &str| Port { name: name.into(), spec: Spec::fixed(DType::F32, &[1, 2]) };
        vec![port("a"), port("a=b")]
    }

    #[test]
    fn the_longest_name_wins() {
        let ports = ports();
        let names = Names::of(&ports);
        assert_eq!(names.split("a=1").unwrap(), (Some(0), "1"));
        assert_eq!(names.split("a=b=1").unwrap(), (Some(1), "1"));
        assert_eq!(names.split("x.npy").unwrap(), (None, "x.npy"));
        assert!(matches!(names.split("c=1"), Err(Failure::Usage(_))));
    }

    #[test]
    fn numbers_of_bytes() {
        let good = ["0", "4096", "64K", "2G", "1MiB"].map(|text| bytes(text).unwrap());
        assert_eq!(good, [0, 4096, 64 << 10, 2 << 30, 1 << 20]);
        for text in ["", "K", "iB", "12iB", "1.5G", "-1", "1KB", "99999999999T"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("2s").unwrap(), Duration::from_secs(2));
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("0.5").unwrap(), Duration::from_millis(500));
        assert!(duration("1h").is_err() && duration("-1").is_err() && duration("nan").is_err());
    }
}
