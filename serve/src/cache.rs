//! Answers that are given again.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mindir::Tensor;

use crate::lock;

/// Results of a model by its inputs, of which those go first that were not asked for longest.
pub(crate) struct Answers {
    most: u64,
    hasher: RandomState,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    bytes: u64,
    turn: u64,
    answers: HashMap<Inputs, Answer>,
    /// Inputs by the turn in which they were last asked for.
    turns: BTreeMap<u64, Inputs>,
}

struct Answer {
    results: Vec<Tensor>,
    turn: u64,
    bytes: u64,
}

/// Inputs, which are the same if they are so bit by bit, with their hash: all their bytes are not read under a lock.
#[derive(Clone)]
struct Inputs(u64, Arc<[Tensor]>);

impl PartialEq for Inputs {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Tensor, &Tensor)| a.fact() == b.fact() && a.bytes() == b.bytes();
        self.0 == other.0 && self.1.len() == other.1.len() && self.1.iter().zip(other.1.iter()).all(same)
    }
}

impl Eq for Inputs {}

impl Hash for Inputs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// What a tensor takes besides its elements, about.
const FRAME: u64 = 256;

impl Answers {
    /// None yet, and at most so many bytes of them.
    pub fn new(most: u64) -> Answers {
        Answers { most, hasher: RandomState::new(), kept: Mutex::default() }
    }

    fn inputs(&self, tensors: Arc<[Tensor]>) -> Inputs {
        let mut state = self.hasher.build_hasher();
        for tensor in tensors.iter() {
            tensor.shape().hash(&mut state);
            tensor.bytes().hash(&mut state);
        }
        Inputs(state.finish(), tensors)
    }

    /// The results for these inputs, if they are kept.
    pub fn get(&self, inputs: &[Tensor]) -> Option<Vec<Tensor>> {
        let inputs = self.inputs(inputs.into());
        let kept = &mut *lock(&self.kept);
        let answer = kept.answers.get_mut(&inputs)?;
        kept.turn += 1;
        if let Some(inputs) = kept.turns.remove(&answer.turn) {
            kept.turns.insert(kept.turn, inputs);
        }
        answer.turn = kept.turn;
        Some(answer.results.clone())
    }

    /// Keeps results, if there is room for them.
    pub fn put(&self, inputs: &[Tensor], results: &[Tensor]) {
        let bytes = inputs.iter().chain(results).map(|t| FRAME + t.bytes().len() as u64).sum();
        if bytes > self.most {
            return;
        }
        let copied = |tensors: &[Tensor]| tensors.iter().map(own).collect::<Option<Vec<Tensor>>>();
        let (Some(inputs), Some(results)) = (copied(inputs), copied(results)) else { return };
        let inputs = self.inputs(inputs.into());
        let kept = &mut *lock(&self.kept);
        if kept.answers.contains_key(&inputs) {
            return;
        }
        while kept.bytes + bytes > self.most {
            let Some((_, oldest)) = kept.turns.pop_first() else { break };
            kept.bytes -= kept.answers.remove(&oldest).map_or(0, |answer| answer.bytes);
        }
        kept.turn += 1;
        kept.bytes += bytes;
        kept.turns.insert(kept.turn, inputs.clone());
        kept.answers.insert(inputs, Answer { results, turn: kept.turn, bytes });
    }
}

/// The same tensor with elements of its own: those of a request keep its body, those of a result the batch that it was a part of.
fn own(tensor: &Tensor) -> Option<Tensor> {
    Tensor::from_bytes(tensor.dtype(), tensor.shape(), Bytes::copy_from_slice(tensor.bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(v: f32) -> Vec<Tensor> {
        vec![Tensor::vector(&[v; 4])]
    }

    #[test]
    fn what_was_asked_for_last_stays() {
        let answers = Answers::new(6 * FRAME + 96);
        [1.0, 2.0, 3.0].iter().for_each(|v| answers.put(&numbers(*v), &numbers(-v)));
        assert_eq!(answers.get(&numbers(1.0)).unwrap()[0].bytes(), numbers(-1.0)[0].bytes());
        answers.put(&numbers(4.0), &numbers(-4.0));
        let there = [1.0, 2.0, 3.0, 4.0].map(|v| answers.get(&numbers(v)).is_some());
        assert_eq!(there, [true, false, true, true]);
        let kept = lock(&answers.kept);
        assert_eq!((kept.bytes, kept.answers.len(), kept.turns.len()), (6 * FRAME + 96, 3, 3));
    }

    #[test]
    fn only_the_same_bits_in_the_same_form_have_an_answer() {
        let answers = Answers::new(1 << 20);
        answers.put(&[Tensor::vector(&[0.0f32, 1.0])], &numbers(1.0));
        assert!(answers.get(&[Tensor::vector(&[0.0f32, 1.0])]).is_some());
        assert!(answers.get(&[Tensor::vector(&[-0.0f32, 1.0])]).is_none());
        assert!(answers.get(&[Tensor::from_vec(&[1, 2], vec![0.0f32, 1.0]).unwrap()]).is_none());
        assert!(answers.get(&[Tensor::vector(&[0i32, 0x3f80_0000])]).is_none());
        answers.put(&[Tensor::vector(&vec![0u8; 2 << 20])], &numbers(1.0));
        assert!(answers.get(&[Tensor::vector(&vec![0u8; 2 << 20])]).is_none());
    }
}
