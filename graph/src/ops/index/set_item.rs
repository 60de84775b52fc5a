//! What MindSpore computes of an index such as `y[1:, None, i]` when it assigns to parts of a tensor with open dimensions.

use super::gather::position;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule, ints};
use crate::ops::kit::indices::{dim, item, replaced};
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, broadcast, ensure, op};

/// Codes of the parts of an index; 0 stands for no part.
const NONE: i64 = 7;
const ELLIPSIS: i64 = 9;
const SLICE: i64 = 15;
const TENSOR: i64 = 17;

/// The number of dimensions that an ellipsis stands for among `dims` that the whole index has.
fn hidden(types: &[i64], dims: usize) -> Result<usize, OpError> {
    let shown = types.iter().filter(|&&t| t != 0 && t != ELLIPSIS).count();
    if !types.contains(&ELLIPSIS) {
        return Ok(0);
    }
    dims.checked_sub(shown).ok_or_else(|| OpError::Invalid(format!("an index of {shown} parts for {dims} dimensions")))
}

/// The parts of an index without gaps, the ellipsis as slices.
fn spelled(types: &[i64], hidden: usize) -> Vec<i64> {
    let part = |&t: &i64| if t == ELLIPSIS { vec![SLICE; hidden] } else { vec![t; usize::from(t != 0)] };
    types.iter().flat_map(part).collect()
}

fn count(value: i64, what: &str) -> Result<usize, OpError> {
    usize::try_from(value).map_err(|_| OpError::Invalid(format!("{what}: expected a count, found {value}")))
}

/// The number of dimensions of `data` with `added` ones, each of which is a part of the index.
fn expanded(data: &Operand, added: i64, types: &[i64]) -> Result<usize, OpError> {
    let added = count(added, "expand_dims_cnt")?;
    ensure!(added <= types.len(), "expand_dims_cnt: {added} dimensions are added by {} parts", types.len());
    Ok(data.rank() + added)
}

/// The length of the dimension of `data` that part `axis` of an index is for; bit `i` of `new` says that part `i` adds a
/// dimension.
fn picked(data: &Operand, axis: i64, types: &[i64], new: i64) -> Result<usize, OpError> {
    let new = |i: usize| i < 63 && new >> i & 1 == 1;
    let hidden = hidden(types, data.rank() + (0..types.len()).filter(|&i| new(i)).count())?;
    let place = if types.is_empty() { 0 } else { count(axis, "tuple_index_axis")?.min(types.len()) };
    let (before, _) = types.split_at(place);
    let skipped = (0..place).filter(|&i| new(i)).count();
    length(data, spelled(before, hidden).len().saturating_sub(skipped))
}

fn length(data: &Operand, dim: usize) -> Result<usize, OpError> {
    let size = data.shape().get(dim).copied();
    size.ok_or_else(|| OpError::Invalid(format!("an index of dimension {dim} of {}", data.fact)))
}

fn vector(values: &[usize]) -> Tensor {
    Tensor::vector(&values.iter().map(|&v| v as i64).collect::<Vec<_>>())
}

/// `list` with `more` in front of place `at`, or at the end.
fn with(list: &[usize], at: usize, more: &[usize]) -> Vec<usize> {
    let (front, back) = list.split_at(at.min(list.len()));
    [front, more, back].concat()
}

op! {
    /// The positions that the slice `start : stop : step` picks of a dimension of `data`, the shape of `data` with as many in
    /// front, start, stop and step counted from the front, and 1 if the slice is empty. All are `i64`. `init_by_none` marks
    /// those of start, stop and step that are left out, `tuple_index_axis` is the slice's place among `tuple_index_types`.
    classic SliceToIndices {
        data: Operand,
        start: i64 as Input,
        stop: i64 as Input,
        step: i64 as Input,
        tuple_index_axis: i64 = 0,
        tuple_index_types: Ints = Ints::new(),
        expand_dims_mask: i64 = 0,
        init_by_none: Ints = ints(&[0, 0, 0]),
    }
}

