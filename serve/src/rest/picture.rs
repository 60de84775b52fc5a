//! Pictures as requests.

use mindir::{Tensor, picture};

use crate::RequestError;
use crate::model::Served;

/// Whether a body is a picture.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    picture::is_picture(bytes)
}

/// Bytes of its pixels.
pub(crate) fn memory(bytes: &[u8]) -> Result<u64, RequestError> {
    picture::memory(bytes).map_err(|e| RequestError::Invalid(e.to_string()))
}

/// The model's only input from a picture, prepared as its file records it, or else made to fit.
pub(crate) fn input(served: &Served, bytes: &[u8]) -> Result<(String, Tensor), RequestError> {
    let [port] = served.inputs.as_slice() else {
        let text = format!("a picture is for a model with one input, this has {}", served.inputs.len());
        return Err(RequestError::Invalid(text));
    };
    let invalid = |e: &dyn std::fmt::Display| RequestError::Invalid(format!("inputs: {}: {e}", port.name));
    let made = match served.model().picture() {
        Some(recorded) => {
            let picture = picture::decode(bytes).map_err(|e| invalid(&e))?;
            picture::prepare(recorded, [picture], &port.spec)
        }
        None => {
            let picture = picture::decode_upright(bytes).map_err(|e| invalid(&e))?;
            picture::tensor(&picture, &picture::Options::default(), &port.spec)
        }
    };
    Ok((port.name.clone(), made.map_err(|e| invalid(&e))?))
}
