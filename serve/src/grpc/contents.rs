//! Tensors and parameters of requests.

use std::collections::HashMap;

use bytes::Bytes;
use mindir::{DType, Tensor};
use serde_json::Value;

use super::inference::infer_parameter::ParameterChoice;
use super::inference::model_infer_request::InferInputTensor;
use super::inference::{InferParameter, InferTensorContents};
use crate::parameters::Parameters;
use crate::{RequestError, datatype};

/// Parameters as the other parts of the server know them.
pub(super) fn parameters(given: HashMap<String, InferParameter>) -> Parameters {
    let value = |parameter: InferParameter| match parameter.parameter_choice {
        None => Value::Null,
        Some(ParameterChoice::BoolParam(v)) => v.into(),
        Some(ParameterChoice::Int64Param(v)) => v.into(),
        Some(ParameterChoice::StringParam(v)) => v.into(),
        Some(ParameterChoice::DoubleParam(v)) => v.into(),
        Some(ParameterChoice::Uint64Param(v)) => v.into(),
    };
    Parameters(given.into_iter().map(|(name, parameter)| (name, value(parameter))).collect())
}

/// The inputs of a request, whose elements are in `raw`, one for each, or in the inputs themselves.
pub(super) fn tensors(inputs: &[InferInputTensor], raw: Vec<Bytes>) -> Result<Vec<(String, Tensor)>, RequestError> {
    if !raw.is_empty() && raw.len() != inputs.len() {
        let text = format!("raw_input_contents: expected one for each of {} inputs, found {}", inputs.len(), raw.len());
        return Err(RequestError::Invalid(text));
    }
    let mut raw = raw.into_iter();
    inputs.iter().map(|input| Ok((input.name.clone(), tensor(input, raw.next())?))).collect()
}

fn tensor(input: &InferInputTensor, raw: Option<Bytes>) -> Result<Tensor, RequestError> {
    let InferInputTensor { name, datatype, shape, .. } = input;
    let wrong = |text: String| RequestError::Invalid(format!("inputs: {name}: {text}"));
    let dtype = datatype::wanted(name, datatype, shape.len())?;
    parameters(input.parameters.clone()).unshared("inputs", name)?;
    let dims = shape.iter().map(|n| usize::try_from(*n)).collect::<Result<Vec<_>, _>>();
    let dims = dims.map_err(|_| wrong(format!("expected lengths that are not negative, found {shape:?}")))?;
    match (raw, &input.contents) {
        (Some(_), Some(_)) => Err(wrong("expected contents or raw_input_contents, found both".into())),
        (Some(raw), None) => Tensor::from_bytes(dtype, &dims, raw).map_err(|e| wrong(e.to_string())),
        (None, contents) => {
            let none = InferTensorContents::default();
            typed(dtype, &dims, contents.as_ref().unwrap_or(&none)).map_err(wrong)
        }
    }
}

/// A tensor of typed contents.
fn typed(dtype: DType, dims: &[usize], c: &InferTensorContents) -> Result<Tensor, String> {
    fn narrow<A: Copy + std::fmt::Display, B: TryFrom<A>>(values: &[A]) -> Result<Vec<B>, String> {
        values.iter().map(|v| B::try_from(*v).map_err(|_| format!("{v} is beyond its type"))).collect()
    }
    let made = match dtype {
        DType::Bool => Tensor::from_bools(dims, &c.bool_contents),
        DType::I8 => Tensor::from_vec::<i8>(dims, narrow(&c.int_contents)?),
        DType::I16 => Tensor::from_vec::<i16>(dims, narrow(&c.int_contents)?),
        DType::I32 => Tensor::from_slice(dims, &c.int_contents),
        DType::I64 => Tensor::from_slice(dims, &c.int64_contents),
        DType::U8 => Tensor::from_vec::<u8>(dims, narrow(&c.uint_contents)?),
        DType::U16 => Tensor::from_vec::<u16>(dims, narrow(&c.uint_contents)?),
        DType::U32 => Tensor::from_slice(dims, &c.uint_contents),
        DType::U64 => Tensor::from_slice(dims, &c.uint64_contents),
        DType::F32 => Tensor::from_slice(dims, &c.fp32_contents),
        DType::F64 => Tensor::from_slice(dims, &c.fp64_contents),
        DType::F16 | DType::BF16 | DType::C64 | DType::C128 => {
            let name = datatype::name(dtype).unwrap_or(dtype.name());
            return Err(format!("{name} has no typed contents: send it in raw_input_contents"));
        }
    };
    made.map_err(|e| e.to_string())
}
