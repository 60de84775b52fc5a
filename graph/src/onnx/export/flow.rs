//! Control flow: calls are written in place, conditions as `If`, calls back to a running graph as `Loop`.

use super::super::body::{Body, Edge};
use super::super::types::Kind;
use super::super::{Attr, NoForm};
use super::walk::{Frame, Given, Stop, Walk};
use crate::graph::{Arg, Closure, GraphId, Model, Node, NodeKind};
use crate::{DType, Tensor};

/// Graphs inside of each other.
const MOST_NESTED: usize = 64;

/// How a graph ends.
enum Flow {
    /// With these results.
    Results(Vec<Given>),
    /// With a jump to the loop that surrounds it, with these arguments.
    Jump(Vec<Given>),
}

/// A graph that calls itself: which branch of its last node goes round.
struct Header<'a> {
    node: &'a Node,
    again: &'a Closure,
    exit: &'a Closure,
    /// Whether the loop goes on while the condition holds, or while it does not.
    while_true: bool,
}

impl<'a> Walk<'a> {
    /// Walks graph `id` and gives its results.
    pub fn call(&mut self, id: GraphId, inputs: &[Given]) -> Result<Vec<Given>, Stop> {
        match self.walk(id, inputs, None)? {
            Flow::Results(results) => Ok(results),
            Flow::Jump(_) => Err(Stop),
        }
    }

    /// Walks graph `id`; a jump to `target` ends it.
    fn walk(&mut self, id: GraphId, inputs: &[Given], target: Option<GraphId>) -> Result<Flow, Stop> {
        let graph = self.model.graph(id);
        if let Some(header) = self.header(id, target) {
            return self.repeat(id, &header, inputs, target);
        }
        let mut frame = self.enter(id, inputs);
        if self.active.len() >= MOST_NESTED {
            if let Some(node) = graph.nodes.first() {
                self.problem(node, format!("graphs call each other more than {MOST_NESTED} levels deep"));
            }
            return Err(Stop);
        }
        self.active.push(id);
        let outcome = self.nodes(&mut frame, graph.nodes.len(), target);
        self.active.pop();
        match outcome? {
            Some(flow) => Ok(flow),
            None => Ok(Flow::Results(self.leave(&mut frame)?)),
        }
    }

    fn leave(&mut self, frame: &mut Frame<'a>) -> Result<Vec<Given>, Stop> {
        let outputs = frame.graph.outputs.clone();
        outputs.into_iter().map(|id| self.leaving(frame, id)).collect()
    }

    /// Walks the first `count` nodes of a graph; gives how it ends if the last node is in tail position.
    fn nodes(&mut self, frame: &mut Frame<'a>, count: usize, target: Option<GraphId>) -> Result<Option<Flow>, Stop> {
        let graph = frame.graph;
        for (i, node) in graph.nodes.iter().enumerate().take(count) {
            let tail = i + 1 == graph.nodes.len() && node.outputs == graph.outputs;
            match &node.kind {
                NodeKind::Op(def) => self.op(frame, node, def)?,
                NodeKind::Opaque(o) => {
                    let why = crate::OpError::Unsupported(format!("unknown primitive {}", o.op_type));
                    self.declared(frame, node, NoForm::from(why).to_string())?;
                }
                NodeKind::Call(_) | NodeKind::If { .. } | NodeKind::Select(_) => {
                    let flow = self.control(frame, node, if tail { target } else { None })?;
                    match flow {
                        _ if tail => return Ok(Some(flow)),
                        Flow::Results(results) => self.bind(frame, node, &results),
                        Flow::Jump(_) => return Err(Stop),
                    }
                }
            }
        }
        Ok(None)
    }

    fn control(&mut self, frame: &mut Frame<'a>, node: &'a Node, target: Option<GraphId>) -> Result<Flow, Stop> {
        match &node.kind {
            NodeKind::Call(id) => {
                let args: Vec<Arg> = node.args.iter().flatten().cloned().collect();
                let inputs = self.all(frame, node, &args)?;
                self.go(node, *id, &inputs, target)
            }
            NodeKind::If { then, otherwise } => {
                let cond = self.argument(frame, node)?;
                if let Some(truth) = cond.known.as_ref().and_then(|t| t.to_i64s().ok()) {
                    let branch = if truth.first().is_some_and(|&t| t != 0) { then } else { otherwise };
                    let inputs = self.all(frame, node, &branch.args)?;
                    return self.go(node, branch.graph, &inputs, target);
                }
                let cond = self.edge_of(&cond);
                self.either(frame, node, cond, then, otherwise).map(Flow::Results)
            }
            NodeKind::Select(branches) => self.choose(frame, node, branches).map(Flow::Results),
            _ => Err(Stop),
        }
    }