impl Operator for SliceToIndices {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let size = picked(&self.data, self.tuple_index_axis, &self.tuple_index_types, self.expand_dims_mask)?;
        let wrong =
            |_| OpError::Invalid(format!("init_by_none: expected 3 numbers, found {}", self.init_by_none.len()));
        let none: [i64; 3] = self.init_by_none.as_slice().try_into().map_err(wrong)?;
        let [no_start, no_stop, no_step] = none.map(|none| none == 1);
        let step = if no_step { 1 } else { self.step };
        ensure!(step != 0, "a slice with step 0");
        let size = size as i64;
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let place = |value: i64| (if value < 0 { value.saturating_add(size) } else { value }).clamp(low, high);
        let start = if no_start { if step > 0 { low } else { high } } else { place(self.start) };
        let stop = if no_stop { if step > 0 { high } else { low } } else { place(self.stop) };
        let inside = |at: i64| if step > 0 { at < stop } else { at > stop };
        let next = |at: &i64| at.checked_add(step);
        let picks: Vec<i64> = std::iter::successors(Some(start), next).take_while(|at| inside(*at)).collect();
        let indices = Tensor::vector(&picks);
        let flat = self.tuple_index_types.is_empty();
        let indices = if flat { indices.reshape(&[picks.len(), 1])? } else { indices };
        let shape = replaced(self.data.shape(), 0, picks.len());
        let [start, stop, step, empty] = [start, stop, step, i64::from(picks.is_empty())].map(Tensor::scalar);
        Ok(vec![indices, vector(&shape), start, stop, step, empty])
    }

    fn cases() -> Vec<Case> {
        let of = |start, stop, step| sample().tensor(DType::F32, &[4, 5]).int(start).int(stop).int(step);
        let types = [SLICE, SLICE, 0, 0, 0, 0, 0, 0];
        vec![
            of(1, -1, 1).exact("rows"),
            of(0, -1, 2).int(1).ints(&types).int(0).ints(&[1, 0, 0]).exact("columns"),
            of(0, 0, -1).int(0).ints(&types).int(0).ints(&[1, 1, 0]).exact("backwards"),
            of(3, 1, 1).exact("empty"),
            of(0, 2, 1).int(1).ints(&[ELLIPSIS, SLICE]).int(0).ints(&[0, 0, 1]).exact("ellipsis"),
        ]
    }
}

crate::op_enum! {
    /// What a part of an index was in Python.
    PartKind {
        /// A number.
        Integer = 0, "int_index";
        /// A tuple or list of numbers.
        Integers = 1, "tensor_index_sequence_index";
        /// A tuple or list of truth values.
        Truths = 2, "bool_sequence_index";
        /// A dimension that is added.
        Added = 3, "none_index";
        /// All dimensions that no other part is for.
        Ellipsis = 4, "ellipsis_index";
    }
}

op! {
    /// The positions that part `tuple_index_axis` of an index picks of a dimension of `data`, counted from the front, `i64`: of a
    /// number or of numbers these, of truth values the places of those that are true, of an added dimension all. Of an ellipsis
    /// `tuple_index_axis` says which of the dimensions that it stands for; if there are fewer, the result is `[1]`.
    classic NormalizeTupleIndex {
        data: Operand,
        index_val: Operand,
        origin_index_type: PartKind as Small,
        tuple_index_types: Ints = Ints::new(),
        tuple_index_axis: i64 = 0,
        expand_dims_mask: i64 = 0,
    }
}

impl NormalizeTupleIndex {
    /// The length of the dimension that is picked from; `None` for an ellipsis that has no such dimension.
    fn size(&self) -> Result<Option<usize>, OpError> {
        let (types, axis) = (&self.tuple_index_types, self.tuple_index_axis);
        match self.origin_index_type {
            PartKind::Ellipsis => {
                let at = count(axis, "tuple_index_axis")?;
                let before = types.iter().take_while(|&&t| t != ELLIPSIS).filter(|&&t| t != 0).count();
                let inside = at < hidden(types, self.data.rank())?;
                inside.then(|| length(&self.data, before.saturating_add(at))).transpose()
            }
            PartKind::Added => picked(&self.data, axis, types, 0).map(Some),
            _ => picked(&self.data, axis, types, self.expand_dims_mask).map(Some),
        }
    }

