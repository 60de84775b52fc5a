//! What holds of the ONNX form of every operator in the list, and of models.

use mindir_graph::builder::{Builder, single};
use mindir_graph::graph::{Arg, Closure, ValueId};
use mindir_graph::onnx::{Attr, Body, Dimension, Edge, ExportError, Exported, OPSETS, Options, export};
use mindir_graph::op::{Case, Const, OpDef};
use mindir_graph::ops::OPS;
use mindir_graph::{DType, Dim, Spec, Tensor};

fn options() -> Options {
    Options { opset: *OPSETS.end(), ..Options::default() }
}

/// The ONNX form of one case, or the reasons against it.
fn form(def: &'static OpDef, case: &Case, open: bool, opset: i64) -> Result<Exported, Vec<String>> {
    // More results than an operator has are refused.
    for results in (1..=8).rev() {
        let (mut model, _) = single(def, case, results);
        if open {
            let specs = model.graphs[0].values.iter_mut().map(|v| &mut v.spec);
            specs.flat_map(|s| s.dims.iter_mut().flatten()).for_each(|d| *d = Dim::Unknown);
        }
        match export(&model, Options { opset, ..Options::default() }) {
            Ok(done) => return Ok(done),
            Err(ExportError::Nodes(nodes)) => {
                let reasons: Vec<String> = nodes.iter().map(|n| n.reason.clone()).collect();
                if reasons.iter().all(|r| !r.contains("is read before it exists")) {
                    return Err(reasons);
                }
            }
            Err(e) => return Err(vec![e.to_string()]),
        }
    }
    Err(vec!["no number of results fits".into()])
}

/// Every operator has a form or says why not, for every case.
#[test]
fn every_operator_answers() {
    let mut silent = Vec::new();
    for def in OPS {
        for case in (def.cases)() {
            for opset in [*OPSETS.start(), *OPSETS.end()] {
                if let Err(reasons) = form(def, &case, false, opset)
                    && reasons.iter().any(|r| r.is_empty() || r == "no mapping is known")
                {
                    silent.push(format!("{} ({}): {reasons:?}", def.name, case.name));
                }
            }
        }
    }
    assert!(silent.is_empty(), "{} cases have neither form nor reason:\n{}", silent.len(), silent.join("\n"));
}

