//! Control flow: calls are written in place, conditions as `If`.

use super::super::body::{Body, Edge};
use super::super::types::Kind;
use super::super::{Attr, NoForm};
use super::walk::{Frame, Given, Stop, Walk};
use crate::graph::{Arg, Closure, GraphId, Node, NodeKind};
use crate::{DType, Tensor};

/// Graphs inside of each other.
const MOST_NESTED: usize = 64;
/// Graphs that are written in place, and tries of it.
const MOST_WALKED: usize = 1 << 16;

/// Where a graph ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At its results.
    Results,
    /// At a call of this graph, from which a surrounding graph goes on.
    Jump(GraphId),
}

impl End {
    /// The number that stands for this end.
    pub fn number(self) -> i64 {
        match self {
            End::Results => -1,
            End::Jump(GraphId(id)) => i64::from(id),
        }
    }
}

/// Ends, and of what kinds their values are.
pub(super) type Ends = Vec<(End, Vec<Kind>)>;

/// How a graph ends: in one of several ways, each of which has values of its own.
pub(super) struct Flow {
    /// Number of the end that a run takes, if there are several.
    pub which: Option<Edge>,
    pub ends: Vec<(End, Vec<Given>)>,
}

impl Flow {
    fn one(end: End, values: Vec<Given>) -> Flow {
        Flow { which: None, ends: vec![(end, values)] }
    }

    /// The values of an end, if it is one of these.
    pub fn at(&self, end: End) -> Option<&Vec<Given>> {
        self.ends.iter().find(|(e, _)| *e == end).map(|(_, values)| values)
    }

    /// The results of a graph that has no other end.
    fn results(self) -> Result<Vec<Given>, Stop> {
        match self.ends.into_iter().next() {
            Some((End::Results, values)) => Ok(values),
            _ => Err(Stop),
        }
    }

    /// Adds its ends to `ends`; `None` if values of one end differ in number, element type or rank.
    pub fn add_to(&self, ends: &mut Ends) -> Option<()> {
        for (end, values) in &self.ends {
            let kinds = values.iter().map(|given| given.kind.clone());
            match ends.iter_mut().find(|(e, _)| e == end) {
                None => ends.push((*end, kinds.collect())),
                Some((_, known)) if known.len() != values.len() => return None,
                Some((_, known)) => {
                    *known = known.iter().zip(kinds).map(|(a, b)| a.either(&b)).collect::<Option<_>>()?
                }
            }
        }
        Some(())
    }

    /// How a graph ends that gives `results`, as [`kinds`] lists them.
    pub fn of(ends: &Ends, results: Vec<Given>) -> Flow {
        let mut results = results.into_iter();
        let which = if ends.len() > 1 { results.next().and_then(|given| given.edge) } else { None };
        let ends = ends.iter().map(|(end, kinds)| (*end, results.by_ref().take(kinds.len()).collect())).collect();
        Flow { which, ends }
    }
}

/// Kinds of what a graph with these ends gives: the number of the one it takes if there are several, and the values of each.
pub(super) fn kinds(ends: &Ends) -> Vec<Kind> {
    let which = (ends.len() > 1).then(|| Kind::number(DType::I64));
    which.into_iter().chain(ends.iter().flat_map(|(_, kinds)| kinds.iter().cloned())).collect()
}

/// A branch whose results are not written yet, and how it ends.
type Branch = (Body, Flow);

impl<'a> Walk<'a> {
    /// Walks graph `id` and gives its results.
    pub fn call(&mut self, id: GraphId, inputs: &[Given]) -> Result<Vec<Given>, Stop> {
        self.walk(id, inputs, &[])?.results()
    }

    /// Walks graph `id`; a call of one of `targets` ends it.
    fn walk(&mut self, id: GraphId, inputs: &[Given], targets: &[GraphId]) -> Result<Flow, Stop> {
        if let Some(header) = self.header(id, targets) {
            return self.repeat(id, &header, inputs, targets);
        }
        if self.returns(id, targets) { self.around(id, inputs, targets) } else { self.inside(id, inputs, targets) }
    }