    fn result(&self) -> Result<Tensor, OpError> {
        let Some(size) = self.size()? else { return Ok(Tensor::vector(&[1])) };
        let all = || (0..size as i64).collect::<Vec<i64>>();
        match self.origin_index_type {
            PartKind::Integer | PartKind::Integers => {
                let front = |&i: &i64| {
                    position(i, size)
                        .map(|i| i as i64)
                        .ok_or_else(|| OpError::Invalid(format!("index {i} of {size} elements")))
                };
                let picks = self.index_val.i64s()?.iter().map(front).collect::<Result<Vec<_>, _>>()?;
                Ok(Tensor::from_i64s(DType::I64, self.index_val.shape(), &picks)?)
            }
            PartKind::Truths => {
                let truths = self.index_val.i64s()?;
                ensure!(truths.len() == size, "expected {size} truth values, found {}", truths.len());
                let picks: Vec<i64> =
                    all().into_iter().zip(truths.iter()).filter(|(_, t)| **t != 0).map(|p| p.0).collect();
                ensure!(!picks.is_empty(), "expected a truth value that is true, found none");
                Ok(Tensor::vector(&picks))
            }
            PartKind::Added | PartKind::Ellipsis => Ok(Tensor::vector(&all())),
        }
    }
}

impl Rule for NormalizeTupleIndex {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let known = match self.origin_index_type {
            PartKind::Integer | PartKind::Integers => Fact::new(DType::I64, self.index_val.shape()),
            _ => self.result()?.fact(),
        };
        Ok(vec![known])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.result()?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        match self.result() {
            Err(OpError::NeedsValue(_)) => Ok(None),
            result => Ok(Some(vec![b.constant(result?)])),
        }
    }

    fn onnx(&self, _e: &mut Emit) -> Forms {
        match self.index_val.known {
            Some(_) => Ok(None),
            None => no_form("positions that are counted from the front at run time"),
        }
    }

    fn cases() -> Vec<Case> {
        let of = |index: &[i64], kind| {
            sample().tensor(DType::F32, &[4, 5, 6]).index(DType::I64, &[index.len()], index).text(kind)
        };
        let number = sample().tensor(DType::F32, &[4, 5]).int(-1).text("int_index");
        vec![
            number.ints(&[NONE, TENSOR]).int(1).int(1).exact("number"),
            of(&[-1, 2], "tensor_index_sequence_index").ints(&[ELLIPSIS, TENSOR]).int(1).exact("numbers"),
            of(&[1, 0, 0, 1], "bool_sequence_index").ints(&[TENSOR]).exact("truth values"),
            of(&[0], "none_index").ints(&[SLICE, NONE]).int(1).exact("added"),
            of(&[0], "ellipsis_index").ints(&[SLICE, ELLIPSIS]).int(1).exact("ellipsis"),
            of(&[0], "ellipsis_index").ints(&[SLICE, ELLIPSIS, SLICE]).int(1).exact("no such dimension"),
        ]
    }
}

op! {
    /// How the parts of an index join: the place of the tensors' dimensions in the result, the common shape of the tensors,
    /// that shape with 1 for each slice, the result's shape, and for eight parts a shape that makes each fit. All are `i64`.
    classic GetTupleIndexInfo {
        data: Operand,
        fancy_position: i64 as Input,
        index_0: Operand,
        index_1: Operand,
        index_2: Operand,
        index_3: Operand,
        index_4: Operand,
        index_5: Operand,
        index_6: Operand,
        index_7: Operand,
        tuple_index_types: Ints,
        tuple_index_info_type: String = String::new(),
        expand_dims_cnt: i64 = 0,
    }
}

