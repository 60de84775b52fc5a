//! Parameters that a file writes, as its nodes say before anything is built.

use std::collections::{BTreeSet, HashMap, HashSet};

use mindir_graph::op::{Const, Effect};

use super::super::framework::Framework;
use super::operator::Attributes;
use super::program::{Operator, Program, Ref, WireKind, WireNode};
use super::sym::Sym;

/// The parameters that operators seem to write. Functions that are arguments of graphs are not followed, and what is never
/// reached counts too, so building may find others.
pub(super) fn scan(program: &Program<'_>) -> BTreeSet<usize> {
    let mut scan = Scan { program, callers: HashMap::new(), fuel: program.size().saturating_mul(16) };
    let nodes = || program.graphs.iter().flat_map(|graph| &graph.nodes);
    for node in nodes() {
        if let WireKind::Call(target) = node.kind {
            scan.call(target, node.inputs.clone());
        }
    }
    let mut open: Vec<Ref> = nodes().flat_map(|node| scan.targets(node)).collect();
    let (mut seen, mut found) = (HashSet::new(), BTreeSet::new());
    while let Some(target) = open.pop() {
        if seen.insert(target) {
            match target {
                Ref::Param(param) => _ = found.insert(param),
                Ref::Input(graph, input) => open.extend(scan.callers.get(&(graph, input)).into_iter().flatten()),
                _ => open.extend(scan.node(target).map(|node| scan.same(node)).unwrap_or_default()),
            }
        }
    }
    found
}

struct Scan<'p, 'a> {
    program: &'p Program<'a>,
    /// What inputs of graphs are called with.
    callers: HashMap<(usize, usize), Vec<Ref>>,
    /// Work that calls may still take.
    fuel: usize,
}

impl<'p, 'a> Scan<'p, 'a> {
    fn node(&self, node: Ref) -> Option<&'p WireNode<'a>> {
        let Ref::Node(graph, node) = node else { return None };
        self.program.graphs.get(graph)?.nodes.get(node)
    }

    /// Takes note of a call of `function`, unless there has been too much to follow.
    fn call(&mut self, function: Ref, args: Vec<Ref>) {
        let mut open = vec![(function, args)];
        while let Some((function, args)) = open.pop() {
            if let Ref::Graph(graph) = function {
                for (input, arg) in args.into_iter().enumerate() {
                    self.callers.entry((graph, input)).or_default().push(arg);
                }
                continue;
            }
            let Some(WireNode { kind: WireKind::Framework(what), inputs, .. }) = self.node(function) else { continue };
            let work = inputs.len().saturating_mul(args.len() + 1);
            let Some(left) = self.fuel.checked_sub(work) else { return };
            self.fuel = left;
            match (what, inputs.as_slice()) {
                (Framework::Partial, [function, bound @ ..]) => open.push((*function, [bound, &args].concat())),
                (Framework::Switch | Framework::SwitchLayer, [_, functions @ ..])
                | (Framework::MakeTuple, functions) => {
                    open.extend(functions.iter().map(|function| (*function, args.clone())));
                }
                _ => {}
            }
        }
    }

    /// What a node writes.
    fn targets(&self, node: &WireNode<'a>) -> Vec<Ref> {
        let WireKind::Operator(operator) = node.kind else { return Vec::new() };
        let attributes = Attributes::of(operator, node);
        let Some(def) = operator.def else {
            return if attributes.flag("side_effect_mem") { node.inputs.clone() } else { Vec::new() };
        };
        let places = match def.effect {
            Effect::Writes(writes) => writes.args,
            Effect::WritesIf(flag, writes) if self.is_set(operator, &attributes, node, flag) => writes.args,
            _ => &[],
        };
        let through = !self.has_token(node);
        let place = |name: Ref| self.program.loaded(name).filter(|_| through).unwrap_or(name);
        places.iter().filter_map(|place| node.inputs.get(*place)).map(|name| place(*name)).collect()
    }

    /// Whether a node is ordered by an effect token.
    fn has_token(&self, node: &WireNode<'a>) -> bool {
        node.inputs.iter().any(|input| match *input {
            Ref::Const(constant) => matches!(self.program.consts.get(constant), Some(Ok(Sym::Token))),
            other => self.node(other).is_some_and(|n| matches!(n.kind, WireKind::Framework(Framework::UpdateState))),
        })
    }

    /// Whether argument `flag` is a constant that is true.
    fn is_set(&self, operator: Operator<'a>, attributes: &Attributes<'a>, node: &WireNode<'a>, flag: usize) -> bool {
        let param = operator.def.and_then(|def| def.params.get(flag));
        if let Some(attribute) = param.and_then(|param| attributes.of_param(param)) {
            return attribute.name.as_deref().is_some_and(|name| attributes.flag(name));
        }
        let Some(Ref::Const(constant)) = node.inputs.get(flag) else { return false };
        matches!(self.program.consts.get(*constant), Some(Ok(Sym::Const(value))) if **value == Const::Bool(true))
    }

    /// What the result of a node shares its memory with.
    fn same(&self, node: &WireNode<'a>) -> Vec<Ref> {
        let first = || node.inputs.first().copied().into_iter().collect();
        match node.kind {
            WireKind::Framework(Framework::Depend | Framework::Return) => first(),
            WireKind::Operator(operator) if operator.name.ends_with("View") => first(),
            _ => self.targets(node),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::mindir::{Source, WireModel};
    use crate::{Access, Limits};

    #[test]
    fn what_is_scanned_is_what_is_found() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens");
        let (mut wrong, mut writing) = (Vec::new(), 0);
        for golden in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            let Ok(source) = Source::open(golden.join("model"), Access::Map) else { continue };
            let wire = WireModel::read(source, &Limits::default()).unwrap();
            let program = Program::of(&wire.model, &[]).unwrap_or_else(|_| panic!("{}", golden.display()));
            let scanned = scan(&program);
            let model = super::super::model("model", &wire.model, &[]).unwrap();
            let found = (0..).zip(&model.params).filter(|(_, param)| param.mutable).map(|(place, _)| place).collect();
            writing += usize::from(!scanned.is_empty());
            if scanned != found {
                wrong.push(format!("{}: {scanned:?}, not {found:?}", golden.display()));
            }
        }
        assert!(wrong.is_empty() && writing > 5, "of {writing}:\n{}", wrong.join("\n"));
    }
}
