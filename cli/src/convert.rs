//! `mindir convert`.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use clap::Args;
use mindir::ckpt::{Change, Checkpoint, LoadOptions, Loaded, Misfits, Source as ParamSource, Why, load_param_into_net};
use mindir::crypto::{Cipher, Encryption, Key};
use mindir::graph::{Model, Param};
use mindir::onnx::{self, OPSETS};
use mindir::{Error, ExportOptions, Limits, ModelFile, Source, Written, air};
use serde::Serialize;

use crate::args::{self, ModelArg};
use crate::content::is;
use crate::failure::{Failure, Outcome};
use crate::print::{self, name, plural, quoted};
use crate::save::{self, SaveArgs};
use crate::stdin;

/// Write a model in another form: MindIR in one file or split, encrypted or not, with other names; ONNX; AIR.
///
/// What the output is follows from its ending: .mindir, .onnx or .air. The model may be an ONNX file too. Nothing is lost
/// between MindIR files: what is not changed is copied. The output replaces what was there when it is complete, but the model
/// itself only with --force. What a checkpoint has for the model's parameters can be put in on the way (--ckpt). What is encrypted stays so, with the same key and
/// in the same mode, unless --encrypt or --decrypt says otherwise.
#[derive(Args, Debug)]
pub struct Convert {
    #[command(flatten)]
    model: ModelArg,
    /// File to write; a split model becomes NAME_graph.mindir and NAME_variables, or NAME.onnx and NAME.onnx.data_0
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Write the weights into data files
    #[arg(long, conflicts_with = "split_above")]
    split: bool,
    /// Write the weights into data files if they take more bytes than this [default: 1G, for .onnx 1900M]
    #[arg(long, value_name = "BYTES", value_parser = args::bytes)]
    split_above: Option<u64>,
    /// Begin another data file after this many bytes
    #[arg(long, value_name = "BYTES", value_parser = args::bytes)]
    data_file_size: Option<u64>,
    /// Encrypt the output: AES-GCM, AES-CBC or SM4-CBC; with the model's key unless another is given [default: as the model or
    /// the checkpoint]
    #[arg(long, value_name = "MODE")]
    encrypt: Option<Cipher>,
    /// Do not encrypt the output, even if the model or the checkpoint is encrypted
    #[arg(long, conflicts_with = "encrypt")]
    decrypt: bool,
    /// File that holds the key of the output
    #[arg(long, value_name = "FILE", requires = "encrypt", conflicts_with = "encrypt_key_env")]
    encrypt_key_file: Option<PathBuf>,
    /// Environment variable that holds the key of the output
    #[arg(long, value_name = "NAME", requires = "encrypt")]
    encrypt_key_env: Option<String>,
    /// Attach a text for users; may be repeated
    #[arg(long, value_name = "KEY=TEXT", value_parser = pair)]
    info: Vec<(String, String)>,
    /// Give a parameter another name; may be repeated
    #[arg(long, value_name = "OLD=NEW", value_parser = pair)]
    rename: Vec<(String, String)>,
    /// Give parameters the values of this checkpoint first: those of their names, or names that end so. If no parameter takes
    /// one, nothing is written
    #[arg(long, value_name = "FILE")]
    ckpt: Option<PathBuf>,
    /// Neither convert element types nor match names by their endings
    #[arg(long, requires = "ckpt")]
    strict: bool,
    /// Leave out values of the checkpoint whose shapes are not those of their parameters, and tell which
    #[arg(long, requires = "ckpt")]
    skip_shapes: bool,
    /// Build the file anew from the graph that was read, which leaves out what does not matter to running it
    #[arg(long, conflicts_with = "rename")]
    rebuild: bool,
    /// Operator set of an ONNX file [default: 17]
    #[arg(long, value_name = "N", value_parser = opset)]
    opset: Option<i64>,
    /// In an ONNX file, make inputs of the parameters that the model writes, which may be left out in the first run, and results
    /// called NAME_out of what they hold afterwards
    #[arg(long)]
    state_as_io: bool,
    #[command(flatten)]
    save: SaveArgs,
}