impl GetTupleIndexInfo {
    fn indices(&self) -> [&Operand; 8] {
        [
            &self.index_0,
            &self.index_1,
            &self.index_2,
            &self.index_3,
            &self.index_4,
            &self.index_5,
            &self.index_6,
            &self.index_7,
        ]
    }

    /// Where the dimensions of tensors go: to the first of them if they stand together, else to the front.
    fn position(parts: &[i64]) -> usize {
        let is_tensor = |part: &i64| *part == TENSOR;
        match (parts.iter().position(is_tensor), parts.iter().rposition(is_tensor)) {
            (Some(first), Some(last)) if last - first + 1 == parts.iter().filter(|p| is_tensor(p)).count() => first,
            _ => 0,
        }
    }
}

impl Operator for GetTupleIndexInfo {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let types = &self.tuple_index_types;
        let (dims, indices) = (expanded(&self.data, self.expand_dims_cnt, types)?, self.indices());
        let hidden = hidden(types, dims)?;
        let parts = spelled(types, hidden);
        ensure!(parts.len() <= indices.len(), "an index of {} parts", parts.len());
        // What an ellipsis stands for comes last among the operands.
        let before = types.iter().take_while(|&&t| t != ELLIPSIS).filter(|&&t| t != 0).count();
        let order = |i: usize| match i {
            i if i < before => i,
            i if i < before + hidden => parts.len() - hidden + i - before,
            i => i - hidden,
        };
        let (mut common, mut slices, mut empty) = (Vec::new(), Vec::new(), false);
        for (i, part) in parts.iter().enumerate() {
            let shape = item(&indices, order(i))?.shape();
            if *part == TENSOR {
                empty |= shape.first() == Some(&0);
                let joined = broadcast(&common, shape);
                let wrong = || OpError::Invalid(format!("indices of shapes {common:?} and {shape:?}"));
                common = joined.ok_or_else(wrong)?.to_vec();
            } else {
                slices.push(shape.first().copied());
            }
        }
        let kind = self.tuple_index_info_type.as_str();
        if kind == "setitem_by_tuple_with_tensor" && common.len() < 2 {
            common.insert(0, 1);
        }
        let given = matches!(kind, "setitem_by_tuple" | "setitem_by_tuple_with_tensor");
        let position = if given { count(self.fancy_position, "fancy_position")? } else { Self::position(&parts) };
        if kind == "pre_setitem_by_tuple" {
            let mut results = vec![Tensor::scalar(position as i64), vector(&common)];
            results.resize(12, vector(&[]));
            return Ok(results);
        }
        let slices: Option<Vec<usize>> = slices.into_iter().collect();
        let slices = slices.ok_or_else(|| OpError::Invalid("a slice without positions".into()))?;
        let position = position.min(slices.len());
        let mut shape = with(&slices, position, &common);
        if empty || self.data.shape().iter().all(|&d| d == 0) {
            shape.extend(self.data.shape().iter().skip(parts.len()));
        }
        let ones = vec![1; slices.len()];
        let spread = vector(&with(&ones, position, &common));
        let mut results = vec![Tensor::scalar(position as i64), vector(&common), spread, vector(&shape)];
        let first = parts.iter().take(before).filter(|&&part| part != TENSOR).count();
        let spelled_out = (0..first).chain(first + hidden..slices.len());
        for i in spelled_out.chain(first..first + hidden) {
            let own = replaced(&ones, i, dim(&slices, i)?);
            results.push(vector(&with(&own, position, &vec![1; common.len()])));
        }
        results.resize(12, vector(&[1]));
        Ok(results)
    }

    fn cases() -> Vec<Case> {
        let of = |shapes: &[&[usize]]| {
            let s = sample().tensor(DType::F32, &[4, 5, 6]).int(1);
            let all = shapes.iter().copied().chain(std::iter::repeat(&[1][..])).take(8);
            all.fold(s, |s, dims| s.index(DType::I64, dims, &vec![0; dims.iter().product()]))
        };
        vec![
            of(&[&[3], &[2]]).ints(&[SLICE, SLICE]).text("setitem_by_tuple").exact("slices"),
            of(&[&[3], &[2, 2]]).ints(&[SLICE, TENSOR, 0]).text("setitem_by_tuple").exact("slice and tensor"),
            of(&[&[2], &[4], &[5]]).ints(&[ELLIPSIS, TENSOR]).text("setitem_by_tuple_with_tensor").exact("ellipsis"),
            of(&[&[2], &[]]).ints(&[TENSOR, SLICE]).text("pre_setitem_by_tuple").exact("early"),
        ]
    }
}

