//! Pictures as requests.

use bytes::Bytes;
use mindir::{Tensor, picture};

use crate::model::Served;
use crate::{RequestError, batch};

/// Whether a body is a picture.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    picture::is_picture(bytes)
}

/// Bytes of its pixels.
pub(crate) fn memory(bytes: &[u8]) -> Result<u64, RequestError> {
    picture::memory(bytes).map_err(|e| RequestError::Invalid(e.to_string()))
}

/// The model's only input from pictures, a row for each, prepared as its file records it, or else made to fit.
pub(crate) fn input(served: &Served, pictures: &[Bytes]) -> Result<(String, Tensor), RequestError> {
    let rows = pictures.iter().map(|bytes| row(served, bytes)).collect::<Result<Vec<_>, _>>()?;
    let Some((name, tensor)) = rows.first() else {
        return Err(RequestError::Invalid("the form: expected a picture".into()));
    };
    let joined = match rows.len() {
        1 => Ok(tensor.clone()),
        _ => batch::joined(rows.iter().map(|(_, tensor)| tensor)),
    };
    Ok((name.clone(), joined.map_err(|e| RequestError::Invalid(format!("inputs: {name}: {e}")))?))
}

fn row(served: &Served, bytes: &[u8]) -> Result<(String, Tensor), RequestError> {
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
