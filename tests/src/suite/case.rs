//! Models with inputs and the results that are right.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use mindir::{GraphCell, Options, Tensor, npy};
use mindir_graph::builder::single;
use mindir_graph::graph::{Arg, Def, Model, Param};
use mindir_graph::lower::run_node;
use mindir_graph::op::{self, Effect, OpDef, Writes};
use mindir_graph::ops::OPS;

use crate::compare::units;
use crate::golden::{self, Golden};

/// A model with inputs and the results that are right.
pub struct Case {
    /// `operator/NAME/CASE`, `golden/NAME` or `onnx/NAME`.
    pub name: String,
    /// Whether results have to be equal to what is right, floats too.
    pub exact: bool,
    content: Result<Content, String>,
}

/// What a case computes.
#[derive(Clone)]
pub struct Content {
    /// The model.
    pub model: Arc<Model>,
    /// Calls, each of a model as it was read.
    pub calls: Vec<Call>,
    /// Whether the calls follow each other on one model instead.
    pub steps: bool,
    /// Parameters after the last call.
    pub after: Vec<(String, Tensor)>,
}

/// Inputs with the right results.
#[derive(Clone)]
pub struct Call {
    /// What messages call it.
    pub name: String,
    /// Inputs.
    pub inputs: Vec<Tensor>,
    /// Results; `None` for those that are not compared.
    pub wants: Vec<Option<Tensor>>,
}

/// What a runner computes.
#[derive(Clone, Debug)]
pub struct Results {
    /// Results of each call.
    pub calls: Vec<Vec<Tensor>>,
    /// The parameters that [`Content::after`] names.
    pub after: Vec<Tensor>,
}

impl Case {
    /// The content.
    ///
    /// # Errors
    /// What is wrong with the files or the reference of the case.
    pub fn content(&self) -> Result<&Content, String> {
        self.content.as_ref().map_err(Clone::clone)
    }

    fn new(name: String, exact: bool, content: Result<Content, String>) -> Case {
        Case { name, exact, content }
    }
}

impl Content {
    /// Computes it with cells of `model`, which is the case's own or stands for it.
    ///
    /// # Errors
    /// What a cell says.
    pub fn run(&self, model: &Arc<Model>, options: &Options) -> Result<Results, String> {
        let cell = || GraphCell::new(model.clone(), options.clone()).map_err(|e| e.to_string());
        let mut running = cell()?;
        let mut calls = Vec::new();
        for (i, call) in self.calls.iter().enumerate() {
            if i > 0 && !self.steps {
                running = cell()?;
            }
            calls.push(running.run(&call.inputs).map_err(|e| format!("{}: {e}", call.name))?);
        }
        let param = |(name, _): &(String, _)| running.param(name).ok_or_else(|| format!("no parameter {name}"));
        Ok(Results { calls, after: self.after.iter().map(param).collect::<Result<_, _>>()? })
    }

    /// The largest error, in units in the last place of the largest magnitude that a tensor should have.
    ///
    /// # Errors
    /// What differs besides floats.
    pub fn error(&self, got: &Results) -> Result<f64, String> {
        let mut worst = 0f64;
        for (call, got) in self.calls.iter().zip(&got.calls) {
            if call.wants.len() != got.len() {
                return Err(format!("{}: expected {} results, found {}", call.name, call.wants.len(), got.len()));
            }
            for (i, (got, want)) in got.iter().zip(&call.wants).enumerate() {
                let Some(want) = want else { continue };
                worst = worst.max(units(got, want).map_err(|e| format!("{}: result {i}: {e}", call.name))?);
            }
        }
        for (got, (name, want)) in got.after.iter().zip(&self.after) {
            worst = worst.max(units(got, want).map_err(|e| format!("parameter {name}: {e}"))?);
        }
        Ok(worst)
    }
}

impl Results {
    /// Whether all bits are those of `other`.
    ///
    /// # Errors
    /// The first tensor that differs.
    pub fn same_bits(&self, other: &Results) -> Result<(), String> {
        let all = |r: &Results| r.calls.iter().flatten().chain(&r.after).cloned().collect::<Vec<Tensor>>();
        let (got, want) = (all(self), all(other));
        if got.len() != want.len() {
            return Err(format!("{} tensors, expected {}", got.len(), want.len()));
        }
        match got.iter().zip(&want).position(|(a, b)| a.fact() != b.fact() || a.bytes() != b.bytes()) {
            Some(i) => Err(format!("other bits in tensor {i}: {:?}, expected {:?}", got[i], want[i])),
            None => Ok(()),
        }
    }
}

