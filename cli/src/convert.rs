//! `mindir convert`.

use std::path::{Path, PathBuf};

use clap::Args;
use mindir::ckpt::{LoadOptions, Loaded, Source as ParamSource, load_param_into_net};
use mindir::crypto::{Cipher, Encryption, Key};
use mindir::graph::Model;
use mindir::onnx::{self, OPSETS};
use mindir::{Error, ExportOptions, Limits, ModelFile, Source, Written, air};
use serde::Serialize;

use crate::args::{self, ModelArg};
use crate::failure::{Failure, Outcome};
use crate::print::{self, name};
use crate::save::SaveArgs;

/// Write a model in another form: MindIR in one file or split, encrypted or not, with other names; ONNX; AIR.
///
/// What the output is follows from its ending: .mindir, .onnx or .air. The model may be an ONNX file too. Nothing is lost
/// between MindIR files: what is not changed is copied. The output replaces what was there when it is complete. What a
/// checkpoint has for the model's parameters can be put in on the way (--ckpt).
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
    /// Encrypt the output: AES-GCM, AES-CBC or SM4-CBC; with the model's key unless another is given
    #[arg(long, value_name = "MODE")]
    encrypt: Option<Cipher>,
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
    /// Give parameters the values of this checkpoint first: those of their names, or names that end so
    #[arg(long, value_name = "FILE")]
    ckpt: Option<PathBuf>,
    /// Neither convert element types nor match names by their endings
    #[arg(long, requires = "ckpt")]
    strict: bool,
    /// Build the file anew from the graph that was read, which leaves out what does not matter to running it
    #[arg(long, conflicts_with = "rename")]
    rebuild: bool,
    /// Operator set of an ONNX file
    #[arg(long, value_name = "N", default_value_t = onnx::Options::default().opset, value_parser = opset)]
    opset: i64,
    #[command(flatten)]
    save: SaveArgs,
}

fn opset(text: &str) -> Result<i64, String> {
    let number = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if OPSETS.contains(&number) { Ok(number) } else { Err(format!("expected {} to {}", OPSETS.start(), OPSETS.end())) }
}

impl Convert {
    /// Converts by the ending of the output.
    pub fn execute(self) -> Result<Outcome, Failure> {
        let mut report = match self.out.extension().and_then(|ending| ending.to_str()) {
            Some("mindir") | None => self.to_mindir()?,
            Some("onnx") => self.to_onnx()?,
            Some("air") => self.to_air()?,
            Some(other) => {
                let what = format!("cannot write .{} files; endings are .mindir, .onnx and .air", name(other));
                return Err(Failure::Usage(what));
            }
        };
        report.dry_run = self.save.dry_run;
        Ok(Outcome::ok(if self.save.json { print::json(&report) } else { report.text(self.save.verb()) }))
    }

    fn to_onnx(&self) -> Result<Report, Failure> {
        let (model, filled) = self.filled()?;
        let split_above = self.split_above().unwrap_or(onnx::Options::default().split_above);
        let save = |store| onnx::export(&model, &self.out, &onnx::Options { opset: self.opset, split_above, store });
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
        let (model, filled) = self.filled()?;
        let written = self.save.save(weight_bytes(&model), |store| air::export(&model, &self.out, &store));
        let air::Written { nodes, constants, bytes } = written.map_err(Error::from)?;
        Ok(Report { nodes: Some(nodes), weights: constants, bytes: bytes as u64, ..Report::of(&self.out, filled) })
    }

    fn to_mindir(&self) -> Result<Report, Failure> {
        let options = self.options()?;
        let source = self.model.key.source(&self.model.path)?;
        let (written, filled) = if self.rebuild || source.is_onnx() {
            let (model, filled) = self.filled()?;
            let save = |store| mindir::export(&model, &self.out, &ExportOptions { store, ..options });
            (self.save.save(weight_bytes(&model), save)?, filled)
        } else {
            let (file, filled) = self.edited(source)?;
            let save = |store| file.write(&self.out, &ExportOptions { store, ..options });
            (self.save.save(file.parameter_bytes(), save).map_err(Error::from)?, filled)
        };
        let Written { path, data_files, parameters: weights, parameter_bytes: bytes } = written;
        Ok(Report { weights, bytes, data_files, ..Report::of(&path, filled) })
    }