fn opset(text: &str) -> Result<i64, String> {
    let number = text.parse().map_err(|_| format!("{} is no number", quoted(text)))?;
    if OPSETS.contains(&number) { Ok(number) } else { Err(format!("expected {} to {}", OPSETS.start(), OPSETS.end())) }
}

/// What a model is written as.
#[derive(Clone, Copy)]
enum Form {
    MindIr,
    Onnx,
    Air,
}

impl Convert {
    /// Converts by the ending of the output.
    pub fn execute(self) -> Result<Outcome, Failure> {
        if stdin::is(&self.out) {
            return Err(Failure::Usage("models are written to files, not to standard output".into()));
        }
        once("--info", &self.info)?;
        once("--rename", &self.rename)?;
        let form = save::by_ending(&self.out, &[("mindir", Form::MindIr), ("onnx", Form::Onnx), ("air", Form::Air)])?;
        let mut report = match form.unwrap_or(Form::MindIr) {
            Form::MindIr => self.to_mindir()?,
            Form::Onnx => self.to_onnx()?,
            Form::Air => self.to_air()?,
        };
        report.dry_run = self.save.dry_run;
        Ok(self.save.outcome(&report, || report.text(self.save.verb())))
    }

    fn to_onnx(&self) -> Result<Report, Failure> {
        let Content { model, filled, .. } = self.plain(".onnx", &[])?;
        if self.state_as_io && !model.params.iter().any(|param| param.mutable) {
            print::warn("--state-as-io has no effect: the model writes no parameter");
        }
        let usual = onnx::Options::default();
        let split_above = self.split_above().unwrap_or(usual.split_above);
        let (opset, state_as_io) = (self.opset.unwrap_or(usual.opset), self.state_as_io);
        let save = |store| onnx::export(&model, &self.out, &onnx::Options { opset, split_above, store, state_as_io });
        let written = self.save.save(weight_bytes(&model), save)?;
        Ok(Report {
            nodes: Some(written.nodes),
            weights: written.constants,
            bytes: written.constant_bytes,
            data_files: written.data_file.into_iter().collect(),
            ..Report::of(&self.out, filled)
        })
    }

    fn to_air(&self) -> Result<Report, Failure> {
        let is_split = self.split_above().is_some();
        let Content { model, filled, .. } = self.plain(
            ".air",
            &[("--split", is_split), ("--opset", self.opset.is_some()), ("--state-as-io", self.state_as_io)],
        )?;
        let written = self.save.save(weight_bytes(&model), |store| air::export(&model, &self.out, &store));
        let air::Written { nodes, constants, bytes } = written.map_err(Error::from)?;
        Ok(Report { nodes: Some(nodes), weights: constants, bytes: bytes as u64, ..Report::of(&self.out, filled) })
    }

    fn to_mindir(&self) -> Result<Report, Failure> {
        refuse(".mindir", &[("--opset", self.opset.is_some()), ("--state-as-io", self.state_as_io)])?;
        let source = self.source()?;
        let from = source.path().map(Path::to_path_buf);
        let is_built = self.rebuild || source.is_onnx();
        let (written, filled) = if is_built {
            refuse(".onnx", &[("--rename", !self.rename.is_empty())])?;
            let Content { model, filled, cipher } = self.content()?;
            let options = self.options(cipher)?;
            self.check(from.as_deref(), weight_bytes(&model) > options.split_above)?;
            let save = |store| mindir::export(&model, &self.out, &ExportOptions { store, ..options });
            (self.save.save(weight_bytes(&model), save)?, filled)
        } else {
            let (file, filled, options) = self.edited(source)?;
            self.check(from.as_deref(), file.parameter_bytes() > options.split_above)?;
            let save = |store| file.write(&self.out, &ExportOptions { store, ..options });
            (self.save.save(file.parameter_bytes(), save).map_err(Error::from)?, filled)
        };
        let Written { path, data_files, parameters: weights, parameter_bytes: bytes } = written;
        if self.data_file_size.is_some() && data_files.is_empty() {
            print::warn("--data-file-size has no effect: the weights are in the model's file; see --split");
        }
        Ok(Report { weights, bytes, data_files, ..Report::of(&path, filled) })
    }

