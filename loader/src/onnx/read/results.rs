//! The types of operators' results, where not every length of the operands is fixed.

use mindir_graph::onnx::{self, Attr, Length, data_type};
use mindir_graph::op::{ArgValue, Args, Const, OpDef, Operand};
use mindir_graph::task::V;
use mindir_graph::{DType, Fact};

use super::import::{In, Val, argument, axis_of, exact, param_kind};
use super::types::{Dims, Type};

use Length::{Fixed, Open};

/// The types of the `count` results of an operator, where not every length is fixed.
pub(super) fn results(def: &'static OpDef, args: &[In], count: usize) -> Result<Vec<Type>, String> {
    let call = Call { def, args };
    let first = call.first()?;
    let like = |dims: Option<Dims>| Type::new(first, dims);
    let mut all = match def.name {
        name if name.starts_with("TensorScatter") => vec![like(call.dims(0))],
        "BatchNorm" | "BiasAdd" | "CumProd" | "CumSum" | "LRN" | "LogSoftmax" | "OnesLike" | "ReverseSequence"
        | "ReverseV2" | "Softmax" | "Tril" | "Triu" | "ZerosLike" => vec![like(call.dims(0))],
        "AvgPool" | "AvgPool3D" | "Conv2D" | "Conv3D" | "Conv3DTranspose" | "MaxPool" | "MaxPool3D" => {
            vec![like(call.image()?)]
        }
        "BroadcastTo" => vec![like(call.repeated())],
        "Col2Im" => {
            let image = call.list(1).unwrap_or_else(|| vec![Open; 2]);
            vec![like(call.dims(0).map(|dims| dims.into_iter().take(2).chain(image).collect()))]
        }
        "Conv2DBackpropInput" => vec![like(call.list(2))],
        "DeformableOffsets" => {
            vec![like(call.dims(0).map(|dims| dims.into_iter().take(2).chain([Open; 2]).collect()))]
        }
        "DepthToSpace" => vec![like(call.blocks(|d, b| d.checked_mul(b), |c, b| c.checked_div(b.checked_mul(b)?)))],
        "SpaceToDepth" => vec![like(call.blocks(|d, b| d.checked_div(b), |c, b| c.checked_mul(b.checked_mul(b)?)))],
        "Eye" => vec![Type::new(call.dtype(2)?, vec![call.int(0), call.int(1)])],
        "FillV2" => vec![Type::new(call.val(1)?.dtype(), call.list(0).map(lengths))],
        "LSTM" => call.lstm(first),
        "MaxPool3DWithArgmax" => {
            let dims = call.image()?;
            vec![like(dims.clone()), Type::new(DType::I64, dims)]
        }
        "MatrixDeterminant" => {
            vec![like(call.dims(0).map(|dims| dims.iter().take(dims.len().saturating_sub(2)).copied().collect()))]
        }
        "NonZero" => {
            let rank = call.dims(0).map_or(Open, |dims| Fixed(dims.len() as i64));
            vec![Type::new(DType::I64, vec![Open, rank])]
        }
        "OneHot" => vec![Type::new(call.val(2)?.dtype(), call.inserted(4, call.int(1))?)],
        "Range" => {
            let whole = (0..3).all(|i| !call.float(i));
            vec![Type::new(if whole { DType::I64 } else { DType::F32 }, vec![Open])]
        }
        "ResizeBilinearV2" | "ResizeNearestNeighbor" | "ResizeNearestNeighborV2" => vec![like(call.resized())],
        "ROIAlign" => {
            let at = |i: usize, d: usize| call.dims(i).and_then(|dims| dims.get(d).copied()).unwrap_or(Open);
            vec![like(Some(vec![at(1, 0), at(0, 1), call.int(2), call.int(3)]))]
        }
        "StandardNormal" | "UniformReal" => vec![Type::new(DType::F32, call.list(0).map(lengths))],
        "Transpose" => vec![like(call.permuted()?)],
        _ => match call.form(count)? {
            Some(types) => {
                let own = |ty: onnx::Type| Type::new(ty.dtype.unwrap_or(first), ty.dims.map(lengths));
                types.into_iter().map(own).collect()
            }
            None if call.is_elementwise()? => vec![call.elementwise()?],
            None => return Err(format!("{} of operands with open dimensions is not supported", def.name)),
        },
    };
    all.resize(count.max(all.len()), like(None));
    Ok(all)
}

