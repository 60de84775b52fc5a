//! What a checked file means: from messages to a [`Model`].
//!
//! `literal` and `form` read values and descriptions, `interface` what callers see; `program` resolves names; `walk` builds one graph, with `operator`
//! for operators, `places` for what they write in place, `alias` for results of calls that may be other tensors, and `call` for control flow and the graphs that it needs; `tidy`
//! removes what nobody needs.
//! `written` says beforehand which parameters change; what only building finds out is built again.

mod alias;
mod call;
mod ending;
mod fault;
mod form;
mod interface;
mod literal;
mod operator;
mod places;
mod preprocess;
mod program;
mod sym;
mod tidy;
mod walk;
mod written;

use mindir_graph::graph::{Format, Model, Origin};
use mindir_graph::op::OpDef;
use mindir_graph::verify;
use mindir_proto::mindir::ModelProto;

use self::call::Shared;
use self::fault::Located;
use self::places::Writes;
use self::program::Program;
use crate::error::LoadError;

pub use fault::GraphFault;

/// Rounds until it is known which parameters change, which inputs graphs write, and which of them they return.
const ROUNDS: usize = 32;

/// The model that `proto`, the contents of `file`, describes. Operators may be those of the list and `given`.
pub(super) fn model(file: &str, proto: &ModelProto, given: &'static [OpDef]) -> Result<Model, LoadError> {
    read(proto, given).map_err(|Located { graph, node, fault }| {
        let (file, fault) = (file.to_string(), Box::new(fault));
        LoadError::Graph { file, graph, node, fault }
    })
}

fn read(proto: &ModelProto, given: &'static [OpDef]) -> Result<Model, Located> {
    let mut program = Program::of(proto, given)?;
    let (mut written, mut writes) = (written::scan(&program), Writes::default());
    for round in 0..ROUNDS {
        let mut shared = Shared::new(&program, written.clone(), writes);
        let graphs = call::build(&program, &mut shared)?;
        let settled = shared.writes.settle();
        writes = shared.writes;
        // The scan may have said too much, later rounds only add to what was found.
        let known = if round == 0 { shared.found == written } else { shared.found.is_subset(&written) };
        if !known && round == 0 {
            written.clear();
        }
        if !settled || !known {
            written.append(&mut shared.found);
            continue;
        }
        for param in &shared.found {
            if let Some(param) = program.params.get_mut(*param) {
                param.mutable = true;
            }
        }
        let model =
            Model { origin: origin(proto), graphs, params: program.params, preprocess: preprocess::preprocess(proto) };
        verify(&model).map_err(|error| GraphFault::from(error).at("", ""))?;
        return Ok(model);
    }
    Err(GraphFault::Excess("writes").at("", ""))
}

fn origin(proto: &ModelProto) -> Origin {
    let pairs = proto.user_info.iter();
    Origin {
        producer: proto.producer_name.clone().unwrap_or_default(),
        version: proto.model_version.clone().unwrap_or_default(),
        format: Format::MindIr { version: proto.mind_ir_version.unwrap_or_default() },
        user_info: pairs.map(|(key, value)| (key.clone(), value.clone())).collect(),
    }
}