    /// Refuses to replace the model that is read, which lies at `from`.
    fn check(&self, from: Option<&Path>, is_split: bool) -> Result<(), Failure> {
        self.save.check(from.unwrap_or(Path::new("")), &self.graph_file(is_split))
    }

    /// The graph file of a MindIR model, which has its weights or is split.
    fn graph_file(&self, is_split: bool) -> PathBuf {
        let name = self.out.file_name().unwrap_or_default().to_string_lossy();
        let stem = if is(&self.out, &["mindir"]) { &name[..name.len() - ".mindir".len()] } else { &name };
        match is_split {
            true => self.out.with_file_name(format!("{}_graph.mindir", stem.strip_suffix("_graph").unwrap_or(stem))),
            false if self.out.is_file() => self.out.clone(),
            false => self.out.with_file_name(format!("{stem}.mindir")),
        }
    }

    fn source(&self) -> Result<Source, Failure> {
        let source = self.model.key.source(&self.model.path)?;
        // The key may be that of the checkpoint.
        let is_plain = self.ckpt.is_some() && source.cipher().is_none();
        Ok(if is_plain { source.with_decryption(None) } else { source })
    }

    /// The model with the values of the checkpoint, if there is one.
    fn content(&self) -> Result<Content, Failure> {
        let loaded = args::load(self.source()?)?;
        let mut model = loaded.model;
        let cipher = self.model.key.cipher(loaded.report.encrypted);
        let Some(path) = &self.ckpt else { return Ok(Content { model, filled: None, cipher }) };
        self.save.check(path, &self.out)?;
        let (mut checkpoint, kind) = self.model.key.files.read(path)?;
        let found = self.load(&mut model.params, &mut checkpoint).map_err(Error::from)?;
        let filled = Filled::of(found, &checkpoint);
        if filled.loaded.is_empty() {
            return Err(Failure::Usage(format!("{}: {}", path.display(), filled.nothing())));
        }
        Ok(Content { model, filled: Some(filled), cipher: cipher.or(kind.cipher) })
    }

    /// Puts the values of a checkpoint into parameters. With --skip-shapes, the checkpoint loses those of other shapes first.
    fn load(&self, params: &mut [Param], checkpoint: &mut Checkpoint) -> Result<Loaded, Misfits> {
        let options = LoadOptions { strict: self.strict };
        let misfits = match load_param_into_net(params, checkpoint, options) {
            Err(misfits) if self.skip_shapes => misfits,
            done => return done,
        };
        let (skipped, rest): (Vec<_>, Vec<_>) = misfits.0.into_iter().partition(|misfit| misfit.why == Why::Shape);
        if !rest.is_empty() {
            return Err(Misfits(rest));
        }
        skipped.iter().for_each(|misfit| print::warn(&format!("left out {misfit}")));
        checkpoint.retain(|name, _| !skipped.iter().any(|misfit| misfit.entry == name));
        load_param_into_net(params, checkpoint, options)
    }

    /// The content of a file that cannot be encrypted, nor take what only MindIR files take.
    fn plain(&self, ending: &str, more: &[(&str, bool)]) -> Result<Content, Failure> {
        let only_mindir = [
            ("--encrypt", self.encrypt.is_some()),
            ("--info", !self.info.is_empty()),
            ("--rename", !self.rename.is_empty()),
            ("--data-file-size", self.data_file_size.is_some()),
            ("--rebuild", self.rebuild),
        ];
        refuse(ending, &only_mindir)?;
        refuse(ending, more)?;
        self.save.check(self.source()?.path().unwrap_or(Path::new("")), &self.out)?;
        let content = self.content()?;
        self.check_decryption(content.cipher);
        match content.cipher {
            Some(cipher) if !self.decrypt => Err(Failure::Usage(format!(
                "what was read is encrypted with {cipher} and {ending} files cannot be: --decrypt writes it in the clear"
            ))),
            _ => Ok(content),
        }
    }