    /// Walks graph `id` itself, which may be where a loop starts.
    pub fn inside(&mut self, id: GraphId, inputs: &[Given], targets: &[GraphId]) -> Result<Flow, Stop> {
        let graph = self.model.graph(id);
        let mut frame = self.enter(id, inputs);
        self.walked += 1;
        let excess = if self.active.len() >= MOST_NESTED {
            Some(format!("graphs call each other more than {MOST_NESTED} levels deep"))
        } else {
            (self.walked > MOST_WALKED).then(|| format!("calls unfold to more than {MOST_WALKED} graphs"))
        };
        if let Some(excess) = excess {
            graph.nodes.iter().take(1).for_each(|node| self.problem(node, excess.clone()));
            return Err(Stop);
        }
        self.active.push(id);
        let outcome = self.nodes(&mut frame, graph.nodes.len(), targets);
        self.active.pop();
        match outcome? {
            Some(flow) => Ok(flow),
            None => Ok(Flow::one(End::Results, self.leave(&mut frame)?)),
        }
    }

    fn leave(&mut self, frame: &mut Frame<'a>) -> Result<Vec<Given>, Stop> {
        let outputs = frame.graph.outputs.clone();
        outputs.into_iter().map(|id| self.leaving(frame, id)).collect()
    }

    /// Walks the first `count` nodes of a graph; gives how it ends if the last node is in tail position.
    pub fn nodes(&mut self, frame: &mut Frame<'a>, count: usize, targets: &[GraphId]) -> Result<Option<Flow>, Stop> {
        let graph = frame.graph;
        for (i, node) in graph.nodes.iter().enumerate().take(count) {
            let tail = i + 1 == graph.nodes.len() && node.outputs == graph.outputs;
            match &node.kind {
                NodeKind::Op(def) => self.op(frame, node, def)?,
                NodeKind::Opaque(o) => {
                    let why = crate::OpError::Unsupported(format!("unknown primitive {}", o.op_type));
                    self.declared(frame, node, NoForm::from(why).to_string())?;
                }
                _ if tail => return self.control(frame, node, targets).map(Some),
                _ => {
                    let results = self.control(frame, node, &[])?.results()?;
                    self.bind(frame, node, &results);
                }
            }
        }
        Ok(None)
    }

    fn control(&mut self, frame: &mut Frame<'a>, node: &'a Node, targets: &[GraphId]) -> Result<Flow, Stop> {
        match &node.kind {
            NodeKind::Call(id) => {
                let args: Vec<Arg> = node.args.iter().flatten().cloned().collect();
                let inputs = self.all(frame, node, &args)?;
                self.go(node, *id, &inputs, targets)
            }
            NodeKind::If { then, otherwise } => {
                let cond = self.argument(frame, node)?;
                if let Some(truth) = cond.known.as_ref().and_then(|t| t.to_i64s().ok()) {
                    let branch = if truth.first().is_some_and(|&t| t != 0) { then } else { otherwise };
                    return self.follow(frame, node, branch, targets);
                }
                let cond = self.edge_of(&cond);
                match self.joint(then, otherwise, targets) {
                    Some(joint) => self.through(frame, node, cond, (then, otherwise), joint, targets),
                    None => self.either(frame, node, cond, (then, otherwise), targets),
                }
            }
            NodeKind::Select(branches) => self.choose(frame, node, branches, targets),
            _ => Err(Stop),
        }
    }

    /// The graph where both branches of a condition inside of a loop go on, if there is one.
    fn joint(&self, then: &Closure, otherwise: &Closure, targets: &[GraphId]) -> Option<GraphId> {
        if targets.is_empty() {
            return None;
        }
        let (one, other) = (self.ahead(then.graph, targets), self.ahead(otherwise.graph, targets));
        let both: Vec<GraphId> = one.graphs.into_iter().filter(|id| other.graphs.contains(id)).collect();
        let comes_first = |id: &GraphId| {
            let ahead = self.ahead(*id, targets);
            both.iter().all(|other| ahead.graphs.contains(other))
        };
        both.iter().copied().find(comes_first)
    }

