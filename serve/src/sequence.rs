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
            let mut states = lock(&self.states);
            // It may have begun anew meanwhile.
            if states.get(&sequence.id).is_some_and(|kept| Arc::ptr_eq(&kept.state, &state)) {
                states.remove(&sequence.id);
            }
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

#[cfg(test)]
mod tests {
    use mindir::builder::Builder;
    use mindir::{GraphCell, Options, Tensor};

    use super::*;

    #[test]
    fn what_begins_anew_does_not_end_with_what_was_before() {
        let mut b = Builder::new("empty");
        let one = b.constant(Tensor::scalar(1f32));
        let cell = GraphCell::new(b.finish(&[one]), Options::default()).unwrap();
        let sequences = Sequences::new(cell.new_state(), 4, Duration::from_secs(60));
        let part = |start, end| Sequence { id: "1".into(), start, end };
        sequences.run(&part(true, false), |_| Ok(())).unwrap();
        sequences
            .run(&part(false, true), |_| {
                // Another client takes the same name while the last part runs.
                sequences.run(&part(true, false), |_| Ok(()))
            })
            .unwrap();
        sequences.run(&part(false, true), |_| Ok(())).unwrap();
        assert!(matches!(sequences.run(&part(false, false), |_| Ok(())), Err(RequestError::Invalid(_))));
    }
}