    /// The file with its parameters filled and renamed, and how to write it.
    fn edited(&self, source: Source) -> Result<(ModelFile, Option<Filled>, ExportOptions), Failure> {
        let mut file = ModelFile::read(source, &Limits::default()).map_err(Error::from)?;
        let mut filled = None;
        let mut cipher = self.model.key.cipher(file.wire().report.encrypted);
        if self.ckpt.is_some() {
            let content = self.content()?;
            let loaded = content.filled.iter().flat_map(|filled| &filled.loaded);
            let loaded: HashSet<&str> = loaded.map(|taken| taken.param.as_str()).collect();
            for param in content.model.params.iter().filter(|param| loaded.contains(&*param.name)) {
                file.set_parameter(&param.name, &param.tensor).map_err(Error::from)?;
            }
            (filled, cipher) = (content.filled, content.cipher);
        }
        let names = self.rename.iter().map(|(from, to)| (from.as_str(), to.as_str()));
        file.rename_parameters(names).map_err(Error::from)?;
        let file = if self.decrypt { file.decrypted() } else { file };
        Ok((file, filled, self.options(cipher)?))
    }

    fn check_decryption(&self, cipher: Option<Cipher>) {
        if self.decrypt && cipher.is_none() {
            print::warn("--decrypt has no effect: what was read is not encrypted");
        }
    }

    fn split_above(&self) -> Option<u64> {
        if self.split { Some(0) } else { self.split_above }
    }

    /// `cipher` is how the files are encrypted that were read.
    fn options(&self, cipher: Option<Cipher>) -> Result<ExportOptions, Failure> {
        self.check_decryption(cipher);
        let usual = ExportOptions::default();
        let mode = self.encrypt.or(cipher).filter(|_| !self.decrypt);
        Ok(ExportOptions {
            split_above: self.split_above().unwrap_or(usual.split_above),
            data_file_size: self.data_file_size.unwrap_or(usual.data_file_size),
            encryption: mode.map(|mode| self.encryption(mode)).transpose()?,
            user_info: self.info.clone(),
            ..usual
        })
    }

    fn encryption(&self, mode: Cipher) -> Result<Encryption, Failure> {
        let given: Option<Key> = args::key(self.encrypt_key_file.as_deref(), self.encrypt_key_env.as_deref())?;
        let key = match given {
            Some(key) => Some(key),
            None => self.model.key.files.key()?,
        };
        let missing = || Failure::Usage("--encrypt needs --encrypt-key-file or --encrypt-key-env".into());
        Encryption::new(mode, key.ok_or_else(missing)?).map_err(|fault| Failure::Usage(fault.to_string()))
    }
}

/// Refuses options that do not apply to files with this ending.
fn refuse(ending: &str, options: &[(&str, bool)]) -> Result<(), Failure> {
    match options.iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(Failure::Usage(format!("{option} does not apply to {ending} files"))),
        None => Ok(()),
    }
}

/// Refuses two texts for one key.
fn once(option: &str, pairs: &[(String, String)]) -> Result<(), Failure> {
    let mut keys = HashSet::new();
    match pairs.iter().find(|(key, _)| !keys.insert(key)) {
        Some((key, _)) => Err(Failure::Usage(format!("{option}: {} is given twice", name(key)))),
        None => Ok(()),
    }
}

fn weight_bytes(model: &Model) -> u64 {
    model.params.iter().map(|param| param.tensor.bytes().len() as u64).sum()
}

/// What is written.
struct Content {
    model: Model,
    filled: Option<Filled>,
    /// How the file of the model, or else of the checkpoint, is encrypted.
    cipher: Option<Cipher>,
}

/// What became of a checkpoint.
#[derive(Serialize)]
struct Filled {
    /// Parameters that have a value from it.
    loaded: Vec<Taken>,
    /// Parameters that keep their value.
    param_not_load: Vec<String>,
    /// Entries whose values no parameter has.
    ckpt_not_load: Vec<String>,
}

/// A parameter that has the value of an entry.
#[derive(Serialize)]
struct Taken {
    param: String,
    entry: String,
    /// What the name of the entry has before that of the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// Element types in the checkpoint and in the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    converted: Option<[String; 2]>,
    /// Dimensions in the checkpoint and in the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    reshaped: Option<[Vec<usize>; 2]>,
}