/// Names are unique, every value that is read exists, and no node is written that nobody reads.
#[test]
fn records_are_consistent() {
    let mut wrong = Vec::new();
    for def in OPS {
        for case in (def.cases)() {
            for open in [false, true] {
                if let Ok(done) = form(def, &case, open, *OPSETS.start())
                    && let Err(e) = consistent(&done)
                {
                    wrong.push(format!("{} ({}): {e}", def.name, case.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn consistent(done: &Exported) -> Result<(), String> {
    let mut names: Vec<&String> = done.names.values().collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|w| w[0] == w[1]) {
        return Err(format!("two values are called {}", pair[0]));
    }
    let mut known: Vec<Edge> = done.constants.iter().map(|c| c.0).collect();
    known.extend(done.inputs.iter().map(|p| p.edge));
    body(&done.body, &mut known, done)
}

fn body(body: &Body, known: &mut Vec<Edge>, done: &Exported) -> Result<(), String> {
    known.extend(&body.inputs);
    let missing = |e: &Edge, known: &[Edge]| format!("{e:?} is read before it exists, of {}", known.len());
    for node in &body.nodes {
        if let Some(e) = node.inputs.iter().flatten().find(|e| !known.contains(e)) {
            return Err(missing(e, known));
        }
        for (_, attr) in &node.attrs {
            if let Attr::Body(inner) = attr {
                self::body(inner, &mut known.clone(), done)?;
            }
        }
        if let Some(e) = node.outputs.iter().find(|e| !done.names.contains_key(e)) {
            return Err(format!("{e:?} has no name"));
        }
        known.extend(&node.outputs);
    }
    match body.outputs.iter().find(|e| !known.contains(e)) {
        Some(e) => Err(missing(e, known)),
        None => Ok(()),
    }
}

fn spec(dims: &[Option<usize>]) -> Spec {
    let dims = dims.iter().map(|d| Dim::from(*d)).collect();
    Spec { dtype: Some(DType::F32), dims: Some(dims) }
}

fn ops(done: &Exported) -> Vec<&'static str> {
    done.body.nodes.iter().map(|n| n.op).collect()
}

#[test]
fn open_dimensions_have_names_and_follow_inputs() {
    let mut b = Builder::new("open");
    let x = b.input("model:x", spec(&[None, Some(6)]));
    let y = b.op("Reshape", [x.into(), Arg::from(&[-1i64, 2, 3][..])]).unwrap();
    let done = export(&b.finish(&[y]), options()).unwrap();
    assert_eq!(done.inputs[0].dims, [Dimension::Named("x_dim_0".into()), Dimension::Fixed(6)]);
    assert_eq!(done.outputs[0].dims, [Dimension::Named("x_dim_0".into()), Dimension::Fixed(2), Dimension::Fixed(3)]);
    assert_eq!(done.names[&done.inputs[0].edge], "x");
}

/// Nothing is said about open dimensions of two inputs, whatever reads them.
#[test]
fn open_dimensions_are_named_apart() {
    let mut b = Builder::new("apart");
    let (x, y) = (b.input("x", spec(&[None, Some(3)])), b.input("y", spec(&[None, None])));
    let z = b.op("Add", [x.into(), y.into()]).unwrap();
    let done = export(&b.finish(&[z]), options()).unwrap();
    let named = |name: &str| Dimension::Named(name.into());
    assert_eq!(done.inputs[1].dims, [named("y_dim_0"), named("y_dim_1")]);
    assert_eq!(done.outputs[0].dims, [named("output_dim_0"), Dimension::Fixed(3)]);
}

/// A form that holds for one size only is refused when that size is open.
#[test]
fn sizes_are_never_baked_in() {
    let mut b = Builder::new("baked");
    let x = b.input("x", spec(&[None, Some(4)]));
    let y = b.op("Diagonal", [x.into()]).unwrap();
    let error = export(&b.finish(&[y]), options()).unwrap_err();
    assert!(error.to_string().contains("open"), "{error}");
}

/// What depends on an open length is a node, and a condition on it stays one.
#[test]
fn conditions_on_open_lengths_stay() {
    let mut b = Builder::new("long");
    let x = b.input("x", spec(&[Some(1), None]));
    let shape = b.op("Shape", [x.into()]).unwrap();
    let n = b.op("TupleGetItem", [shape.into(), Arg::from(1i64)]).unwrap();
    let long = b.op("ScalarGt", [n.into(), Arg::from(10i64)]).unwrap();
    let [twice, same] = ["twice", "same"].map(|name| b.declare(name));
    for (graph, op) in [(twice, "Square"), (same, "Neg")] {
        b.define(graph, |b| {
            let x = b.input("x", spec(&[Some(1), None]));
            Ok(vec![b.op(op, [x.into()])?])
        })
        .unwrap();
    }
    let [then, otherwise] = [twice, same].map(|graph| Closure { graph, args: vec![x.into()] });
    let y = b.choose(long, then, otherwise, 1);
    let done = export(&b.finish(&y), options()).unwrap();
    assert_eq!(ops(&done), ["Shape", "Gather", "Greater", "If", "Identity"]);
    assert_eq!(done.outputs[0].dims, [Dimension::Fixed(1), Dimension::Named("x_dim_1".into())]);
}

/// MindSpore keeps a dimension that is named and is not 1, which ONNX cannot decide.
#[test]
fn open_dimensions_are_not_squeezed() {
    let mut b = Builder::new("squeezed");
    let x = b.input("x", spec(&[None, Some(1), Some(4)]));
    let y = b.op("Squeeze", [x.into(), Arg::from(&[1i64, 2][..])]).unwrap();
    let done = export(&b.finish(&[y]), options()).unwrap();
    assert_eq!(done.outputs[0].dims, [Dimension::Named("x_dim_0".into()), Dimension::Fixed(4)]);
    let mut b = Builder::new("squeezed");
    let x = b.input("x", spec(&[None, Some(4)]));
    let y = b.op("Squeeze", [x.into(), Arg::from(&[0i64][..])]).unwrap();
    assert!(export(&b.finish(&[y]), options()).is_err());
}

#[test]
fn all_problems_are_named_at_once() {
    let mut b = Builder::new("problems");
    let x = b.input("x", Spec::fixed(DType::F32, &[4]));
    let (p, one) = (b.param("count", Tensor::vector(&[0f32])), b.constant(Tensor::vector(&[1f32])));
    let y = b.op("Lgamma", [x.into()]).unwrap();
    let z = b.op("CumProd", [y.into(), Arg::from(0i64)]).unwrap();
    b.op("AssignAdd", [p.into(), one.into()]).unwrap();
    let Err(ExportError::Nodes(nodes)) = export(&b.finish(&[z]), options()) else { panic!("expected an error") };
    let found: Vec<&str> = nodes.iter().map(|n| n.op.as_str()).collect();
    assert_eq!(found, ["Lgamma", "CumProd", "AssignAdd"]);
}

/// Weights are neither copied nor written twice, and constant arithmetic on shapes leaves no nodes.
#[test]
fn constants_are_shared_and_folded() {
    let mut b = Builder::new("shared");
    let x = b.input("x", Spec::fixed(DType::F32, &[2, 3]));
    let w = Tensor::from_vec(&[3, 3], vec![0.5f32; 9]).unwrap();
    let (p, q) = (b.param("w", w.clone()), b.param("again", w.clone()));
    let y = b.op("MatMul", [x.into(), p.into()]).unwrap();
    let y = b.op("MatMul", [y.into(), q.into()]).unwrap();
    let s = b.op("Shape", [y.into()]).unwrap();
    let y = b.op("Reshape", [y.into(), s.into()]).unwrap();
    let done = export(&b.finish(&[y]), options()).unwrap();
    let weights: Vec<_> = done.constants.iter().filter(|c| c.1.dtype() == DType::F32).collect();
    assert_eq!(weights.len(), 1);
    assert_eq!(weights[0].1.bytes().as_ptr(), w.bytes().as_ptr());
    assert_eq!(ops(&done), ["Gemm", "Gemm", "Reshape", "Identity"]);
}

/// A single element that becomes a number of the program keeps its dimensions.
#[test]
fn constants_of_one_element_keep_their_rank() {
    let mut b = Builder::new("ranks");
    let x = b.input("x", Spec::fixed(DType::F32, &[8, 1]));
    let one = b.constant(Tensor::from_slice(&[1, 1, 1], &[2f32]).unwrap());
    let y = b.op("Mul", [x.into(), one.into()]).unwrap();
    let done = export(&b.finish(&[y]), options()).unwrap();
    assert_eq!(done.outputs[0].dims.len(), 3);
    assert_eq!(ops(&done), ["Mul", "Unsqueeze", "Identity"]);
}

/// ONNX's schema has two results for `TopK`, whoever reads them.
#[test]
fn results_that_are_not_optional_are_written() {
    let mut b = Builder::new("sorted");
    let x = b.input("x", Spec::fixed(DType::F32, &[2, 3]));
    let sorted = b.op_n("Sort", [x.into(), Arg::from(-1i64)], 2).unwrap();
    let top = b.op_n("TopK", [x.into(), Arg::from(2i64)], 2).unwrap();
    let done = export(&b.finish(&[sorted[0], top[0]]), options()).unwrap();
    let found: Vec<usize> = done.body.nodes.iter().filter(|n| n.op == "TopK").map(|n| n.outputs.len()).collect();
    assert_eq!(found, [2, 2]);
}

#[test]
fn unknown_operator_sets_are_refused() {
    let mut b = Builder::new("opset");
    let x: ValueId = b.input("x", Spec::fixed(DType::F32, &[2]));
    let model = b.finish(&[x]);
    for opset in [OPSETS.start() - 1, OPSETS.end() + 1, i64::MIN] {
        assert_eq!(export(&model, Options { opset, ..Options::default() }).unwrap_err(), ExportError::Opset(opset));
    }
    assert!(export(&model, options()).is_ok());
}

/// ONNX's maximum of nothing is no truth value: whether any of no elements is true must not come from one.
#[test]
fn any_of_nothing_is_false() {
    let def = OPS.iter().find(|def| def.name == "ReduceAny").unwrap();
    for case in (def.cases)() {
        let done = match form(def, &case, true, *OPSETS.start()) {
            Err(why) if why == ["ONNX has no arithmetic of complex numbers"] => continue,
            done => done.unwrap(),
        };
        let ops: Vec<&str> = done.body.nodes.iter().map(|n| n.op).collect();
        assert!(!ops.contains(&"ReduceMax"), "{}: {ops:?}", case.name);
    }
}

fn number(b: &mut Builder, name: &str) -> ValueId {
    b.input(name, Spec::fixed(DType::I64, &[]))
}

fn nodes(body: &Body) -> usize {
    let inner = body.nodes.iter().flat_map(|node| &node.attrs);
    let inner = inner.filter_map(|(_, attr)| if let Attr::Body(body) = attr { Some(nodes(body)) } else { None });
    body.nodes.len() + inner.sum::<usize>()
}

/// `while i < 9 { if i == 0 { i += 1 }; …; if i == count { i += 1 } }`, where each branch calls what follows.
fn conditions_in_a_loop(count: usize) -> usize {
    let mut b = Builder::new("conditions");
    let [test, done] = ["test", "done"].map(|name| b.declare(name));
    let steps: Vec<_> = (0..count).map(|i| (b.declare(&format!("step{i}")), b.declare(&format!("add{i}")))).collect();
    let after = |i: usize| steps.get(i).map_or(test, |step| step.0);
    b.define(test, |b| {
        let i = number(b, "i");
        let more = b.op("Less", [i.into(), 9i64.into()])?;
        let [again, leave] = [after(0), done].map(|graph| Closure { graph, args: vec![i.into()] });
        Ok(b.choose(more, again, leave, 1))
    })
    .unwrap();
    b.define(done, |b| Ok(vec![number(b, "i")])).unwrap();
    for (at, (step, add)) in steps.iter().enumerate() {
        b.define(*step, |b| {
            let i = number(b, "i");
            let same = b.op("Equal", [i.into(), (at as i64).into()])?;
            let [add, on] = [*add, after(at + 1)].map(|graph| Closure { graph, args: vec![i.into()] });
            Ok(b.choose(same, add, on, 1))
        })
        .unwrap();
        b.define(*add, |b| {
            let i = number(b, "i");
            let more = b.op("Add", [i.into(), 1i64.into()])?;
            Ok(b.call(after(at + 1), [more.into()], 1))
        })
        .unwrap();
    }
    let i = number(&mut b, "i");
    let y = b.call(test, [i.into()], 1);
    nodes(&export(&b.finish(&y), options()).unwrap().body)
}

#[test]
fn what_follows_a_condition_in_a_loop_is_written_once() {
    let [few, more] = [4, 24].map(conditions_in_a_loop);
    assert!(more < 7 * few, "{few} nodes for 4 conditions, {more} for 24");
}

#[test]
fn what_never_ends_and_what_calls_itself_before_its_end_is_refused() {
    let refused = |inside: bool| {
        let mut b = Builder::new("endless");
        let again = b.declare("again");
        b.define(again, |b| {
            let i = number(b, "i");
            let y = b.call(again, [i.into()], 1);
            if inside { Ok(vec![b.op("Add", [y[0].into(), i.into()])?]) } else { Ok(y) }
        })
        .unwrap();
        let i = number(&mut b, "i");
        let y = b.call(again, [i.into()], 1);
        export(&b.finish(&y), options()).unwrap_err().to_string()
    };
    assert!(refused(false).contains("nothing ends the loop"), "{}", refused(false));
    assert!(refused(true).contains("ONNX has no recursion"), "{}", refused(true));
}

/// What a branch gives is not known where it has nodes without a form, so that it cannot be blamed for its type.
#[test]
fn branches_without_a_form_are_named_once() {
    let mut b = Builder::new("branches");
    let [lost, kept] = ["lost", "kept"].map(|name| b.declare(name));
    b.define(lost, |b| {
        let i = number(b, "i");
        let y = b.op("Lgamma", [i.into()])?;
        Ok(vec![b.op("Cast", [y.into(), Arg::Const(Const::DType(DType::F16))])?])
    })
    .unwrap();
    b.define(kept, |b| Ok(vec![number(b, "i")])).unwrap();
    let i = number(&mut b, "i");
    let test = b.op("Less", [i.into(), 3i64.into()]).unwrap();
    let [lost, kept] = [lost, kept].map(|graph| Closure { graph, args: vec![i.into()] });
    let y = b.choose(test, lost, kept, 1);
    let Err(ExportError::Nodes(nodes)) = export(&b.finish(&y), options()) else { panic!("expected an error") };
    assert_eq!(nodes.iter().map(|n| n.op.as_str()).collect::<Vec<_>>(), ["Lgamma"]);
}
