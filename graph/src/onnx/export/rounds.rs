//! Graphs that call themselves at their end, as `Loop`.

use std::collections::{HashSet, VecDeque};

use super::super::Attr;
use super::super::body::Body;
use super::super::types::Kind;
use super::flow::{End, Ends, Flow, kinds};
use super::walk::{Frame, Given, Stop, Walk};
use crate::graph::{Closure, GraphId, Node, NodeKind};
use crate::{DType, Tensor};

/// A graph that calls itself: one branch of its last node always comes back to it, the other never does.
pub(super) struct Header<'a> {
    node: &'a Node,
    again: &'a Closure,
    exit: &'a Closure,
    /// Whether the loop goes on while the condition holds, or while it does not.
    while_true: bool,
}

/// Where the calls at the ends of graphs lead.
#[derive(Default)]
pub(super) struct Ahead {
    /// Graphs, the nearest first.
    pub graphs: Vec<GraphId>,
    /// Graphs where to stop that are reached.
    stops: Vec<GraphId>,
    /// Whether some graph on the way ends with results of its own.
    ends: bool,
}

impl<'a> Walk<'a> {
    /// The graphs that graph `id` may call at its end; none if it ends with results of its own.
    fn tails(&self, id: GraphId) -> Vec<GraphId> {
        let graph = self.model.graph(id);
        match graph.nodes.last().filter(|node| node.outputs == graph.outputs) {
            Some(Node { kind: NodeKind::Call(next), .. }) => vec![*next],
            Some(node) => node.closures().iter().map(|closure| closure.graph).collect(),
            None => Vec::new(),
        }
    }

    /// Where graph `from` leads, itself included, without passing through `stops`.
    pub fn ahead(&self, from: GraphId, stops: &[GraphId]) -> Ahead {
        let mut ahead = Ahead::default();
        let mut next = VecDeque::from([from]);
        let mut seen = HashSet::new();
        while let Some(id) = next.pop_front() {
            if !seen.insert(id) {
                continue;
            }
            if stops.contains(&id) {
                ahead.stops.push(id);
                continue;
            }
            ahead.graphs.push(id);
            let tails = self.tails(id);
            ahead.ends |= tails.is_empty();
            next.extend(tails);
        }
        ahead
    }

    /// Whether graph `id` may come back to itself.
    pub fn returns(&self, id: GraphId, targets: &[GraphId]) -> bool {
        let stops = [targets, &[id]].concat();
        self.tails(id).iter().any(|tail| self.ahead(*tail, &stops).stops.contains(&id))
    }

