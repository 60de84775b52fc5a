//! Parameters of requests, inputs and outputs.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::RequestError;
use crate::infer::Sequence;

/// Parameters by name. Those that are not known say nothing.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Parameters(pub Map<String, Value>);

impl Parameters {
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, RequestError> {
        let wrong = |found: &Value| refused(name, "true or false", found);
        self.0.get(name).map(|v| v.as_bool().ok_or_else(|| wrong(v))).transpose()
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, RequestError> {
        let wrong = |found: &Value| refused(name, "a number that is not negative", found);
        self.0.get(name).map(|v| v.as_u64().ok_or_else(|| wrong(v))).transpose()
    }

    /// The best classes that are wanted instead of the elements.
    pub fn classes(&self) -> Result<Option<usize>, RequestError> {
        let n = self.number("classification")?.filter(|n| *n > 0);
        Ok(n.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
    }

    /// How long the request may take.
    pub fn timeout(&self) -> Result<Option<Duration>, RequestError> {
        Ok(self.number("timeout")?.filter(|us| *us > 0).map(Duration::from_micros))
    }

    pub fn priority(&self) -> Result<u64, RequestError> {
        Ok(self.number("priority")?.unwrap_or(0))
    }

    /// The conversation that the request is a part of.
    pub fn sequence(&self) -> Result<Option<Sequence>, RequestError> {
        let id = match self.0.get("sequence_id") {
            None => return Ok(None),
            Some(Value::String(id)) if id.len() <= 256 => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            Some(found) => return Err(refused("sequence_id", "a number, or a text of at most 256 bytes", found)),
        };
        if id.is_empty() || id == "0" {
            return Ok(None);
        }
        let flag = |name| self.flag(name).map(|flag| flag.unwrap_or(false));
        Ok(Some(Sequence { id, start: flag("sequence_start")?, end: flag("sequence_end")? }))
    }

    /// Refuses tensors in memory that client and server share.
    pub fn unshared(&self, what: &str, name: &str) -> Result<(), RequestError> {
        match self.has("shared_memory_region") {
            true => Err(RequestError::Unsupported(format!("{what}: {name}: shared memory is not supported"))),
            false => Ok(()),
        }
    }
}

fn refused(name: &str, expected: &str, found: &Value) -> RequestError {
    let found: String = found.to_string().chars().take(80).collect();
    RequestError::Invalid(format!("parameters: {name}: expected {expected}, found {found}"))
}
