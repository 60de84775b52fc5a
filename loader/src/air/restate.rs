//! Operators without a row of their own, as others that have one.

use mindir_graph::graph::{Arg, Node, NodeKind, ValueId};
use mindir_graph::op::{Const, OpDef};
use mindir_graph::{DType, Dim, Spec, Tensor};

use super::{Writer, ports};

/// The operators that are restated, in alphabetical order.
pub(super) const RESTATED: &[&str] = &[
    "CumsumExt",
    "Embedding",
    "FillScalar",
    "FullLike",
    "IndexSelect",
    "LayerNormExt",
    "LogSoftmaxExt",
    "Max",
    "MeanExt",
    "Min",
    "OnesLikeExt",
    "PowScalarTensor",
    "ProdExt",
    "RemainderScalarTensor",
    "SelectExtView",
    "SplitTensor",
    "StackExt",
    "SumExt",
    "TransposeExtView",
    "ZerosLikeExt",
];

/// A node as nodes of operators that have a row, the last of which has its results; `None` if it is none of [`RESTATED`].
pub(super) fn restated(writer: &mut Writer, node: &Node, def: &OpDef) -> Result<Option<Vec<Node>>, String> {
    if !RESTATED.contains(&def.name) {
        return Ok(None);
    }
    let mut restating = Restating { writer, node, def, nodes: Vec::new() };
    restating.run()?;
    Ok(Some(restating.nodes))
}

struct Restating<'a, 'm> {
    writer: &'a mut Writer<'m>,
    node: &'a Node,
    def: &'a OpDef,
    nodes: Vec<Node>,
}

impl Restating<'_, '_> {
    fn run(&mut self) -> Result<(), String> {
        let (op, args) = match self.def.name {
            "CumsumExt" => ("CumSum", vec![self.input_as_result(true)?, self.arg("dim"), no(), no()]),
            "Embedding" if self.is_given("max_norm") => return Err("max_norm changes the table".into()),
            "Embedding" => ("Gather", vec![self.arg("weight"), self.arg("input"), int(0), int(0)]),
            "FillScalar" => {
                let number = ports::number_tensor(&self.constant("fill_value")?)?;
                let natural = if number.dtype().is_float() { DType::F32 } else { DType::I64 };
                let dtype = self.asked()?.unwrap_or(natural);
                ("FillV2", vec![self.arg("size"), Some(number_as(&number, dtype)?)])
            }
            "FullLike" => {
                let number = ports::number_tensor(&self.constant("fill_value")?)?;
                let dims = self.known("input")?;
                let dtype = self.asked()?.map_or_else(|| self.dtype("input"), Ok)?;
                ("FillV2", vec![Some(ints(&dims)), Some(number_as(&number, dtype)?)])
            }
            "IndexSelect" => ("Gather", vec![self.arg("input"), self.arg("index"), self.arg("dim"), int(0)]),
            "LayerNormExt" => ("LayerNormV3", self.layer_norm()?),
            "LogSoftmaxExt" => {
                let (x, dim) = (self.converted(self.asked()?)?, self.constant("dim")?);
                let dim = match dim {
                    Const::None if [0, 1, 3].contains(&self.rank("input")?) => int(0),
                    Const::None => int(1),
                    _ => self.arg("dim"),
                };
                ("LogSoftmax", vec![x, dim])
            }
            "Max" => ("ReduceMax", vec![self.arg("input"), Some(ints(&[])), no()]),
            "MeanExt" => ("ReduceMean", vec![self.input_as_result(false)?, self.arg("dim"), self.arg("keepdim")]),
            "Min" => ("ReduceMin", vec![self.arg("input"), Some(ints(&[])), no()]),
            "OnesLikeExt" => ("OnesLike", vec![self.converted(self.asked()?)?]),
            "PowScalarTensor" => ("Pow", vec![Some(self.number_like("input", "exponent")?), self.arg("exponent")]),
            "ProdExt" => ("ReduceProd", vec![self.input_as_result(true)?, self.arg("dim"), self.arg("keepdim")]),
            "RemainderScalarTensor" => ("FloorMod", vec![Some(self.number_like("input", "other")?), self.arg("other")]),
            "SelectExtView" => {
                let dim = self.axis("input", "dim")?;
                let index = self.index(&self.known_axes("input")?, dim)?;
                let index = Some(Arg::Const(Const::Tensor(Tensor::scalar(index))));
                ("Gather", vec![self.arg("input"), index, int(dim as i64), int(0)])
            }
            "SplitTensor" => {
                let dim = self.axis("input", "dim")?;
                let length = self.known_axes("input")?.get(dim).copied().flatten();
                let size = self.integer("split_size")?;
                let length = length.ok_or("the length of its dimension is open")? as i64;
                if size <= 0 || length % size != 0 {
                    return Err(format!("parts of {size} of {length} are not of one size"));
                }
                ("Split", vec![self.arg("input"), int(dim as i64), int(length / size)])
            }
            "StackExt" => ("Stack", vec![self.arg("tensors"), self.arg("dim")]),
            "SumExt" => ("ReduceSum", vec![self.input_as_result(true)?, self.arg("dim"), self.arg("keepdim")]),
            "TransposeExtView" => {
                let (a, b) = (self.axis("input", "dim0")?, self.axis("input", "dim1")?);
                let mut order: Vec<i64> = (0..self.rank("input")? as i64).collect();
                order.swap(a, b);
                ("Transpose", vec![self.arg("input"), Some(ints(&order))])
            }
            "ZerosLikeExt" => ("ZerosLike", vec![self.converted(self.asked()?)?]),
            other => return Err(format!("{other} is not restated")),
        };
        self.push(op, args, self.node.outputs.clone())
    }

