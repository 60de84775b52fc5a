//! `mindir convert`.

use std::path::PathBuf;

use clap::Args;
use mindir::crypto::{Cipher, Encryption, Key};
use mindir::onnx::{self, OPSETS};
use mindir::{Error, ExportOptions, Limits, ModelFile, Written, air};

use crate::args::{self, ModelArg};
use crate::failure::{Failure, Outcome};
use crate::print::name;

/// Write a model in another form: MindIR in one file or split, encrypted or not, with other names; ONNX; AIR.
///
/// What the output is follows from its ending: .mindir, .onnx or .air. The model may be an ONNX file too. Nothing is lost
/// between MindIR files: what is not changed is copied. The output replaces what was there when it is complete.
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
    /// Build the file anew from the graph that was read, which leaves out what does not matter to running it
    #[arg(long, conflicts_with = "rename")]
    rebuild: bool,
    /// Operator set of an ONNX file
    #[arg(long, value_name = "N", default_value_t = onnx::Options::default().opset, value_parser = opset)]
    opset: i64,
}

fn opset(text: &str) -> Result<i64, String> {
    let number = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if OPSETS.contains(&number) { Ok(number) } else { Err(format!("expected {} to {}", OPSETS.start(), OPSETS.end())) }
}

impl Convert {
    /// Converts by the ending of the output.
    pub fn execute(self) -> Result<Outcome, Failure> {
        match self.out.extension().and_then(|ending| ending.to_str()) {
            Some("mindir") | None => self.to_mindir(),
            Some("onnx") => self.to_onnx(),
            Some("air") => self.to_air(),
            Some(other) => {
                Err(Failure::Usage(format!("cannot write .{} files; endings are .mindir, .onnx and .air", name(other))))
            }
        }
    }

    fn to_onnx(&self) -> Result<Outcome, Failure> {
        let (loaded, _) = self.model.load()?;
        let split_above = self.split_above().unwrap_or(onnx::Options::default().split_above);
        let written = onnx::export(&loaded.model, &self.out, onnx::Options { opset: self.opset, split_above })?;
        let beside = written.data_file.map(|f| format!(", data file {}", name(&f))).unwrap_or_default();
        Ok(Outcome::ok(format!(
            "{}: operator set {}, {} nodes, {} constants of {} bytes{beside}\n",
            name(&self.out.display().to_string()),
            self.opset,
            written.nodes,
            written.constants,
            written.constant_bytes
        )))
    }

    fn to_air(&self) -> Result<Outcome, Failure> {
        let (loaded, _) = self.model.load()?;
        let air::Written { nodes, constants, bytes } = air::export(&loaded.model, &self.out).map_err(Error::from)?;
        let out = name(&self.out.display().to_string()).to_string();
        Ok(Outcome::ok(format!("{out}: {nodes} nodes, {constants} constants, {bytes} bytes\n")))
    }

    fn to_mindir(&self) -> Result<Outcome, Failure> {
        let options = self.options()?;
        let source = self.model.key.source(&self.model.path)?;
        let written = if self.rebuild || source.is_onnx() {
            mindir::export(&mindir::load_source(source)?.model, &self.out, &options)?
        } else {
            let mut file = ModelFile::read(source, &Limits::default()).map_err(Error::from)?;
            for (from, to) in &self.rename {
                file.rename_parameter(from, to).map_err(Error::from)?;
            }
            file.write(&self.out, &options).map_err(Error::from)?
        };
        Ok(Outcome::ok(report(&written)))
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
            None => self.model.key.key()?,
        };
        let missing = || Failure::Usage("--encrypt needs --encrypt-key-file or --encrypt-key-env".into());
        Encryption::new(mode, key.ok_or_else(missing)?).map_err(|fault| Failure::Usage(fault.to_string()))
    }
}

fn report(written: &Written) -> String {
    let Written { path, data_files, parameters, parameter_bytes } = written;
    let mut text = format!("{}: {parameters} parameters, {parameter_bytes} bytes\n", name(&path.display().to_string()));
    for file in data_files {
        text += &format!("{}\n", name(file));
    }
    text
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected two texts with = between them")?;
    if key.is_empty() { Err("nothing stands before =".into()) } else { Ok((key.into(), value.into())) }
}
