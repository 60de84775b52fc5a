//! State that a model takes as inputs and gives as results.

use mindir::ckpt::{Checkpoint, LoadOptions};
use mindir::{GraphCell, Loaded, Port, Spec, Tensor, Warning};

use crate::args::{self, LimitArgs, Names, means};
use crate::failure::Failure;
use crate::input::InputArgs;
use crate::print::name;

/// Inputs for which an ONNX file has values. They are parameters here.
pub struct Optional(Vec<Port>);

impl Optional {
    pub fn of(loaded: &Loaded) -> Optional {
        let names = loaded.report.warnings.iter().filter_map(|warning| match warning {
            Warning::Defaults { inputs } => Some(inputs),
            _ => None,
        });
        let port = |name: &String| {
            let param = loaded.model.params.iter().find(|param| *param.name == **name)?;
            Some(Port { name: name.clone(), spec: Spec::fixed(param.tensor.dtype(), param.tensor.shape()) })
        };
        Optional(names.flatten().filter_map(port).collect())
    }

    /// What is given for these inputs, and what for the others.
    pub fn split(&self, all: &InputArgs) -> (InputArgs, InputArgs) {
        let is_own = |text: &&String| self.0.iter().any(|port| text.starts_with(&format!("{}=", port.name)));
        let (own, rest): (Vec<&String>, Vec<&String>) = all.inputs.iter().partition(is_own);
        let with = |inputs: Vec<&String>| InputArgs { inputs: inputs.into_iter().cloned().collect(), ..all.clone() };
        (InputArgs { shapes: Default::default(), image: Default::default(), ..with(own) }, with(rest))
    }

    /// Gives the model what is `given` for these inputs.
    pub fn give(&self, cell: &mut GraphCell, given: &InputArgs, limits: &LimitArgs) -> Result<(), Failure> {
        let is_given = |port: &&Port| given.inputs.iter().any(|text| text.starts_with(&format!("{}=", port.name)));
        let ports: Vec<Port> = self.0.iter().filter(is_given).cloned().collect();
        if ports.is_empty() {
            return Ok(());
        }
        let tensors = given.tensors(&ports, None, None, limits)?;
        if let Some((port, found)) = ports.iter().zip(&tensors).find(|(port, t)| !port.spec.takes(t.shape())) {
            let (input, expected, found) = (name(&port.name), &port.spec, found.fact());
            return Err(Failure::Usage(format!("input {input}: expected {expected}, found {found}")));
        }
        set(cell, ports.into_iter().map(|port| port.name).zip(tensors).collect())
    }
}

/// Gives parameters values of their types and shapes.
fn set(cell: &mut GraphCell, values: Checkpoint) -> Result<(), Failure> {
    if !values.is_empty() {
        cell.load_param_into_net(&values, LoadOptions { strict: true })?;
    }
    Ok(())
}

/// Where a result goes.
enum Place {
    Input(usize),
    /// One of [`Optional`].
    Param(String),
}

/// Results that are inputs of the next run.
#[derive(Default)]
pub struct Carry(Vec<(usize, Place)>);

impl Carry {
    /// What `texts`, each `OUT=IN`, say of a model.
    pub fn of(texts: &[String], cell: &GraphCell, optional: &Optional) -> Result<Carry, Failure> {
        let (inputs, outputs) = (cell.inputs(), cell.outputs());
        let ends = Ends { inputs: &inputs, outputs: &outputs, optional };
        let mut taken = Vec::new();
        let mut all = Vec::new();
        for text in texts {
            let wrong = |what: String| Failure::Usage(format!("--carry {}: {what}", name(text)));
            let (at, place, port) = ends.find(text).map_err(wrong)?;
            let found = &outputs[at].spec;
            if !may_be(found, &port.spec, &place) {
                return Err(wrong(format!("expected {} for input {}, found {found}", port.spec, name(&port.name))));
            }
            if taken.contains(&port.name) {
                return Err(wrong(format!("input {} has a result already", name(&port.name))));
            }
            taken.push(port.name.clone());
            all.push((at, place));
        }
        Ok(Carry(all))
    }

    /// Makes results inputs of the next run.
    pub fn next(&self, outputs: &[Tensor], inputs: &mut [Tensor], cell: &mut GraphCell) -> Result<(), Failure> {
        let mut values = Checkpoint::default();
        for (at, place) in &self.0 {
            let Some(result) = outputs.get(*at) else { continue };
            match place {
                Place::Input(at) => inputs.get_mut(*at).map(|input| *input = result.clone()).unwrap_or_default(),
                Place::Param(name) => values.extend([(name.clone(), result.clone())]),
            }
        }
        set(cell, values)
    }
}

/// Whether a result of this kind may be an input of that: inputs that are parameters keep their shapes.
fn may_be(found: &Spec, expected: &Spec, place: &Place) -> bool {
    let is_same = found.dtype.zip(expected.dtype).is_none_or(|(found, expected)| found == expected);
    let fits = || found.shape().is_none_or(|shape| expected.takes(&shape));
    is_same && (matches!(place, Place::Input(_)) || fits())
}

/// What results come from and go to.
struct Ends<'a> {
    inputs: &'a [Port],
    outputs: &'a [Port],
    optional: &'a Optional,
}

impl<'a> Ends<'a> {
    /// The result and the input that `OUT=IN` names. Either may have `=` in its name.
    fn find(&self, text: &str) -> Result<(usize, Place, &'a Port), String> {
        let pairs: Vec<(&str, &str)> = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..])).collect();
        let found = pairs.iter().find_map(|(out, to)| {
            let (place, port) = self.input(to)?;
            Some((self.result(out)?, place, port))
        });
        found.ok_or_else(|| match pairs.as_slice() {
            [(out, _)] if self.result(out).is_none() => {
                format!("no result is called {}; the results are {}", name(out), args::list(self.outputs))
            }
            [(_, to)] => {
                let all = [self.inputs, &self.optional.0].concat();
                format!("no input is called {}; the inputs are {}", name(to), args::list(&all))
            }
            _ => "expected OUT=IN, a result and an input".into(),
        })
    }

    /// The result with a name or a number.
    fn result(&self, text: &str) -> Option<usize> {
        let number = || text.parse().ok().filter(|at| *at < self.outputs.len());
        self.outputs.iter().position(|port| means(text, port)).or_else(number)
    }

    fn input(&self, text: &str) -> Option<(Place, &'a Port)> {
        if let Ok(Some(at)) = Names::of(self.inputs).called(text) {
            return self.inputs.get(at).map(|port| (Place::Input(at), port));
        }
        let port = self.optional.0.iter().find(|port| port.name == text)?;
        Some((Place::Param(port.name.clone()), port))
    }
}
