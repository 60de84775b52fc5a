//! Conversations with models that keep a state.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mindir::State;

use crate::infer::Sequence;
use crate::{RequestError, lock};

/// The states of the conversations with one model.
pub(crate) struct Sequences {
    /// What each begins with.
    first: State,
    most: usize,
    idle: Duration,
    states: Mutex<HashMap<String, Kept>>,
}

struct Kept {
    state: Arc<Mutex<State>>,
    used: Instant,
}

impl Sequences {
    /// No conversation yet, and at most `most`, each of which begins with `first`; those that were `idle` for longer make room
    /// for new ones.
    pub fn new(first: State, most: usize, idle: Duration) -> Sequences {
        Sequences { first, most, idle, states: Mutex::default() }
    }

    /// Runs a part of a conversation.
    pub fn run<R>(
        &self,
        sequence: &Sequence,
        run: impl FnOnce(&mut State) -> Result<R, RequestError>,
    ) -> Result<R, RequestError> {
        let state = self.state(sequence)?;
        let result = run(&mut lock(&state));
        if sequence.end {
            lock(&self.states).remove(&sequence.id);
        }
        result
    }

    fn state(&self, sequence: &Sequence) -> Result<Arc<Mutex<State>>, RequestError> {
        let mut states = lock(&self.states);
        let now = Instant::now();
        if let Some(kept) = states.get_mut(&sequence.id).filter(|_| !sequence.start) {
            kept.used = now;
            return Ok(kept.state.clone());
        }
        if !sequence.start {
            let text =
                format!("sequence {}: it has not begun, or was forgotten; begin it with sequence_start", sequence.id);
            return Err(RequestError::Invalid(text));
        }
        if states.len() >= self.most && !states.contains_key(&sequence.id) {
            states.retain(|_, kept| now.duration_since(kept.used) <= self.idle);
        }
        if states.len() >= self.most && !states.contains_key(&sequence.id) {
            return Err(RequestError::NotReady(format!("expected at most {} sequences at one time", self.most)));
        }
        let state = Arc::new(Mutex::new(self.first.clone()));
        states.insert(sequence.id.clone(), Kept { state: state.clone(), used: now });
        Ok(state)
    }
}