/// Every case.
pub fn all() -> &'static [Case] {
    static ALL: OnceLock<Vec<Case>> = OnceLock::new();
    ALL.get_or_init(|| operators().chain(goldens(&golden::folder())).chain(models()).collect())
}

/// Every case of every operator. What is right is what the operator's reference computes.
pub fn operators() -> impl Iterator<Item = Case> {
    OPS.iter().flat_map(|def| {
        let name = |case: &op::Case| format!("operator/{}/{}", def.name, case.name);
        (def.cases)().into_iter().map(move |case| Case::new(name(&case), case.exact, operator(def, &case)))
    })
}

/// A model of one node. Inputs that it writes are parameters.
fn operator(def: &'static OpDef, case: &op::Case) -> Result<Content, String> {
    let (model, inputs) = single(def, case, 1);
    let (entry, node) = (model.entry(), &model.entry().nodes[0]);
    let tensors: HashMap<_, _> = entry.inputs.iter().copied().zip(inputs).collect();
    let mut wants = run_node(&model, entry, node, &tensors).map_err(|e| e.to_string())?;
    let writes = if let Effect::Writes(writes) = node.effect() { writes } else { Writes::results(&[]) };
    let news: Vec<Tensor> = writes.pairs().filter_map(|(_, value)| wants.get(value).cloned()).collect();
    wants.truncate(wants.len().saturating_sub(writes.hidden));
    let (mut model, mut inputs) = single(def, case, wants.len());
    let written = hold_what_is_written(&mut model, &mut inputs);
    let call = Call { name: "the call".into(), inputs, wants: wants.into_iter().map(Some).collect() };
    let after = written.into_iter().zip(news).collect();
    Ok(Content { model: model.into(), calls: vec![call], steps: false, after })
}

/// Makes parameters of the inputs that the only node writes, and gives their names.
fn hold_what_is_written(model: &mut Model, inputs: &mut Vec<Tensor>) -> Vec<String> {
    let graph = &mut model.graphs[0];
    let Effect::Writes(writes) = graph.nodes[0].effect() else { return Vec::new() };
    let mut names = Vec::new();
    for arg in writes.args {
        let Some(Some(Arg::Value(id))) = graph.nodes[0].args.get(*arg) else { continue };
        let Some(place) = graph.inputs.iter().position(|input| input == id) else { continue };
        graph.inputs.remove(place);
        let value = &mut graph.values[*id];
        value.def = Def::Param(model.params.len());
        names.push(value.name.to_string());
        model.params.push(Param { name: value.name.clone(), tensor: inputs.remove(place), mutable: true });
        for (place, input) in graph.inputs.iter().enumerate() {
            graph.values[*input].def = Def::Input(place);
        }
    }
    names
}

/// Every golden in a folder. What is right is what MindSpore computed.
pub fn goldens(folder: &Path) -> impl Iterator<Item = Case> + use<> {
    golden::folders(folder).into_iter().map(|dir| {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let golden = golden::open(&dir);
        let exact = golden.as_ref().is_ok_and(|golden| golden.tolerance == 0.0);
        Case::new(format!("golden/{name}"), exact, golden.and_then(exported))
    })
}

fn exported(golden: Golden) -> Result<Content, String> {
    let model = mindir::load(&golden.graph).map_err(|e| e.to_string())?;
    let count = model.entry().inputs.len();
    let call = |set: golden::RunSet| Call { name: set.name.clone(), inputs: set.inputs(count), wants: set.outputs };
    let calls = golden.runs.into_iter().map(call).collect();
    Ok(Content { model: model.into(), calls, steps: golden.steps, after: golden.after })
}

/// Every model of `tests/onnx`. What is right is what ONNX Runtime computed.
fn models() -> impl Iterator<Item = Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.into_iter().map(|dir| {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Case::new(format!("onnx/{name}"), false, model(&dir))
    })
}

fn model(dir: &Path) -> Result<Content, String> {
    let model = mindir::load(dir.join("model.onnx")).map_err(|e| e.to_string())?;
    let arrays = |kind: &str, count: usize| {
        let paths = (0..count).map(|i| dir.join(format!("{kind}_{i}.npy")));
        paths.map(|path| npy::read(&path).map_err(|e| e.to_string())).collect::<Result<Vec<Tensor>, String>>()
    };
    let inputs = arrays("in", model.entry().inputs.len())?;
    let wants = arrays("out", model.entry().outputs.len())?.into_iter().map(Some).collect();
    let call = Call { name: "the call".into(), inputs, wants };
    Ok(Content { model: model.into(), calls: vec![call], steps: false, after: Vec::new() })
}