/// Elements of the result that are known although not all are: lengths on their way through shape arithmetic.
pub(super) fn elements(def: &'static OpDef, args: &[In]) -> Option<Dims> {
    Call { def, args }.form(1).ok()??.into_iter().next()?.contents
}

/// A list of integers, as far as they are known.
fn vector(values: Dims) -> onnx::Type {
    let dims = vec![Fixed(values.len() as i64)];
    onnx::Type { dtype: Some(DType::I64), dims: Some(dims), contents: Some(values) }
}

/// Negative numbers are no lengths.
fn lengths(dims: Dims) -> Dims {
    dims.into_iter().map(|d| if d.fixed().is_some_and(|n| n < 0) { Open } else { d }).collect()
}

/// An operator with its arguments.
struct Call<'a> {
    def: &'static OpDef,
    args: &'a [In],
}

impl Call<'_> {
    /// The element type of the first operand.
    fn first(&self) -> Result<DType, String> {
        match self.args.first() {
            Some(In::Val(v)) => Ok(v.dtype()),
            Some(In::List(items)) => match items.first() {
                Some(In::Val(v)) => Ok(v.dtype()),
                _ => Err("there are no operands".into()),
            },
            _ => Ok(DType::I64),
        }
    }

    fn val(&self, i: usize) -> Result<&Val, String> {
        match self.args.get(i) {
            Some(In::Val(v)) => Ok(v),
            _ => Err(format!("operand {i} of {} is missing", self.def.name)),
        }
    }

    fn dims(&self, i: usize) -> Option<Dims> {
        self.val(i).ok()?.ty.dims.clone()
    }

    fn dtype(&self, i: usize) -> Result<DType, String> {
        match self.args.get(i) {
            Some(In::Const(Const::DType(d))) => Ok(*d),
            _ => Err(format!("argument {i} of {} is no element type", self.def.name)),
        }
    }

    fn float(&self, i: usize) -> bool {
        match self.args.get(i) {
            Some(In::Val(v)) => v.dtype().is_float(),
            Some(In::Const(c)) => matches!(c, Const::Float(_) | Const::Double(_)),
            _ => false,
        }
    }

    /// The integers of argument `i`, if their number is known.
    fn list(&self, i: usize) -> Option<Dims> {
        self.ty(i)?.contents
    }

    /// The integers of argument `i`, if all are fixed.
    fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.list(i)?.into_iter().map(Length::fixed).collect()
    }

    /// What is known of argument `i`, a tensor or integers.
    fn ty(&self, i: usize) -> Option<onnx::Type> {
        match self.args.get(i)? {
            In::Const(Const::Int(n)) => Some(vector(vec![Fixed(*n)])),
            In::Const(Const::Tuple(items)) => {
                let one = |c: &Const| if let Const::Int(n) = c { Fixed(*n) } else { Open };
                Some(vector(items.iter().map(one).collect()))
            }
            In::Val(v) => Some(v.into()),
            _ => None,
        }
    }

    /// As [`Call::ty`], of a tensor with `rank` dimensions.
    fn ranked(&self, i: usize, rank: usize) -> Option<onnx::Type> {
        let mut ty = self.ty(i)?;
        ty.dims.get_or_insert_with(|| vec![Open; rank]);
        Some(ty)
    }

    /// The integer that argument `i` is.
    fn int(&self, i: usize) -> Length {
        if let Some([one]) = self.list(i).as_deref() { *one } else { Open }
    }

    fn flag(&self, i: usize) -> bool {
        matches!(self.args.get(i), Some(In::Const(Const::Bool(true))))
    }

    /// The results' element type: that of single elements, as no element type depends on a length.
    fn elementwise(&self) -> Result<Type, String> {
        let dims = |arg: &In| if let In::Val(v) = arg { Some(v.ty.dims.clone()) } else { None };
        let all: Option<Vec<Dims>> = self.args.iter().filter_map(dims).collect();
        let dims = all.map(|all| all.iter().fold(Vec::new(), |dims, own| onnx::broadcast(&dims, own)));
        Ok(Type::new(self.element_type(&[], self.args)?, dims))
    }

    fn is_elementwise(&self) -> Result<bool, String> {
        self.def.is_elementwise(&self.with(&[], self.args)).map_err(|e| format!("{}: {e}", self.def.name))
    }

    /// The element type of the first result for operands of shape `dims`.
    fn element_type(&self, dims: &[usize], args: &[In]) -> Result<DType, String> {
        let facts = self.def.infer(&self.with(dims, args)).map_err(|e| format!("{}: {e}", self.def.name))?;
        facts.first().map(|f| f.dtype).ok_or_else(|| format!("{} has no result", self.def.name))
    }

    /// `args`, with operands of shape `dims` in place of theirs.
    fn with(&self, dims: &[usize], args: &[In]) -> Args {
        let mut next = 0;
        let item = |(i, arg): (usize, &In)| {
            Some(match arg {
                In::Val(v) => {
                    let operand = Operand { v: V(i as u32), fact: Fact::new(v.dtype(), dims).into(), known: None };
                    ArgValue::Operand(operand)
                }
                other => argument(other, param_kind(self.def, i), &mut next),
            })
        };
        Args { op: self.def.name, items: args.iter().enumerate().map(item).collect() }
    }

    /// Windows over images: what becomes of one image does not depend on how many there are.
    fn image(&self) -> Result<Option<Dims>, String> {
        let Some(dims) = self.dims(0) else { return Ok(None) };
        let mut open = vec![Open; dims.len()];
        if let (Some(n), Some(first)) = (open.first_mut(), dims.first()) {
            *n = *first;
        }
        if let (Some(c), Some(last)) = (open.get_mut(1), dims.get(1)) {
            let filters = self.dims(1).filter(|_| matches!(self.def.name, "Conv2D" | "Conv3D"));
            *c = match filters {
                Some(w) => w.first().copied().unwrap_or(Open),
                None if self.def.name == "Conv3DTranspose" => Open,
                None => *last,
            };
        }
        let mut one = self.args.to_vec();
        if let Some(In::Val(x)) = one.first_mut() {
            x.known = None;
            x.ty.dims.iter_mut().flatten().take(1).for_each(|n| *n = Fixed(1));
        }
        let exact = exact(self.def, &one)?.and_then(|(facts, _)| facts.into_iter().next());
        let Some(exact) = exact else { return Ok(Some(open)) };
        let rest = exact.shape.iter().skip(1).map(|&d| Fixed(d as i64));
        Ok(Some(open.first().copied().into_iter().chain(rest).collect()))
    }

    fn repeated(&self) -> Option<Dims> {
        let (own, mut want) = (self.dims(0), self.list(1)?);
        let lead = own.as_ref().map(|own| want.len().saturating_sub(own.len()));
        for (i, d) in want.iter_mut().enumerate() {
            let kept = lead.and_then(|lead| own.as_ref()?.get(i.checked_sub(lead)?).copied());
            let longer = || kept.and_then(Length::fixed).is_some_and(|n| n > 1);
            if d.fixed() == Some(-1) || (*d == Open && longer()) {
                *d = kept.unwrap_or(Open);
            }
        }
        Some(lengths(want))
    }

    fn blocks(
        &self,
        side: impl Fn(i64, i64) -> Option<i64>,
        channels: impl Fn(i64, i64) -> Option<i64>,
    ) -> Option<Dims> {
        let (dims, block) = (self.dims(0)?, self.int(1).fixed()?);
        let one = |(d, e): (usize, Length)| match d {
            0 => e,
            1 => e.map(|c| channels(c, block)),
            _ => e.map(|n| side(n, block)),
        };
        Some(dims.into_iter().enumerate().map(one).collect())
    }

    fn lstm(&self, dtype: DType) -> Vec<Type> {
        let at = |i: usize, d: usize| self.dims(i).and_then(|v| v.get(d).copied()).unwrap_or(Open);
        let both = i64::from(self.flag(8)) + 1;
        let (seq, batch, hidden) = (at(0, 0), at(0, 1), self.int(5));
        let state = Type::new(dtype, vec![at(1, 0), batch, hidden]);
        let wide = hidden.map(|n| n.checked_mul(both));
        vec![Type::new(dtype, vec![seq, batch, wide]), state.clone(), state]
    }

    fn resized(&self) -> Option<Dims> {
        let dims = self.dims(0)?;
        let sizes = self.list(1).unwrap_or_else(|| vec![Open; dims.len().saturating_sub(2)]);
        Some(lengths(dims.into_iter().take(2).chain(sizes).collect()))
    }

    /// Checks the axes that argument `i` names, of operand 0 with `more` dimensions.
    fn checked(&self, i: usize, more: usize) -> Result<(), String> {
        let (Some(dims), Some(axes)) = (self.dims(0), self.list(i)) else { return Ok(()) };
        axes.iter().filter_map(|a| a.fixed()).try_for_each(|a| axis_of(a, dims.len() + more).map(drop))
    }

    /// Operand 0 with a dimension of this length at the place that argument `i` names.
    fn inserted(&self, i: usize, length: Length) -> Result<Option<Dims>, String> {
        let (Some(mut dims), Some(at)) = (self.dims(0), self.int(i).fixed()) else { return Ok(None) };
        dims.insert(axis_of(at, dims.len() + 1)?, length);
        Ok(Some(dims))
    }

    /// The results by the definition of ONNX's operator for the same, if there is one.
    fn form(&self, count: usize) -> Result<Option<Vec<onnx::Type>>, String> {
        let node = |op, ins: &[Option<onnx::Type>], attrs: &[(&'static str, Attr)]| {
            let ins: Vec<_> = ins.iter().map(Option::as_ref).collect();
            onnx::results(op, &ins, attrs, count)
        };
        // An axis that is computed is none of the dimensions.
        let axis = |i: usize| {
            self.checked(i, 0)?;
            Ok::<_, String>(("axis", self.int(i).fixed().unwrap_or(i64::MAX).into()))
        };
        let axes = |i: usize, more: usize| self.checked(i, more).map(|()| self.ty(i));
        let keep = |keep: bool| ("keepdims", i64::from(keep).into());
        let (x, y) = (self.ty(0), self.ty(1));
        Ok(Some(match self.def.name {
            "Argmax" | "Argmin" => typed(self.dtype(2)?, node("ArgMax", &[x], &[axis(1)?, keep(false)])),
            "BatchMatMul" | "MatMul" => node("MatMul", &[self.turned(0, 2), self.turned(1, 3)], &[]),
            "Cast" => node("Cast", &[x], &[("to", i64::from(data_type(self.dtype(1)?)).into())]),
            "Concat" => {
                let parts = self.parts();
                let dtype = parts.iter().flatten().filter_map(|ty| ty.dtype).reduce(DType::promote);
                typed(dtype.ok_or("there are no operands")?, node("Concat", &parts, &[axis(1)?]))
            }
            "ExpandDims" => node("Unsqueeze", &[x, axes(1, 1)?], &[]),
            "Flatten" => node("Flatten", &[self.ranked(0, 2)], &[]),
            "Gather" => node("Gather", &[x, y], &[axis(2)?]),
            "GatherD" => node("GatherElements", &[x, self.ty(2)], &[]),
            "GatherNd" => node("GatherND", &[x, y], &[]),
            "GridSampler2D" => node("GridSample", &[self.ranked(0, 4), self.ranked(1, 4)], &[]),
            "LayerNorm" => {
                let mut all = node("LayerNormalization", &[x], &[axis(3)?]);
                all.iter_mut().skip(1).for_each(|ty| ty.dtype = Some(DType::F32));
                all
            }
            "MatMulExt" => node("MatMul", &[x, y], &[]),
            "PadV3" => node("Pad", &[x, self.pads()], &[]),
            name if name.starts_with("Reduce") => {
                let one = [self.args.first().cloned(), Some(vec![0].into()), Some(true.into())];
                let dtype = self.element_type(&[1], &one.into_iter().flatten().collect::<Vec<In>>())?;
                typed(dtype, node("ReduceSum", &[x, axes(1, 0)?], &[keep(self.flag(2))]))
            }
            "Reshape" => node("Reshape", &[x, y], &[("allowzero", 1.into())]),
            "Shape" | "Size" => node(self.def.name, &[x], &[]),
            "Split" => node("Split", &[x], &[axis(1)?]),
            "SplitWithSize" => node("Split", &[x, y], &[axis(2)?]),
            // Without axes, all dimensions of 1 go.
            "Squeeze" => node("Squeeze", &[x, axes(1, 0)?.filter(|ty| ty.contents != Some(Vec::new()))], &[]),
            "StridedSlice" => {
                let [begin, end] = [self.bounds(1, 4, 0), self.bounds(2, 5, i64::MAX)];
                node("Slice", &[x, begin, end, None, self.ty(3)], &[])
            }
            "Tile" => node("Tile", &[x, y], &[]),
            "TopkExt" => node("TopK", &[x, y], &[axis(2)?]),
            _ => return Ok(None),
        }))
    }

    /// The tensors of argument 0, which have one rank.
    fn parts(&self) -> Vec<Option<onnx::Type>> {
        let Some(In::List(items)) = self.args.first() else { return Vec::new() };
        let ty = |i: &In| if let In::Val(v) = i { Some(onnx::Type::from(v)) } else { None };
        let mut parts: Vec<_> = items.iter().map(ty).collect();
        let open = parts.iter().flatten().find_map(|ty| Some(vec![Open; ty.dims.as_ref()?.len()]));
        parts.iter_mut().flatten().for_each(|ty| ty.dims = ty.dims.take().or(open.clone()));
        parts
    }

    /// Matrices `i`, with rows and columns exchanged if argument `flag` is true.
    fn turned(&self, i: usize, flag: usize) -> Option<onnx::Type> {
        let mut ty = self.ty(i)?;
        if let (true, Some([.., a, b])) = (self.flag(flag), ty.dims.as_deref_mut()) {
            std::mem::swap(a, b);
        }
        Some(ty)
    }

    /// What is added in front of every dimension and behind; MindSpore has pairs from the last dimension on.
    fn pads(&self) -> Option<onnx::Type> {
        let (rank, pads) = (self.dims(0)?.len(), self.list(1)?);
        let side = |at: usize| (0..rank).rev().map(move |d| 2 * d + at);
        let one = |at: usize| pads.get(at).copied().unwrap_or(Fixed(0));
        Some(vector(side(0).chain(side(1)).map(one).collect()))
    }

    /// The bounds `i` of ranges, `whole` where argument `mask` says that there is none.
    fn bounds(&self, i: usize, mask: usize, whole: i64) -> Option<onnx::Type> {
        let (mask, steps) = (self.int(mask).fixed().unwrap_or(0), self.list(3)?);
        let one = |(d, own): (usize, Length)| match steps.get(d) {
            _ if mask >> d.min(63) & 1 == 0 => own,
            Some(Fixed(1)) => Fixed(whole),
            _ => Open,
        };
        Some(vector(self.list(i)?.into_iter().enumerate().map(one).collect()))
    }

    fn permuted(&self) -> Result<Option<Dims>, String> {
        let Some(dims) = self.dims(0) else { return Ok(None) };
        let Some(perm) = self.ints(1) else { return Ok(Some(vec![Open; dims.len()])) };
        let mut seen = perm.iter().map(|&p| axis_of(p, dims.len())).collect::<Result<Vec<_>, _>>()?;
        let out = seen.iter().filter_map(|&p| dims.get(p).copied()).collect();
        seen.sort_unstable();
        if !seen.iter().copied().eq(0..dims.len()) {
            return Err(format!("{perm:?} is no permutation of {} dimensions", dims.len()));
        }
        Ok(Some(out))
    }
}

/// The same values as another element type.
fn typed(dtype: DType, types: Vec<onnx::Type>) -> Vec<onnx::Type> {
    types.into_iter().map(|ty| onnx::Type { dtype: Some(dtype), ..ty }).collect()
}