    fn argument(&mut self, frame: &mut Frame<'a>, node: &Node) -> Result<Given, Stop> {
        match node.args.first() {
            Some(Some(arg)) => self.given(frame, node, &arg.clone()),
            _ => {
                self.problem(node, "the condition is missing");
                Err(Stop)
            }
        }
    }

    fn all(&mut self, frame: &mut Frame<'a>, node: &Node, args: &[Arg]) -> Result<Vec<Given>, Stop> {
        args.iter().map(|a| self.given(frame, node, a)).collect()
    }

    fn go(&mut self, node: &Node, id: GraphId, inputs: &[Given], target: Option<GraphId>) -> Result<Flow, Stop> {
        if target == Some(id) {
            return Ok(Flow::Jump(inputs.to_vec()));
        }
        if self.active.contains(&id) {
            self.problem(node, "it goes back to a loop from inside of another loop or condition; ONNX's Loop goes round at its end only");
            return Err(Stop);
        }
        self.walk(id, inputs, target)
    }

    /// A branch as a graph of its own, and its results.
    fn branch(&mut self, frame: &mut Frame<'a>, node: &Node, closure: &Closure) -> Result<(Body, Vec<Given>), Stop> {
        let inputs = self.all(frame, node, &closure.args)?;
        self.book.begin_body();
        let results = match self.go(node, closure.graph, &inputs, None)? {
            Flow::Results(results) => results,
            Flow::Jump(_) => return Err(Stop),
        };
        Ok((self.close(&results), results))
    }

    /// Ends the innermost graph with these results.
    fn close(&mut self, results: &[Given]) -> Body {
        let outputs = self.named(results);
        let mut body = self.book.end_body();
        body.outputs = outputs;
        body
    }

    fn either(
        &mut self,
        frame: &mut Frame<'a>,
        node: &'a Node,
        cond: Edge,
        then: &Closure,
        otherwise: &Closure,
    ) -> Result<Vec<Given>, Stop> {
        let (then, yes) = self.branch(frame, node, then)?;
        let (otherwise, no) = self.branch(frame, node, otherwise)?;
        self.join(node, cond, (then, yes), (otherwise, no))
    }

    fn join(
        &mut self,
        node: &Node,
        cond: Edge,
        (then, yes): (Body, Vec<Given>),
        (otherwise, no): (Body, Vec<Given>),
    ) -> Result<Vec<Given>, Stop> {
        let kinds: Option<Vec<Kind>> = yes.iter().zip(&no).map(|(a, b)| a.kind.either(&b.kind)).collect();
        let Some(kinds) = kinds.filter(|_| yes.len() == no.len()) else {
            self.problem(node, "its branches give results of different types or ranks");
            return Err(Stop);
        };
        self.book.begin_node(node.path.clone());
        let attrs = vec![("then_branch", Attr::Body(then)), ("else_branch", Attr::Body(otherwise))];
        Ok(self.flow_record("If", vec![Some(cond)], attrs, &kinds))
    }

    /// One of several branches, as conditions inside of each other.
    fn choose(&mut self, frame: &mut Frame<'a>, node: &'a Node, branches: &[Closure]) -> Result<Vec<Given>, Stop> {
        let index = self.argument(frame, node)?;
        let count = branches.len() as i64;
        if let Some(at) = index.known.as_ref().and_then(|t| t.to_i64s().ok()).and_then(|v| v.first().copied()) {
            let at = if at < 0 { at + count } else { at };
            let Some(branch) = usize::try_from(at).ok().and_then(|i| branches.get(i)) else {
                self.problem(node, format!("branch {at} of {count} is chosen"));
                return Err(Stop);
            };
            let inputs = self.all(frame, node, &branch.args)?;
            return self.go(node, branch.graph, &inputs, None).and_then(|f| match f {
                Flow::Results(results) => Ok(results),
                Flow::Jump(_) => Err(Stop),
            });
        }
        let dtype = index.kind.dtype;
        let index = self.edge_of(&index);
        self.choose_from(frame, node, index, dtype, branches, 0)
    }

