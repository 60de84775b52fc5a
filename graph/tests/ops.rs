//! What holds of every operator in the list.

use std::collections::HashMap;

use mindir_graph::builder::single;
use mindir_graph::graph::ValueId;
use mindir_graph::lower::{Entry, Stop, lower, run_node};
use mindir_graph::op::{ArgValue, Args, Case, CaseArg, Const, Effect, Held, OpDef, Operand, ParamKind, Pure, Writes};
use mindir_graph::ops::{OPS, find};
use mindir_graph::task::V;
use mindir_graph::{Fact, OpError, Shape, Tensor, broadcast};

/// What the reference computes.
fn reference(def: &'static OpDef, case: &Case) -> Result<Vec<Tensor>, String> {
    let (model, inputs) = single(def, case, 1);
    let graph = model.entry();
    let tensors = graph.inputs.iter().copied().zip(inputs).collect();
    run_node(&model, graph, &graph.nodes[0], &tensors).map_err(|e| e.to_string())
}

/// The facts of the results that the case lowers to, if it can be lowered as a whole.
fn lowered(def: &'static OpDef, case: &Case, results: usize) -> Result<Option<Vec<Fact>>, String> {
    let (model, inputs) = single(def, case, results);
    let entry = |(v, t): (&ValueId, &Tensor)| Entry { value: *v, fact: t.fact(), known: None };
    let entries: Vec<Entry> = model.entry().inputs.iter().zip(&inputs).map(entry).collect();
    let low = lower(&model, model.entry(), 0, &entries, false).map_err(|e| e.to_string())?;
    let outs = low.tasks.outputs.iter().map(|v| low.tasks.fact(*v).clone()).collect();
    Ok((low.stop == Stop::End).then_some(outs))
}