    /// The loop that starts at graph `id`, if its last node alone chooses whether to come back to it.
    pub fn header(&self, id: GraphId, targets: &[GraphId]) -> Option<Header<'a>> {
        let graph = self.model.graph(id);
        let node = graph.nodes.last().filter(|n| n.outputs == graph.outputs)?;
        let NodeKind::If { then, otherwise } = &node.kind else { return None };
        let stops = [targets, &[id]].concat();
        let [yes, no] = [then, otherwise].map(|closure| self.ahead(closure.graph, &stops));
        let always = |ahead: &Ahead| ahead.stops == [id] && !ahead.ends;
        let never = |ahead: &Ahead| !ahead.stops.contains(&id);
        if always(&yes) && never(&no) {
            Some(Header { node, again: then, exit: otherwise, while_true: true })
        } else if always(&no) && never(&yes) {
            Some(Header { node, again: otherwise, exit: then, while_true: false })
        } else {
            None
        }
    }

    /// The condition of a loop for this state, and the frame it was computed in.
    fn condition(&mut self, id: GraphId, header: &Header<'a>, state: &[Given]) -> Result<(Given, Frame<'a>), Stop> {
        let mut frame = self.enter(id, state);
        let count = frame.graph.nodes.len() - 1;
        self.nodes(&mut frame, count, &[])?;
        let mut cond = self.argument(&mut frame, header.node)?;
        if !header.while_true {
            let edge = self.edge_of(&cond);
            let not = self.book.record_one("Not", vec![Some(edge)], Vec::new());
            cond = Given::computed(not, cond.kind);
        }
        Ok((cond, frame))
    }

    /// Writes a loop as `Loop`, then what follows it.
    pub fn repeat(
        &mut self,
        id: GraphId,
        header: &Header<'a>,
        start: &[Given],
        targets: &[GraphId],
    ) -> Result<Flow, Stop> {
        self.active.push(id);
        let last = self.turns(id, header, start);
        let outcome = last.and_then(|last| {
            let (_, mut frame) = self.condition(id, header, &last)?;
            let inputs = self.all(&mut frame, header.node, &header.exit.args)?;
            self.go(header.node, header.exit.graph, &inputs, targets)
        });
        self.active.pop();
        outcome
    }

    /// The `Loop`; gives the state after it.
    fn turns(&mut self, id: GraphId, header: &Header<'a>, start: &[Given]) -> Result<Vec<Given>, Stop> {
        let (first, _) = self.condition(id, header, start)?;
        let mut inputs = vec![None, Some(self.edge_of(&first))];
        for given in start {
            inputs.push(Some(self.edge_of(given)));
        }
        // A dimension that a turn changes is open; what is left of the others may change then.
        let mut kinds: Vec<Kind> = start.iter().map(|g| g.kind.clone()).collect();
        let (mark, complaints) = (self.book.mark(), self.complaints());
        loop {
            let (body, next) = self.turn(id, header, &kinds)?;
            let joined: Option<Vec<Kind>> = kinds.iter().zip(&next).map(|(a, b)| a.either(&b.kind)).collect();
            let Some(joined) = joined.filter(|_| next.len() == kinds.len()) else {
                self.problem(header.node, "a value that the loop carries changes its type or rank");
                return Err(Stop);
            };
            if joined == kinds {
                self.book.begin_node(header.node.path.clone());
                return Ok(self.flow_record("Loop", inputs, vec![("body", Attr::Body(body))], &kinds));
            }
            kinds = joined;
            self.book.drop_since(mark);
            self.forget(complaints);
        }
    }

    /// The body of a loop whose state is of these kinds, and the state after it.
    fn turn(&mut self, id: GraphId, header: &Header<'a>, kinds: &[Kind]) -> Result<(Body, Vec<Given>), Stop> {
        self.book.begin_body();
        let (own, state) = self.ports(kinds);
        let (_, mut frame) = self.condition(id, header, &state)?;
        let args = self.all(&mut frame, header.node, &header.again.args)?;
        let flow = self.go(header.node, header.again.graph, &args, &[id])?;
        let next = flow.at(End::Jump(id)).cloned().ok_or(Stop)?;
        let (cond, _) = self.condition(id, header, &next)?;
        let results: Vec<Given> = std::iter::once(cond).chain(next.iter().cloned()).collect();
        let mut body = self.close(&results);
        enters(&mut body, &own, &state);
        Ok((body, next))
    }

    /// The inputs of a loop's body: turn and condition, and values of these kinds.
    fn ports(&mut self, kinds: &[Kind]) -> Ports {
        let own = [DType::I64, DType::Bool].map(|dtype| self.entering(Kind::number(dtype)));
        (own, kinds.iter().map(|kind| self.entering(kind.clone())).collect())
    }

    /// Writes a graph that comes back to itself from anywhere inside of it, and leaves for several places, as a `Loop` that
    /// carries the graph's inputs and what each of these places needs.
    pub fn around(&mut self, id: GraphId, start: &[Given], targets: &[GraphId]) -> Result<Flow, Stop> {
        let node = self.model.graph(id).nodes.last().ok_or(Stop)?;
        let begins: Vec<Kind> = start.iter().map(|given| given.kind.clone()).collect();
        let inner = [targets, &[id]].concat();
        let key = (id, begins.clone(), inner.clone());
        let mut ends = self.rounds.get(&key).cloned().unwrap_or_else(|| vec![(End::Jump(id), begins)]);
        let (mark, complaints) = (self.book.mark(), self.complaints());
        loop {
            self.book.begin_body();
            let (_, carried) = ends.first().ok_or(Stop)?;
            let ports = self.ports(carried);
            let flow = self.inside(id, &ports.1, &inner)?;
            let mut joined = ends.clone();
            if flow.add_to(&mut joined).is_none() {
                self.problem(node, "a value that the loop carries changes its type or rank");
                return Err(Stop);
            }
            if joined == ends {
                self.rounds.insert(key, joined);
                return self.write(node, ends, start, &flow, ports);
            }
            ends = joined;
            self.book.drop_since(mark);
            self.forget(complaints);
        }
    }

    /// The `Loop` whose body is open and ends as `flow` says. The first of `ends` is another turn.
    fn write(
        &mut self,
        node: &Node,
        mut ends: Ends,
        start: &[Given],
        flow: &Flow,
        (own, mut state): Ports,
    ) -> Result<Flow, Stop> {
        let (again, carried) = ends.remove(0);
        if ends.is_empty() {
            self.problem(node, "nothing ends the loop");
            return Err(Stop);
        }
        let truth = |truth: bool| Tensor::from_bools(&[], &[truth]).map_err(|_| Stop);
        let more = match flow.which {
            Some(which) => {
                let more = self.equals(which, again.number(), DType::I64)?;
                Given::computed(more, Kind::number(DType::Bool))
            }
            None => Given::constant(truth(false)?),
        };
        let next = flow.at(again).cloned().unwrap_or_else(|| state.clone());
        let results: Vec<Given> = [more].into_iter().chain(next).chain(self.outcome(flow, &ends)).collect();
        let left = kinds(&ends);
        for kind in &left {
            state.push(self.entering(kind.clone()));
        }
        let mut body = self.close(&results);
        enters(&mut body, &own, &state);
        self.book.begin_node(node.path.clone());
        let mut inputs = vec![None, Some(self.book.constant(truth(true)?))];
        for given in start {
            inputs.push(Some(self.edge_of(given)));
        }
        for kind in &left {
            inputs.push(self.blank(kind).edge);
        }
        let all: Vec<Kind> = carried.iter().chain(&left).cloned().collect();
        let mut last = self.flow_record("Loop", inputs, vec![("body", Attr::Body(body))], &all);
        Ok(Flow::of(&ends, last.split_off(carried.len())))
    }
}

/// The inputs of a loop's body: the turn and the condition, and the state.
type Ports = ([Given; 2], Vec<Given>);

/// States the inputs of a loop's body.
fn enters(body: &mut Body, own: &[Given; 2], state: &[Given]) {
    let ports = || own.iter().chain(state);
    body.inputs = ports().filter_map(|port| port.edge).collect();
    body.types = ports().map(|port| (port.kind.dtype, port.kind.lengths())).collect();
}
