//! Two models, or two devices, on the same inputs.

use std::path::Path;
use std::sync::Arc;

use mindir::graph::Model;
use mindir::{GraphCell, Port, Tensor};

use super::{Compare, Report, Verdict};
use crate::args::{self, DeviceArgs};
use crate::difference::Criterion;
use crate::failure::Failure;
use crate::random::Fill;
use crate::stdin;

impl Compare {
    /// Runs the model, and another one or the same on another device, on the same inputs.
    pub(super) fn pair(&self, report: &mut Report) -> Result<(), Failure> {
        let model: Arc<Model> = Arc::new(self.model.load()?.0.model);
        let other = match &self.with {
            Some(path) => Arc::new(self.other(path)?),
            None => model.clone(),
        };
        let device = self.other_device.clone().unwrap_or_else(|| self.device.device.clone());
        let second = DeviceArgs { device, ..self.device.clone() };
        let [one, two] = self.names(&second.device);
        let cell = args::cell(model, self.device.options(self.threads.threads)?).map_err(Failure::of(&one))?;
        let other = args::cell(other, second.options(self.threads.threads)?).map_err(Failure::of(&two))?;
        let fill = Some(Fill::Random(0));
        let inputs = self.inputs.tensors(&cell.inputs(), cell.model().picture(), fill, &self.device.limits);
        let inputs = inputs.map_err(Failure::of(&one))?;
        let want = cell.run(&inputs).map_err(Failure::of(&one))?;
        let got = other.run(&ordered(&cell, &other, &inputs)).map_err(Failure::of(&two))?;
        [&cell, &other].into_iter().for_each(args::tell_packed);
        let names = cell.outputs().into_iter().chain(other.outputs().into_iter().skip(want.len()));
        let verdict = |(i, port): (usize, Port)| {
            let set = if self.inputs.inputs.is_empty() { "made up" } else { "given" };
            both(set, port.name, got.get(i), want.get(i), report.criterion)
        };
        report.outputs = names.enumerate().map(verdict).collect();
        Ok(())
    }

    /// What messages call the two: the models, or the devices of one.
    fn names(&self, second: &str) -> [String; 2] {
        match &self.with {
            Some(other) => [&self.model.path, other].map(|path| path.display().to_string()),
            None => [&self.device.device, second].map(|device| format!("on {device}")),
        }
    }

    fn other(&self, path: &Path) -> Result<Model, Failure> {
        if stdin::is(path) && stdin::is(&self.model.path) {
            return Err(Failure::Usage(format!("{} is one model; two are compared", stdin::NAME)));
        }
        Ok(args::load(self.model.key.source(path)?)?.model)
    }
}

/// The inputs of `cell` in the order of those of `other`: by their names if all are the same, else as they are.
fn ordered(cell: &GraphCell, other: &GraphCell, inputs: &[Tensor]) -> Vec<Tensor> {
    let (ports, others) = (cell.inputs(), other.inputs());
    let find = |port: &Port| ports.iter().zip(inputs).find(|(p, _)| p.name == port.name).map(|(_, t)| t.clone());
    let found: Option<Vec<Tensor>> = others.iter().map(find).collect();
    found.filter(|found| found.len() == inputs.len()).unwrap_or_else(|| inputs.to_vec())
}

/// The verdict on a result that both models may have.
fn both(set: &str, name: String, got: Option<&Tensor>, want: Option<&Tensor>, criterion: Criterion) -> Verdict {
    let verdict = Verdict::of(set, name, got, want, criterion);
    let problem = match (got, want) {
        (Some(_), None) => Some("only the second model has this result".into()),
        (None, _) => Some("only the first model has this result".into()),
        _ => return verdict,
    };
    Verdict { problem, ..verdict }
}