    fn push(&mut self, op: &str, args: Vec<Option<Arg>>, outputs: Vec<ValueId>) -> Result<(), String> {
        let def = mindir_graph::ops::find(op).ok_or_else(|| format!("there is no operator {op}"))?;
        self.nodes.push(Node { kind: NodeKind::Op(def), args, outputs, ..self.node.clone() });
        Ok(())
    }

    fn arg(&self, name: &str) -> Option<Arg> {
        let place = self.def.params.iter().position(|p| p.name == name)?;
        self.node.args.get(place).cloned().flatten()
    }

    fn is_given(&self, name: &str) -> bool {
        !matches!(self.arg(name), None | Some(Arg::Const(Const::None)))
    }

    /// The constant that an argument is: given, or the default, which is nothing for arguments that may be left out.
    fn constant(&self, name: &str) -> Result<Const, String> {
        let param = self.def.params.iter().find(|p| p.name == name).ok_or_else(|| format!("no argument {name}"))?;
        match self.arg(name) {
            None if (param.default)().is_none() => Ok(Const::None),
            arg => ports::constant(param, arg.as_ref()),
        }
    }

    fn integer(&self, name: &str) -> Result<i64, String> {
        match ports::ints(&self.constant(name)?)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(format!("argument {name} must be an integer")),
        }
    }

    fn spec(&self, name: &str) -> Result<Spec, String> {
        match self.arg(name) {
            Some(Arg::Value(value)) => Ok(self.writer.spec(value)),
            _ => Err(format!("argument {name} must be a tensor")),
        }
    }

    fn dtype(&self, name: &str) -> Result<DType, String> {
        self.spec(name)?.dtype.ok_or_else(|| format!("the element type of {name} is open"))
    }

    /// The dimensions of a tensor, `None` where one is open.
    fn known_axes(&self, name: &str) -> Result<Vec<Option<usize>>, String> {
        let dims = self.spec(name)?.dims.ok_or_else(|| format!("the rank of {name} is open"))?;
        Ok(dims.iter().map(Dim::size).collect())
    }

    fn rank(&self, name: &str) -> Result<usize, String> {
        Ok(self.known_axes(name)?.len())
    }

    /// The dimensions of a tensor, all of which are known.
    fn known(&self, name: &str) -> Result<Vec<i64>, String> {
        let dims: Option<Vec<i64>> = self.known_axes(name)?.iter().map(|dim| dim.map(|n| n as i64)).collect();
        dims.ok_or_else(|| format!("the shape of {name} is open"))
    }

    /// The dimension of `of` that an argument names, counted from the front.
    fn axis(&self, of: &str, name: &str) -> Result<usize, String> {
        let (rank, given) = (self.rank(of)? as i64, self.integer(name)?);
        let axis = if given < 0 { given + rank } else { given };
        let axis = usize::try_from(axis).ok().filter(|axis| (*axis as i64) < rank);
        axis.ok_or_else(|| format!("expected argument {name} of a rank {rank}, found {given}"))
    }

    /// Argument `index`, counted from the front of dimension `dim`.
    fn index(&self, dims: &[Option<usize>], dim: usize) -> Result<i64, String> {
        match (self.integer("index")?, dims.get(dim).copied().flatten()) {
            (index, Some(length)) if index < 0 => Ok(index + length as i64),
            (index, None) if index < 0 => Err(format!("index {index} of an open length")),
            (index, _) => Ok(index),
        }
    }

    /// The element type that argument `dtype` asks for.
    fn asked(&self) -> Result<Option<DType>, String> {
        if self.is_given("dtype") { ports::element(&self.constant("dtype")?).map(Some) } else { Ok(None) }
    }

    /// `input` in the element type of the result, where one of integers or truth values may be `i64`.
    fn input_as_result(&mut self, widens: bool) -> Result<Option<Arg>, String> {
        let found = self.dtype("input")?;
        let natural = if widens && (found.is_int() || found == DType::Bool) { DType::I64 } else { found };
        let wanted = self.asked()?.unwrap_or(natural);
        self.converted(Some(wanted))
    }

    /// `input` in element type `wanted`, or as it is.
    fn converted(&mut self, wanted: Option<DType>) -> Result<Option<Arg>, String> {
        let input = self.arg("input");
        let Some(wanted) = wanted else { return Ok(input) };
        let spec = self.spec("input")?;
        if spec.dtype == Some(wanted) {
            return Ok(input);
        }
        let value = self.writer.made(Spec { dtype: Some(wanted), ..spec });
        self.push("Cast", vec![input, Some(Arg::Const(Const::DType(wanted)))], vec![value])?;
        Ok(Some(Arg::Value(value)))
    }

    /// The number `name` in the element type of `other`.
    fn number_like(&self, name: &str, other: &str) -> Result<Arg, String> {
        ports::number_like(&self.constant(name)?, self.dtype(other)?).map(|t| Arg::Const(Const::Tensor(t)))
    }

    /// The arguments of a normalisation whose scale and offset are there.
    fn layer_norm(&self) -> Result<Vec<Option<Arg>>, String> {
        let dims = ports::ints(&self.constant("normalized_shape")?)?;
        let shape = dims.iter().map(|&n| usize::try_from(n)).collect::<Result<Vec<usize>, _>>();
        let shape = shape.map_err(|_| format!("expected dimensions as normalized_shape, found {dims:?}"))?;
        let axis = self.rank("input")?.checked_sub(shape.len()).ok_or("its operand has fewer dimensions")?;
        let dtype = self.dtype("input")?;
        let filled = |value: f64| {
            let one = Tensor::scalar(value).cast(dtype).map_err(|e| e.to_string())?;
            let tensor = Tensor::filled(dtype, &shape, one.bytes()).map_err(|e| e.to_string())?;
            Ok::<_, String>(Some(Arg::Const(Const::Tensor(tensor))))
        };
        let parameter = |name: &str, value| if self.is_given(name) { Ok(self.arg(name)) } else { filled(value) };
        let (gamma, beta, axis) = (parameter("weight", 1.0)?, parameter("bias", 0.0)?, int(axis as i64));
        Ok(vec![self.arg("input"), gamma, beta, axis.clone(), axis, Some(Arg::Const(self.constant("eps")?))])
    }
}

fn int(i: i64) -> Option<Arg> {
    Some(Arg::Const(Const::Int(i)))
}

fn no() -> Option<Arg> {
    Some(Arg::Const(Const::Bool(false)))
}

fn ints(values: &[i64]) -> Arg {
    Arg::Const(Const::Tuple(values.iter().map(|i| Const::Int(*i)).collect()))
}

fn number_as(number: &Tensor, dtype: DType) -> Result<Arg, String> {
    number.cast(dtype).map(|t| Arg::Const(Const::Tensor(t))).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mindir_graph::ops;

    #[test]
    fn restated_operators_exist_and_have_no_row() {
        assert!(RESTATED.is_sorted());
        for op in RESTATED {
            assert_eq!(ops::find(op).map(|def| def.name), Some(*op));
            assert!(super::super::ops::find(op).is_none(), "{op} has a row");
        }
    }
}
