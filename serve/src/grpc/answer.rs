//! Answers with results.

use bytes::Bytes;
use mindir::Tensor;

use super::inference::ModelInferResponse;
use super::inference::model_infer_response::InferOutputTensor;
use crate::classes::Texts;
use crate::model::Served;
use crate::{RequestError, datatype};

/// The answer with these results; `classes` says of which the best classes are wanted instead of the elements.
pub(super) fn of(
    served: &Served,
    id: String,
    classes: &[Option<usize>],
    results: &[(String, Tensor)],
) -> Result<ModelInferResponse, RequestError> {
    let mut answer = ModelInferResponse {
        model_name: served.name.clone(),
        model_version: served.version.to_string(),
        id,
        ..ModelInferResponse::default()
    };
    for (i, (name, tensor)) in results.iter().enumerate() {
        let (datatype, shape, bytes) = match classes.get(i).copied().flatten() {
            Some(most) => {
                let texts = Texts::of(name, tensor, most, &served.labels)?;
                let bytes = Bytes::from(texts.bytes());
                ("BYTES", texts.shape, bytes)
            }
            None => {
                let unnamed =
                    || RequestError::Unsupported(format!("outputs: {name}: the protocol has no {}", tensor.dtype()));
                let datatype = datatype::name(tensor.dtype()).ok_or_else(unnamed)?;
                (datatype, tensor.shape().to_vec(), tensor.bytes().clone())
            }
        };
        let shape = shape.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect();
        let output =
            InferOutputTensor { name: name.clone(), datatype: datatype.into(), shape, ..InferOutputTensor::default() };
        answer.outputs.push(output);
        answer.raw_output_contents.push(bytes);
    }
    Ok(answer)
}