    /// A condition whose branches both go on in graph `joint`, which is written once, after them.
    fn through(
        &mut self,
        frame: &mut Frame<'a>,
        node: &'a Node,
        cond: Edge,
        branches: (&Closure, &Closure),
        joint: GraphId,
        targets: &[GraphId],
    ) -> Result<Flow, Stop> {
        let inner = [targets, &[joint]].concat();
        let mut rest = self.either(frame, node, cond, branches, &inner)?;
        let Some(at) = rest.ends.iter().position(|(end, _)| *end == End::Jump(joint)) else { return Ok(rest) };
        let (end, values) = rest.ends.remove(at);
        let Some(which) = rest.which else { return self.go(node, joint, &values, targets) };
        if rest.ends.len() == 1 {
            rest.which = None;
        }
        let cond = self.equals(which, end.number(), DType::I64)?;
        self.book.begin_body();
        let flow = self.go(node, joint, &values, targets)?;
        let body = self.book.end_body();
        self.join(node, cond, (body, flow), (Body::default(), rest))
    }

    /// The first argument of a node, which decides where it goes on.
    pub fn argument(&mut self, frame: &mut Frame<'a>, node: &Node) -> Result<Given, Stop> {
        match node.args.first() {
            Some(Some(arg)) => self.given(frame, node, &arg.clone()),
            _ => {
                self.problem(node, "the condition is missing");
                Err(Stop)
            }
        }
    }

    pub fn all(&mut self, frame: &mut Frame<'a>, node: &Node, args: &[Arg]) -> Result<Vec<Given>, Stop> {
        args.iter().map(|a| self.given(frame, node, a)).collect()
    }

    /// Goes on with graph `id`.
    pub fn go(&mut self, node: &Node, id: GraphId, inputs: &[Given], targets: &[GraphId]) -> Result<Flow, Stop> {
        if targets.contains(&id) {
            return Ok(Flow::one(End::Jump(id), inputs.to_vec()));
        }
        if self.active.contains(&id) {
            self.problem(
                node,
                "it calls a graph that has not ended and goes on with its results; ONNX has no recursion",
            );
            return Err(Stop);
        }
        self.walk(id, inputs, targets)
    }

    /// Goes on with the graph of a closure.
    fn follow(
        &mut self,
        frame: &mut Frame<'a>,
        node: &Node,
        closure: &Closure,
        targets: &[GraphId],
    ) -> Result<Flow, Stop> {
        let inputs = self.all(frame, node, &closure.args)?;
        self.go(node, closure.graph, &inputs, targets)
    }

    /// A branch as a graph of its own.
    fn branch(
        &mut self,
        frame: &mut Frame<'a>,
        node: &Node,
        closure: &Closure,
        targets: &[GraphId],
    ) -> Result<Branch, Stop> {
        self.book.begin_body();
        let flow = self.follow(frame, node, closure, targets)?;
        Ok((self.book.end_body(), flow))
    }

    /// Ends the innermost graph with these results.
    pub fn close(&mut self, results: &[Given]) -> Body {
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
        (then, otherwise): (&Closure, &Closure),
        targets: &[GraphId],
    ) -> Result<Flow, Stop> {
        let before = self.complaints();
        let then = self.branch(frame, node, then, targets)?;
        let otherwise = self.branch(frame, node, otherwise, targets)?;
        let found = self.complaints();
        let joined = self.join(node, cond, then, otherwise);
        if joined.is_err() && found > before {
            // What a branch gives that has nodes without a form is not known.
            self.forget(found);
        }
        joined
    }

    fn join(&mut self, node: &Node, cond: Edge, then: Branch, otherwise: Branch) -> Result<Flow, Stop> {
        let mut ends = Ends::new();
        if then.1.add_to(&mut ends).and_then(|()| otherwise.1.add_to(&mut ends)).is_none() {
            self.problem(node, "its branches give results of different types or ranks");
            return Err(Stop);
        }
        let [then, otherwise] = [then, otherwise].map(|(body, flow)| {
            self.book.open.push(body);
            let results = self.outcome(&flow, &ends);
            self.close(&results)
        });
        self.book.begin_node(node.path.clone());
        let attrs = vec![("then_branch", Attr::Body(then)), ("else_branch", Attr::Body(otherwise))];
        let results = self.flow_record("If", vec![Some(cond)], attrs, &kinds(&ends));
        Ok(Flow::of(&ends, results))
    }