impl Taken {
    fn of(param: String, entry: String, changes: Vec<Change>) -> Taken {
        let mut taken = Taken { param, entry, prefix: None, converted: None, reshaped: None };
        for change in changes {
            match change {
                Change::Prefix(text) => taken.prefix = Some(text),
                Change::Converted { from, to } => taken.converted = Some([from, to].map(|t| t.to_string())),
                Change::Reshaped { from, to } => taken.reshaped = Some([from, to]),
            }
        }
        taken
    }

    /// What was done besides taking the value of that name.
    fn changes(&self) -> impl Iterator<Item = String> {
        let prefix = self.prefix.iter().map(|prefix| format!("by the prefix {}", name(prefix)));
        let converted = self.converted.iter().map(|[from, to]| format!("converted from {from} to {to}"));
        let reshaped = self.reshaped.iter().map(|[from, to]| format!("reshaped from {from:?} to {to:?}"));
        prefix.chain(converted).chain(reshaped)
    }
}

impl Filled {
    fn of(found: Loaded, checkpoint: &Checkpoint) -> Filled {
        let (mut loaded, mut param_not_load) = (Vec::new(), Vec::new());
        for (param, source) in found.params {
            match source {
                ParamSource::Entry { name, changes } => loaded.push(Taken::of(param, name, changes)),
                ParamSource::Text | ParamSource::None { .. } => param_not_load.push(param),
            }
        }
        let used: HashSet<&str> = loaded.iter().map(|taken| taken.entry.as_str()).collect();
        let ckpt_not_load = checkpoint.names().filter(|n| !used.contains(n)).map(str::to_string).collect();
        Filled { loaded, param_not_load, ckpt_not_load }
    }

    /// Why nothing was loaded.
    fn nothing(&self) -> String {
        let some = |names: &[String]| {
            let more = if names.len() > 5 { ", …" } else { "" };
            listed(names.iter().take(5)) + more
        };
        let (entries, params) = (some(&self.ckpt_not_load), some(&self.param_not_load));
        format!("no parameter of the model takes a value from it; entries are {entries}; parameters are {params}")
    }

    fn text(&self) -> String {
        let mut changed: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for taken in &self.loaded {
            taken.changes().for_each(|change| changed.entry(change).or_default().push(&taken.param));
        }
        let lists = changed.iter().map(|(change, names)| (change.as_str(), listed(names.iter().copied())));
        let left = [("no value for", &self.param_not_load), ("not used", &self.ckpt_not_load)];
        let left = left.into_iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| (what, listed(names)));
        let lines: String = lists.chain(left).map(|(what, names)| format!("{what}: {names}\n")).collect();
        let taken = match self.loaded.len() {
            1 => "1 parameter has a value".to_string(),
            n => format!("{n} parameters have values"),
        };
        format!("{taken} of the checkpoint\n{lines}")
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| name(n)).collect();
    if names.is_empty() { "(none)".into() } else { names.join(", ") }
}

/// What was written.
#[derive(Serialize)]
struct Report {
    path: String,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<usize>,
    /// Parameters, with the constants in formats that do not tell them apart.
    weights: usize,
    bytes: u64,
    data_files: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ckpt: Option<Filled>,
}

impl Report {
    fn of(path: &Path, ckpt: Option<Filled>) -> Report {
        let path = path.display().to_string();
        Report { path, dry_run: false, nodes: None, weights: 0, bytes: 0, data_files: Vec::new(), ckpt }
    }

    fn text(&self, verb: &str) -> String {
        let filled = self.ckpt.as_ref().map(Filled::text).unwrap_or_default();
        let nodes = self.nodes.map(|nodes| format!("{}, ", plural(nodes, "node"))).unwrap_or_default();
        let (path, size) = (name(&self.path), print::bytes(self.bytes));
        let line = format!("{verb} {path}: {nodes}{}, {size}\n", plural(self.weights, "weight"));
        filled + &line + &self.data_files.iter().map(|file| format!("{verb} {}\n", name(file))).collect::<String>()
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected two texts with = between them")?;
    if key.is_empty() { Err("nothing stands before =".into()) } else { Ok((key.into(), value.into())) }
}
