//! Made-up inputs that a model takes.

use std::sync::Arc;

use mindir_graph::graph::Model;
use mindir_graph::random::SplitMix;
use mindir_graph::{DType, Dim, Fact, Tensor, bounds};

use crate::machine::Isa;
use crate::{Error, GraphCell, InputError, Port};

/// Lengths that open dimensions get, as far as a model takes them.
const LENGTHS: [usize; 11] = [3, 1, 2, 4, 7, 8, 16, 32, 64, 128, 224];
/// How many of them.
const SIZES: usize = 3;
/// Inputs with more elements are not tried.
const MOST: usize = 1 << 24;

/// Inputs for one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// What they hold: `random 1`, `special 2`.
    pub name: String,
    /// One for each input of the model.
    pub inputs: Vec<Tensor>,
}

/// Seeded inputs that `model` takes.
///
/// `random` ones are floats with mean 0 and deviation 1 and integers 0 or 1, which every mask and index allows, or below 8 in
/// a second set where the model takes them. In `special` ones of models with float inputs, some elements are NaN, infinite, −0
/// or denormal. `dims` stand for the dimensions that the model declares of an input. Those that are open get up to three
/// lengths that the model takes: the first of an input, and others of its name, 2 and the others equal, or all equal.
///
/// # Errors
/// The model's answer to the last inputs if it takes none; [`InputError::Unstated`].
pub fn inputs(model: &Arc<Model>, dims: &[Option<Vec<Dim>>], options: &crate::Options) -> Result<Vec<Set>, Error> {
    let graph = model.entry();
    let mut ports: Vec<Port> = graph.inputs.iter().map(|v| Port::of(graph, *v)).collect();
    for (port, dims) in ports.iter_mut().zip(dims) {
        port.spec.dims = dims.as_ref().map(|dims| dims.iter().cloned().collect()).or(port.spec.dims.take());
    }
    let is_open = ports.iter().any(|p| p.spec.shape().is_none());
    let options = crate::Options {
        threads: Some(1),
        isa: Some(Isa::Scalar),
        disabled_passes: vec!["all".into()],
        ..options.clone()
    };
    let cell = GraphCell::new(model.clone(), options)?;
    let mut refusal = None;
    let mut takes = |kind, facts: &[Fact], seed| {
        let set = cell.bounded(|| made(kind, facts, seed));
        let answer = set.and_then(|set| cell.run(&set.inputs).map(|_| set));
        answer.map_err(|e| refusal = Some(e)).ok()
    };
    let mut sets: Vec<Set> = Vec::new();
    let mut lengths: Vec<usize> = Vec::new();
    let mut tried: Vec<Vec<Fact>> = Vec::new();
    for (first, rest) in LENGTHS.iter().flat_map(|&n| [(2, n), (n, n)]) {
        let facts = facts(&ports, first, rest)?;
        if lengths.contains(&rest) || lengths.len() == SIZES || tried.contains(&facts) {
            continue;
        }
        tried.push(facts.clone());
        if facts.iter().map(Fact::count).fold(0, usize::saturating_add) > MOST && is_open {
            continue;
        }
        if let Some(set) = takes(Kind::Random, &facts, sets.len() as u64 + 1) {
            lengths.push(rest);
            sets.push(set);
        }
        if !is_open {
            break;
        }
    }
    let Some(facts) = sets.first().map(|set| set.inputs.iter().map(Tensor::fact).collect::<Vec<_>>()) else {
        return refusal.map_or(Ok(sets), Err);
    };
    if facts.is_empty() {
        return Ok(sets);
    }
    let next = sets.len() as u64 + 1;
    sets.extend(takes(Kind::Wide, &facts, next));
    if facts.iter().any(|f| f.dtype.is_float()) {
        sets.extend(takes(Kind::Special, &facts, next + 1));
    }
    Ok(sets)
}

/// Inputs whose open dimensions are `first` where they, or one of their name, come first of several, else `rest`.
fn facts(ports: &[Port], first: usize, rest: usize) -> Result<Vec<Fact>, Error> {
    let firsts = ports.iter().filter_map(|port| port.spec.dims.as_ref().filter(|dims| dims.len() > 1)?.first());
    let firsts: Vec<&Dim> = firsts.filter(|dim| matches!(dim, Dim::Named(_))).collect();
    let fact = |port: &Port| {
        let unstated = || InputError::Unstated { name: port.name.clone(), expected: Box::new(port.spec.clone()) };
        let dtype = port.spec.dtype.ok_or_else(unstated)?;
        let dims = port.spec.dims.as_ref().ok_or_else(unstated)?;
        let length = |(at, dim): (usize, &Dim)| match dim {
            Dim::Known(n) => *n,
            Dim::Unknown if at == 0 && dims.len() > 1 => first,
            Dim::Named(_) if firsts.contains(&dim) => first,
            Dim::Named(_) | Dim::Unknown => rest,
        };
        Ok(Fact::new(dtype, &dims.iter().enumerate().map(length).collect::<Vec<_>>()))
    };
    ports.iter().map(fact).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Random,
    /// As `Random`, with integers below 8.
    Wide,
    Special,
}

fn made(kind: Kind, facts: &[Fact], seed: u64) -> Result<Set, Error> {
    let name = if kind == Kind::Special { "special" } else { "random" };
    let mut numbers = Numbers(SplitMix(seed.wrapping_mul(0xd134_2543_de82_ef95)));
    let inputs = facts.iter().map(|fact| numbers.tensor(kind, fact)).collect::<Result<_, Error>>()?;
    Ok(Set { name: format!("{name} {seed}"), inputs })
}

/// What inputs are made of.
struct Numbers(SplitMix);

impl Numbers {
    fn tensor(&mut self, kind: Kind, fact: &Fact) -> Result<Tensor, Error> {
        let count = fact.count();
        // Numbers first, of 8 bytes each, then the tensor.
        let numbers = count.saturating_mul(if fact.dtype.is_complex() { 16 } else { 8 });
        let _room = bounds::room(numbers.saturating_add(fact.bytes()))?;
        let tensor = match fact.dtype {
            DType::C64 | DType::C128 => {
                let part = if fact.dtype == DType::C64 { DType::F32 } else { DType::F64 };
                let parts: Vec<f64> = (0..2 * count).map(|_| self.0.normal()).collect();
                let flat = Tensor::from_f64s(part, &[2 * count], &parts)?;
                Tensor::from_bytes(fact.dtype, &fact.shape, flat.bytes().clone())?
            }
            dtype if dtype.is_float() => {
                let data: Vec<f64> = (0..count).map(|_| self.float(kind, dtype)).collect();
                Tensor::from_f64s(dtype, &fact.shape, &data)?
            }
            dtype => {
                let below = if kind == Kind::Wide && dtype != DType::Bool { 8 } else { 2 };
                let data: Vec<i64> = (0..count).map(|_| (self.0.bits() >> 32) as i64 % below).collect();
                Tensor::from_i64s(dtype, &fact.shape, &data)?
            }
        };
        Ok(tensor)
    }

    fn float(&mut self, kind: Kind, dtype: DType) -> f64 {
        let smallest = match dtype {
            DType::F16 => 2f64.powi(-24),
            DType::BF16 => 2f64.powi(-133),
            DType::F32 => 2f64.powi(-149),
            _ => f64::from_bits(1),
        };
        match self.0.bits() {
            bits if kind == Kind::Special && bits % 40 == 0 => match (bits >> 32) % 6 {
                0 => -0.0,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                3 => f64::NAN,
                4 => smallest,
                _ => -smallest,
            },
            _ => self.0.normal(),
        }
    }
}