    fn choose_from(
        &mut self,
        frame: &mut Frame<'a>,
        node: &'a Node,
        index: Edge,
        dtype: DType,
        branches: &[Closure],
        first: usize,
    ) -> Result<Vec<Given>, Stop> {
        let [branch, rest @ ..] = branches else {
            self.problem(node, "there is no branch to choose");
            return Err(Stop);
        };
        if rest.is_empty() {
            let inputs = self.all(frame, node, &branch.args)?;
            return match self.go(node, branch.graph, &inputs, None)? {
                Flow::Results(results) => Ok(results),
                Flow::Jump(_) => Err(Stop),
            };
        }
        let total = first + branches.len();
        let front = self.equals(index, first as i64, dtype)?;
        let back = self.equals(index, first as i64 - total as i64, dtype)?;
        let cond = self.book.record("Or", vec![Some(front), Some(back)], Vec::new(), 1)[0];
        let then = self.branch(frame, node, branch)?;
        self.book.begin_body();
        let results = self.choose_from(frame, node, index, dtype, rest, first + 1)?;
        let otherwise = (self.close(&results), results);
        self.join(node, cond, then, otherwise)
    }

    fn equals(&mut self, x: Edge, value: i64, dtype: DType) -> Result<Edge, Stop> {
        let tensor = Tensor::from_i64s(dtype, &[], &[value]).map_err(|_| Stop)?;
        let value = self.book.constant(tensor);
        Ok(self.book.record("Equal", vec![Some(x), Some(value)], Vec::new(), 1)[0])
    }

    /// The loop that starts at graph `id`: its last node chooses whether to come back to it.
    fn header(&self, id: GraphId, target: Option<GraphId>) -> Option<Header<'a>> {
        let graph = self.model.graph(id);
        let node = graph.nodes.last().filter(|n| n.outputs == graph.outputs)?;
        let NodeKind::If { then, otherwise } = &node.kind else { return None };
        let avoid: Vec<GraphId> = self.active.iter().copied().chain(target).collect();
        let back = |c: &Closure| reaches(self.model, c.graph, id, &avoid);
        match (back(then), back(otherwise)) {
            (true, false) => Some(Header { node, again: then, exit: otherwise, while_true: true }),
            (false, true) => Some(Header { node, again: otherwise, exit: then, while_true: false }),
            _ => None,
        }
    }

    /// The condition of a loop for this state, and the frame it was computed in.
    fn condition(&mut self, id: GraphId, header: &Header<'a>, state: &[Given]) -> Result<(Given, Frame<'a>), Stop> {
        let mut frame = self.enter(id, state);
        let count = frame.graph.nodes.len() - 1;
        self.nodes(&mut frame, count, None)?;
        let mut cond = self.argument(&mut frame, header.node)?;
        if !header.while_true {
            let edge = self.edge_of(&cond);
            let not = self.book.record("Not", vec![Some(edge)], Vec::new(), 1)[0];
            cond = Given::computed(not, cond.kind);
        }
        Ok((cond, frame))
    }

    /// Writes a loop as `Loop`, then what follows it.
    fn repeat(
        &mut self,
        id: GraphId,
        header: &Header<'a>,
        start: &[Given],
        target: Option<GraphId>,
    ) -> Result<Flow, Stop> {
        self.active.push(id);
        let last = self.turns(id, header, start);
        let outcome = last.and_then(|last| {
            let (_, mut frame) = self.condition(id, header, &last)?;
            let inputs = self.all(&mut frame, header.node, &header.exit.args)?;
            self.go(header.node, header.exit.graph, &inputs, target)
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
        let own = [DType::I64, DType::Bool].map(|dtype| Kind { dtype, dims: Vec::new() });
        let ports: Vec<Given> = own.iter().chain(kinds).map(|kind| self.entering(kind.clone())).collect();
        let (_, mut frame) = self.condition(id, header, &ports[2..])?;
        let args = self.all(&mut frame, header.node, &header.again.args)?;
        let next = match self.go(header.node, header.again.graph, &args, Some(id))? {
            Flow::Jump(next) => next,
            Flow::Results(_) => {
                self.problem(header.node, "the loop is left from inside of its body");
                return Err(Stop);
            }
        };
        let (cond, _) = self.condition(id, header, &next)?;
        let results: Vec<Given> = std::iter::once(cond).chain(next.iter().cloned()).collect();
        let mut body = self.close(&results);
        body.inputs = ports.iter().filter_map(|port| port.edge).collect();
        body.types = ports.iter().map(|port| (port.kind.dtype, port.kind.lengths())).collect();
        Ok((body, next))
    }
}

/// Whether a call of `from` can lead to a call of `to` without passing through `avoid`.
fn reaches(model: &Model, from: GraphId, to: GraphId, avoid: &[GraphId]) -> bool {
    let mut seen = vec![false; model.graphs.len()];
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        if id == to {
            return true;
        }
        if avoid.contains(&id) || std::mem::replace(&mut seen[id.0 as usize], true) {
            continue;
        }
        for node in &model.graph(id).nodes {
            if let NodeKind::Call(g) = node.kind {
                open.push(g);
            }
            open.extend(node.closures().iter().map(|c| c.graph));
        }
    }
    false
}
