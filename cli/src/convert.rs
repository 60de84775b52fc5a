//! `mindir convert`.

use std::path::PathBuf;

use clap::Args;
use mindir::onnx::{self, OPSETS};

use crate::args::ModelArg;
use crate::failure::{Failure, Outcome};

/// Write a model in another format, which the ending of the new file names: .onnx
#[derive(Args, Debug)]
pub struct Convert {
    #[command(flatten)]
    model: ModelArg,
    /// The file to write
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Operator set of an ONNX file
    #[arg(long, value_name = "N", default_value_t = onnx::Options::default().opset, value_parser = opset)]
    opset: i64,
}

fn opset(text: &str) -> Result<i64, String> {
    let number = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if OPSETS.contains(&number) { Ok(number) } else { Err(format!("expected {} to {}", OPSETS.start(), OPSETS.end())) }
}

impl Convert {
    pub fn execute(self) -> Result<Outcome, Failure> {
        if self.out.extension().is_none_or(|e| e != "onnx") {
            return Err(Failure::Usage(format!("{}: expected a name that ends in .onnx", self.out.display())));
        }
        let (loaded, _) = self.model.load()?;
        let written = onnx::export(&loaded.model, &self.out, onnx::Options { opset: self.opset })?;
        let beside = written.data_file.map(|f| format!(", data file {f}")).unwrap_or_default();
        Ok(Outcome::ok(format!(
            "{}: operator set {}, {} nodes, {} constants of {} bytes{beside}\n",
            self.out.display(),
            self.opset,
            written.nodes,
            written.constants,
            written.constant_bytes
        )))
    }
}