    /// What a graph that ends so gives, as [`kinds`] lists it for `ends`.
    pub fn outcome(&mut self, flow: &Flow, ends: &Ends) -> Vec<Given> {
        let mut out = Vec::new();
        if ends.len() > 1 {
            let only = flow.ends.first().map_or(End::Results, |(end, _)| *end);
            let number = || Given::constant(Tensor::scalar(only.number()));
            out.push(flow.which.map_or_else(number, |edge| Given::computed(edge, Kind::number(DType::I64))));
        }
        for (end, kinds) in ends {
            match flow.at(*end) {
                Some(values) => out.extend(values.iter().cloned()),
                None => out.extend(kinds.iter().map(|kind| self.blank(kind))),
            }
        }
        out
    }

    /// A value of a kind that nothing reads.
    pub fn blank(&mut self, kind: &Kind) -> Given {
        let Ok(zero) = Tensor::zeros(kind.dtype, &[]) else { return self.entering(kind.clone()) };
        let mut edge = self.book.constant(zero);
        if !kind.dims.is_empty() {
            let shape: Vec<i64> = kind.dims.iter().map(|d| d.fixed().unwrap_or(0)).collect();
            let shape = self.book.constant(Tensor::vector(&shape));
            edge = self.book.record_one("Expand", vec![Some(edge), Some(shape)], Vec::new());
        }
        Given::computed(edge, kind.clone())
    }

    /// One of several branches, as conditions inside of each other.
    fn choose(
        &mut self,
        frame: &mut Frame<'a>,
        node: &'a Node,
        branches: &[Closure],
        targets: &[GraphId],
    ) -> Result<Flow, Stop> {
        let index = self.argument(frame, node)?;
        let count = branches.len() as i64;
        if let Some(at) = index.known.as_ref().and_then(|t| t.to_i64s().ok()).and_then(|v| v.first().copied()) {
            let at = if at < 0 { at + count } else { at };
            let Some(branch) = usize::try_from(at).ok().and_then(|i| branches.get(i)) else {
                self.problem(node, format!("branch {at} of {count} is chosen"));
                return Err(Stop);
            };
            return self.follow(frame, node, branch, targets);
        }
        let dtype = index.kind.dtype;
        let index = self.edge_of(&index);
        self.choose_from(frame, node, (index, dtype), (branches, 0), targets)
    }

    fn choose_from(
        &mut self,
        frame: &mut Frame<'a>,
        node: &'a Node,
        (index, dtype): (Edge, DType),
        (branches, first): (&[Closure], usize),
        targets: &[GraphId],
    ) -> Result<Flow, Stop> {
        let [branch, rest @ ..] = branches else {
            self.problem(node, "there is no branch to choose");
            return Err(Stop);
        };
        if rest.is_empty() {
            return self.follow(frame, node, branch, targets);
        }
        let total = first + branches.len();
        let front = self.equals(index, first as i64, dtype)?;
        let back = self.equals(index, first as i64 - total as i64, dtype)?;
        let cond = self.book.record_one("Or", vec![Some(front), Some(back)], Vec::new());
        let then = self.branch(frame, node, branch, targets)?;
        self.book.begin_body();
        let flow = self.choose_from(frame, node, (index, dtype), (rest, first + 1), targets)?;
        let otherwise = (self.book.end_body(), flow);
        self.join(node, cond, then, otherwise)
    }

    pub fn equals(&mut self, x: Edge, value: i64, dtype: DType) -> Result<Edge, Stop> {
        let tensor = Tensor::from_i64s(dtype, &[], &[value]).map_err(|_| Stop)?;
        let value = self.book.constant(tensor);
        Ok(self.book.record_one("Equal", vec![Some(x), Some(value)], Vec::new()))
    }
}