    /// The model with the values of the checkpoint, if there is one.
    fn filled(&self) -> Result<(Model, Option<Filled>), Failure> {
        let (mut loaded, _) = self.model.load()?;
        let Some(path) = &self.ckpt else { return Ok((loaded.model, None)) };
        let (checkpoint, _) = self.model.key.files.read(path)?;
        let options = LoadOptions { strict: self.strict };
        let found = load_param_into_net(&mut loaded.model.params, &checkpoint, options).map_err(Error::from)?;
        Ok((loaded.model, Some(Filled::of(found))))
    }

    /// The file with its parameters renamed and filled.
    fn edited(&self, source: Source) -> Result<(ModelFile, Option<Filled>), Failure> {
        let mut file = ModelFile::read(source, &Limits::default()).map_err(Error::from)?;
        for (from, to) in &self.rename {
            file.rename_parameter(from, to).map_err(Error::from)?;
        }
        if self.ckpt.is_none() {
            return Ok((file, None));
        }
        let (model, filled) = self.filled()?;
        let is_filled = |name: &str| filled.as_ref().is_some_and(|f| f.taken.iter().any(|taken| taken == name));
        for param in model.params.iter().filter(|param| is_filled(&param.name)) {
            file.set_parameter(&param.name, &param.tensor).map_err(Error::from)?;
        }
        Ok((file, filled))
    }

    fn split_above(&self) -> Option<u64> {
        if self.split { Some(0) } else { self.split_above }
    }

    fn options(&self) -> Result<ExportOptions, Failure> {
        let usual = ExportOptions::default();
        Ok(ExportOptions {
            split_above: self.split_above().unwrap_or(usual.split_above),
            data_file_size: self.data_file_size.unwrap_or(usual.data_file_size),
            encryption: self.encrypt.map(|mode| self.encryption(mode)).transpose()?,
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

fn weight_bytes(model: &Model) -> u64 {
    model.params.iter().map(|param| param.tensor.bytes().len() as u64).sum()
}

/// What became of a checkpoint.
#[derive(Serialize)]
struct Filled {
    /// Parameters that have a value from it.
    taken: Vec<String>,
    /// Parameters that keep their value.
    param_not_load: Vec<String>,
    /// Entries that no parameter has the name of.
    ckpt_not_load: Vec<String>,
}

impl Filled {
    fn of(loaded: Loaded) -> Filled {
        let taken = loaded.params.into_iter().filter(|(_, source)| matches!(source, ParamSource::Entry { .. }));
        Filled {
            taken: taken.map(|(name, _)| name).collect(),
            param_not_load: loaded.param_not_load,
            ckpt_not_load: loaded.ckpt_not_load,
        }
    }
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
        let mut text = String::new();
        if let Some(Filled { taken, param_not_load, ckpt_not_load }) = &self.ckpt {
            let names = |names: &[String]| names.iter().map(|n| name(n)).collect::<Vec<_>>().join(", ");
            text += &format!("{} parameters have values of the checkpoint\n", taken.len());
            for (what, list) in [("no value for", param_not_load), ("not used", ckpt_not_load)] {
                if !list.is_empty() {
                    text += &format!("{what}: {}\n", names(list));
                }
            }
        }
        let nodes = self.nodes.map(|nodes| format!("{nodes} nodes, ")).unwrap_or_default();
        let (path, size) = (name(&self.path), print::bytes(self.bytes));
        text += &format!("{verb} {path}: {nodes}{} weights, {size}\n", self.weights);
        text + &self.data_files.iter().map(|file| format!("{verb} {}\n", name(file))).collect::<String>()
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected two texts with = between them")?;
    if key.is_empty() { Err("nothing stands before =".into()) } else { Ok((key.into(), value.into())) }
}