/// A case's arguments for [`OpDef::infer`]; without contents if `known` is false.
fn args(def: &'static OpDef, case: &Case, known: bool) -> Args {
    let mut next = 0;
    let mut operand = |t: &Tensor| {
        next += 1;
        ArgValue::Operand(Operand { v: V(next - 1), fact: t.fact().into(), known: known.then(|| t.clone()) })
    };
    let mut arg = |i: usize, arg: &CaseArg| {
        let kind = def.params.get(i).map_or(ParamKind::Value, |p| p.kind);
        match arg {
            CaseArg::Tensor(t) if kind == ParamKind::Value => ArgValue::Const(Const::Tensor(t.clone())),
            CaseArg::Tensor(t) => operand(t),
            CaseArg::Tensors(ts) => ArgValue::List(ts.iter().map(&mut operand).collect()),
            CaseArg::Const(c) => match c.tensor() {
                Some(t) if kind != ParamKind::Value => operand(&t),
                _ => ArgValue::Const(c.clone()),
            },
        }
    };
    let items = case.args.iter().enumerate().map(|(i, a)| a.as_ref().map(|a| arg(i, a))).collect();
    Args { op: def.name, items }
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Calls `check` with every case of every operator and reports all complaints.
fn each_case(check: impl Fn(&'static OpDef, &Case) -> Result<(), String>) {
    let mut failures = Vec::new();
    for def in OPS {
        for case in (def.cases)() {
            if let Err(e) = check(def, &case) {
                failures.push(format!("{} ({}): {e}", def.name, case.name));
            }
        }
    }
    report(&failures);
}

#[test]
fn results_of_elementwise_operators_are_as_large_as_their_operands_together() {
    each_case(|def, case| {
        let args = args(def, case, true);
        if !def.is_elementwise(&args).map_err(|e| e.to_string())? {
            return Ok(());
        }
        let mut operands = args.items.iter().flatten().flat_map(|arg| match arg {
            ArgValue::Operand(x) => vec![x],
            ArgValue::List(xs) => {
                xs.iter().filter_map(|x| if let ArgValue::Operand(x) = x { Some(x) } else { None }).collect()
            }
            ArgValue::Const(_) => Vec::new(),
        });
        let together = operands.try_fold(Shape::new(), |dims, x| broadcast(&dims, x.shape()));
        let facts = def.infer(&args).map_err(|e| e.to_string())?;
        let [result] = facts.as_slice() else { return Err(format!("{} results", facts.len())) };
        (Some(&result.shape) == together.as_ref()).then_some(()).ok_or_else(|| format!("{result}, not {together:?}"))
    });
}

#[test]
fn names_are_unique() {
    let mut seen = HashMap::new();
    let mut failures = Vec::new();
    for def in OPS {
        for name in def.names() {
            if let Some(other) = seen.insert(name, def.name) {
                failures.push(format!("{name} names {other} and {}", def.name));
            }
        }
    }
    report(&failures);
}

#[test]
fn signatures_name_their_own_arguments() {
    let mut failures = Vec::new();
    for def in OPS {
        let copied = def.copies.iter().map(|(_, from)| *from);
        let measured = def.params.iter().filter_map(|param| match param.held {
            Held::DimOf(of, _) | Held::KernelOf(of) => Some(of),
            _ => None,
        });
        for name in copied.chain(measured).filter(|name| def.params.iter().all(|param| param.name != *name)) {
            failures.push(format!("{}: no argument {name}", def.name));
        }
    }
    report(&failures);
}

#[test]
fn every_operator_has_docs_and_cases() {
    let mut failures = Vec::new();
    for def in OPS {
        if def.doc.trim().len() < 10 {
            failures.push(format!("{}: no documentation", def.name));
        }
        if (def.cases)().is_empty() && def.effect != Effect::Raises {
            failures.push(format!("{}: no cases", def.name));
        }
        let mut names: Vec<&str> = def.params.iter().map(|p| p.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|w| w[0] == w[1]) {
            failures.push(format!("{}: an argument name is used twice", def.name));
        }
    }
    report(&failures);
}

/// Steps of optimizers, which no operator of MindSpore computes without writing.
const STEPS: [&str; 3] = ["ApplyGradientDescent", "ApplyProximalGradientDescent", "SparseApplyProximalGradientDescent"];

#[test]
fn writes_of_one_argument_can_be_computed_without_writing() {
    let mut failures = Vec::new();
    let writes = |def: &&OpDef| def.effect == Effect::Writes(Writes::results(&[0])) && !STEPS.contains(&def.name);
    for def in OPS.iter().filter(writes) {
        let known = match def.pure {
            Some(Pure::As(name) | Pure::Rows(name)) => find(name).is_some_and(|pure| pure.effect == Effect::Pure),
            Some(Pure::Copy) => true,
            None => false,
        };
        if !known {
            failures.push(format!("{}: {:?}", def.name, def.pure));
        }
    }
    report(&failures);
}

#[test]
fn infer_agrees_with_reference() {
    each_case(|def, case| {
        let want: Vec<Fact> = reference(def, case)?.iter().map(Tensor::fact).collect();
        let known = args(def, case, true);
        for args in [args(def, case, false), known] {
            match def.infer(&args) {
                Ok(got) if got == want => {}
                Ok(got) => return Err(format!("inferred {got:?}, computed {want:?}")),
                Err(OpError::Dynamic | OpError::NeedsValue(_)) => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        Ok(())
    });
}

#[test]
fn lowering_agrees_with_reference() {
    each_case(|def, case| {
        let want: Vec<Fact> = reference(def, case)?.iter().map(Tensor::fact).collect();
        match lowered(def, case, want.len())? {
            Some(got) if got != want => Err(format!("lowered to {got:?}, computed {want:?}")),
            _ => Ok(()),
        }
    });
}

#[test]
fn written_arguments_keep_their_facts() {
    each_case(|def, case| {
        let (Effect::Writes(writes) | Effect::WritesIf(_, writes)) = def.effect else { return Ok(()) };
        let values = reference(def, case)?;
        for (i, value) in writes.pairs() {
            match (case.args.get(i), values.get(value)) {
                (Some(Some(CaseArg::Tensor(old))), Some(new)) if old.fact() != new.fact() => {
                    return Err(format!("argument {i} is {}, its new contents {}", old.fact(), new.fact()));
                }
                _ => {}
            }
        }
        Ok(())
    });
}

/// Arguments of the wrong kind, number, type and size are refused, not fatal.
#[test]
fn wrong_arguments_are_refused() {
    let wrong = |i: usize| match i % 6 {
        0 => CaseArg::Const(Const::Int(i64::MIN)),
        1 => CaseArg::Const(Const::Tuple(vec![Const::Int(i64::MAX), Const::Int(-7)])),
        2 => CaseArg::Const(Const::Str("?".into())),
        3 => Tensor::zeros(mindir_graph::DType::F32, &[0, 3]).map_or(CaseArg::Const(Const::None), CaseArg::Tensor),
        4 => CaseArg::Tensor(Tensor::vector(&[i64::MAX, i64::MIN, 3])),
        _ => CaseArg::Const(Const::None),
    };
    each_case(|def, case| {
        for at in 0..case.args.len() {
            for i in 0..6 {
                let mut bad = case.clone();
                bad.args[at] = Some(wrong(i));
                if def.infer(&args(def, &bad, true)).is_ok() {
                    let _ = def.reference(&args(def, &bad, true));
                }
            }
        }
        Ok(())
    });
}