op! {
    /// What remains of an index and of the value that is assigned when added dimensions are removed: 0 if the index picks
    /// nothing, 1 if it picks everything, else −1; the shape of `value` without added dimensions; and the place of the tensors'
    /// dimensions without leading added ones. All are `i64`.
    classic RemoveExpandedDims {
        data: Operand,
        value: Operand,
        has_false: i64 as Input,
        broadcast_shape: Ints as Input,
        idx_advanced: i64 as Input,
        has_true: bool = false,
        tuple_index_types: Ints,
        expand_dims_cnt: i64 = 0,
        empty_indices_out: bool = false,
        has_sequence: bool = false,
    }
}

impl Operator for RemoveExpandedDims {
    fn rule(&self) -> Result<impl Rule, OpError> {
        if self.has_false > 0 {
            let nothing = self.broadcast_shape.iter().all(|&d| d == 1);
            ensure!(nothing, "cannot broadcast indices of shape {:?}", self.broadcast_shape.as_slice());
            return Ok(vec![Tensor::scalar(0i64), vector(&[]), Tensor::scalar(self.idx_advanced)]);
        }
        let types = &self.tuple_index_types;
        let dims = expanded(&self.data, self.expand_dims_cnt, types)?;
        let parts = spelled(types, hidden(types, dims)?);
        let rest = dims.saturating_sub(parts.len());
        let mut kept: Vec<bool> = parts.iter().filter(|&&t| t != TENSOR).map(|&t| t != NONE).collect();
        let mut position = self.idx_advanced;
        if let Ok(place) = usize::try_from(position) {
            let place = place.min(kept.len());
            let own =
                if self.has_true && !self.has_sequence { vec![false] } else { vec![true; self.broadcast_shape.len()] };
            kept.splice(place..place, own);
            position = place as i64;
        }
        kept.extend(vec![true; rest]);
        let leading = kept.iter().take_while(|kept| !**kept).count();
        let shape = self.value.shape();
        let skipped = kept.len().checked_sub(shape.len());
        let skipped = skipped.ok_or_else(|| OpError::Invalid(format!("cannot assign {} here", self.value.fact)))?;
        let own = shape.iter().zip(kept.iter().skip(skipped));
        let shape: Vec<usize> = own.filter(|(_, kept)| **kept).map(|(d, _)| *d).collect();
        let found = if self.empty_indices_out { 1 } else { -1 };
        let position = position.saturating_sub(leading as i64).max(0);
        Ok(vec![Tensor::scalar(found as i64), vector(&shape), Tensor::scalar(position)])
    }

    fn cases() -> Vec<Case> {
        let of = |value: &[usize], false_, position, types: &[i64], new| {
            let s = sample().tensor(DType::F32, &[4, 5]).tensor(DType::F32, value).int(false_);
            s.ints(&[1]).int(position).flag(false).ints(types).int(new)
        };
        vec![
            of(&[4, 3], 0, -1, &[SLICE, SLICE], 0).exact("slices"),
            of(&[1, 4, 5], 0, -1, &[NONE, SLICE, ELLIPSIS], 1).exact("added"),
            of(&[1, 5], 0, 0, &[TENSOR], 0).exact("tensor"),
            of(&[5], 1, 0, &[SLICE], 0).exact("nothing"),
        ]
    }
}
