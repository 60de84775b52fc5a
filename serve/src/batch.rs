//! The queue of a model: what waits together may run together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mindir::{CancelToken, Fact, Tensor, TensorError};
use tokio::sync::oneshot;

use crate::infer::Sequence;
use crate::{RequestError, lock};

/// What a job brings about.
pub(crate) type Outcome = Result<Done, RequestError>;

/// The results of a job, and what it took.
#[derive(Debug)]
pub(crate) struct Done {
    pub results: Vec<Tensor>,
    pub times: Times,
}

/// When a job waited and ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub waited: Duration,
    pub ran: Duration,
}

/// A request as the model takes it.
pub(crate) struct Job {
    /// In the order of the model's inputs.
    pub inputs: Vec<Tensor>,
    pub priority: u64,
    pub sequence: Option<Sequence>,
    pub arrived: Instant,
    pub answer: oneshot::Sender<Outcome>,
    pub client: Client,
}

/// What a job's inputs have in common with those that run with it.
struct Kind<'a>(&'a [Tensor]);

impl PartialEq for Kind<'_> {
    fn eq(&self, other: &Self) -> bool {
        let alike = |(a, b): (&Tensor, &Tensor)| a.dtype() == b.dtype() && a.shape().get(1..) == b.shape().get(1..);
        self.0.len() == other.0.len() && self.0.iter().zip(other.0).all(alike)
    }
}

impl Job {
    /// The length of the first dimension of all inputs, if they have one and agree on it.
    pub fn rows(&self) -> Option<usize> {
        let first = *self.inputs.first()?.shape().first()?;
        self.inputs.iter().all(|t| t.shape().first() == Some(&first)).then_some(first)
    }

    fn stands_alone(&self) -> bool {
        self.sequence.is_some() || self.rows().is_none_or(|rows| rows == 0)
    }
}

/// The one who waits for an answer.
#[derive(Clone, Default)]
pub(crate) struct Client(Arc<Mutex<Presence>>);

#[derive(Default)]
struct Presence {
    gone: bool,
    run: Option<Arc<Running>>,
}

/// A run, and how many wait for it.
struct Running {
    waiting: AtomicUsize,
    token: CancelToken,
}

impl Client {
    /// Whether nobody waits any more.
    pub fn is_gone(&self) -> bool {
        lock(&self.0).gone
    }

    /// Tells that nobody waits any more: a run that nobody else waits for is cancelled.
    fn leave(&self) {
        let mut presence = lock(&self.0);
        presence.gone = true;
        if let Some(run) = presence.run.take() {
            run.left();
        }
    }

    fn enter(&self, run: &Arc<Running>) {
        let mut presence = lock(&self.0);
        match presence.gone {
            true => run.left(),
            false => presence.run = Some(run.clone()),
        }
    }
}

impl Running {
    fn left(&self) {
        if self.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.token.cancel();
        }
    }
}

/// Leaves when it is dropped.
pub(crate) struct LeavesOnDrop(pub Client);

impl Drop for LeavesOnDrop {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// The token of a run that these wait for.
pub(crate) fn token<'a>(clients: impl ExactSizeIterator<Item = &'a Client>) -> CancelToken {
    let token = CancelToken::new();
    let run = Arc::new(Running { waiting: AtomicUsize::new(clients.len()), token: token.clone() });
    clients.for_each(|client| client.enter(&run));
    token
}

/// How jobs are taken from a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Most rows of a batch.
    pub max_batch: usize,
    /// How long the first job of a batch waits for others.
    pub delay: Duration,
    /// Jobs that may wait.
    pub most: usize,
}

/// Jobs that wait for a model.
pub(crate) struct Queue {
    policy: Policy,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// Why a job does not wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait as may.
    Full,
    /// The model is being unloaded.
    Closed,
}

impl Queue {
    pub fn new(policy: Policy) -> Queue {
        Queue { policy, waiting: Mutex::default(), changed: Condvar::new() }
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Jobs that wait.
    pub fn len(&self) -> usize {
        lock(&self.waiting).jobs.len()
    }

    /// Lets a job wait: behind all that are as urgent, before those that are less so.
    pub fn push(&self, job: Job) -> Result<(), Refused> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(Refused::Closed);
        }
        if waiting.jobs.len() >= self.policy.most {
            waiting.jobs.retain(|job| !job.client.is_gone());
        }
        if waiting.jobs.len() >= self.policy.most {
            return Err(Refused::Full);
        }
        let at = waiting.jobs.iter().rposition(|other| other.priority <= job.priority).map_or(0, |i| i + 1);
        waiting.jobs.insert(at, job);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes no more jobs; those that wait are still done.
    pub fn close(&self) {
        lock(&self.waiting).closed = true;
        self.changed.notify_all();
    }

    /// The next jobs to run together; `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<Vec<Job>> {
        let mut waiting = lock(&self.waiting);
        loop {
            while waiting.jobs.front().is_some_and(|job| job.client.is_gone()) {
                waiting.jobs.pop_front();
            }
            let Some(first) = waiting.jobs.front() else {
                if waiting.closed {
                    return None;
                }
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = self.policy.delay.saturating_sub(first.arrived.elapsed());
            let (count, is_full) = self.together(&waiting.jobs);
            if is_full || left.is_zero() || waiting.closed {
                return Some(waiting.jobs.drain(..count).collect());
            }
            waiting = self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many of the first jobs run together, and whether no other can join them.
    fn together(&self, jobs: &VecDeque<Job>) -> (usize, bool) {
        let Some(first) = jobs.front() else { return (0, false) };
        if first.stands_alone() || self.policy.max_batch == 1 {
            return (1, true);
        }
        let mut rows = 0usize;
        for (i, job) in jobs.iter().enumerate() {
            rows = rows.saturating_add(job.rows().unwrap_or(usize::MAX));
            let fits = rows <= self.policy.max_batch && !job.stands_alone() && Kind(&job.inputs) == Kind(&first.inputs);
            if !fits {
                return (i.max(1), true);
            }
        }
        (jobs.len(), rows == self.policy.max_batch)
    }
}

/// Tensors that agree on all but the first dimension, one behind the other along it.
pub(crate) fn joined<'a>(parts: impl Iterator<Item = &'a Tensor> + Clone) -> Result<Tensor, TensorError> {
    let mut fact: Option<Fact> = None;
    for part in parts.clone() {
        match &mut fact {
            None => fact = Some(part.fact()),
            Some(Fact { shape, .. }) => {
                if let (Some(rows), Some(more)) = (shape.first_mut(), part.shape().first()) {
                    *rows = rows.saturating_add(*more);
                }
            }
        }
    }
    let fact = fact.unwrap_or_else(|| Fact::new(mindir::DType::U8, &[0]));
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(fact.bytes()).map_err(|_| TensorError::TooLarge(fact.shape.to_vec()))?;
    parts.for_each(|part| bytes.extend_from_slice(part.bytes()));
    Tensor::from_bytes(fact.dtype, &fact.shape, Bytes::from(bytes))
}

/// Parts of a tensor along its first dimension, with so many rows each; `None` if it has not as many.
pub(crate) fn parted(whole: &Tensor, rows: &[usize]) -> Option<Result<Vec<Tensor>, TensorError>> {
    let (all, rest) = whole.shape().split_first()?;
    let total = rows.iter().try_fold(0usize, |sum, n| sum.checked_add(*n))?;
    if *all != total || total == 0 {
        return None;
    }
    let row = whole.bytes().len() / total;
    let mut from = 0;
    let part = |n: &usize| {
        let bytes = whole.bytes().slice(from * row..(from + n) * row);
        from += n;
        let dims: Vec<usize> = [*n].iter().chain(rest).copied().collect();
        Tensor::from_bytes(whole.dtype(), &dims, bytes)
    };
    Some(rows.iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(rows: usize, priority: u64) -> (Job, oneshot::Receiver<Outcome>) {
        let (answer, answered) = oneshot::channel();
        let inputs = vec![Tensor::from_vec(&[rows, 2], vec![rows as f32; 2 * rows]).unwrap()];
        let client = Client::default();
        (Job { inputs, priority, sequence: None, arrived: Instant::now(), answer, client }, answered)
    }

    fn queue(max_batch: usize, delay: Duration) -> Queue {
        Queue::new(Policy { max_batch, delay, most: 4 })
    }

    fn sizes(jobs: Vec<Job>) -> Vec<usize> {
        jobs.iter().map(|job| job.rows().unwrap()).collect()
    }

    #[test]
    fn a_batch_is_as_large_as_it_may_be_and_no_request_is_split() {
        let q = queue(4, Duration::ZERO);
        [1, 2, 3, 1].into_iter().for_each(|rows| q.push(job(rows, 0).0).unwrap());
        assert_eq!(sizes(q.take().unwrap()), [1, 2]);
        assert_eq!(sizes(q.take().unwrap()), [3, 1]);
        // One that is larger than a batch runs alone.
        [9, 1].into_iter().for_each(|rows| q.push(job(rows, 0).0).unwrap());
        assert_eq!(sizes(q.take().unwrap()), [9]);
        q.close();
        assert_eq!(sizes(q.take().unwrap()), [1]);
        assert!(q.take().is_none());
    }

    #[test]
    fn urgent_ones_go_first_and_others_in_order() {
        let q = queue(1, Duration::ZERO);
        [(1, 1), (2, 0), (3, 1), (4, 0)]
            .into_iter()
            .for_each(|(rows, priority)| q.push(job(rows, priority).0).unwrap());
        assert!(matches!(q.push(job(5, 0).0), Err(Refused::Full)));
        let order: Vec<usize> = (0..4).flat_map(|_| sizes(q.take().unwrap())).collect();
        assert_eq!(order, [2, 4, 1, 3]);
    }

    #[test]
    fn a_batch_waits_for_others_but_not_for_ever() {
        let q = queue(2, Duration::from_millis(20));
        q.push(job(1, 0).0).unwrap();
        let start = Instant::now();
        assert_eq!(sizes(q.take().unwrap()), [1]);
        assert!(start.elapsed() >= Duration::from_millis(10));
        let q = queue(2, Duration::from_secs(3600));
        [1, 1].into_iter().for_each(|rows| q.push(job(rows, 0).0).unwrap());
        assert_eq!(sizes(q.take().unwrap()), [1, 1]);
    }

    #[test]
    fn who_is_gone_is_not_served_and_makes_room() {
        let q = queue(1, Duration::ZERO);
        for rows in 1..=4 {
            let (job, _answered) = job(rows, 0);
            let leaves = LeavesOnDrop(job.client.clone());
            q.push(job).unwrap();
            if rows != 3 {
                drop(leaves);
            } else {
                std::mem::forget(leaves);
            }
        }
        q.push(job(5, 0).0).unwrap();
        assert_eq!(q.len(), 2);
        assert_eq!(sizes(q.take().unwrap()), [3]);
        assert_eq!(sizes(q.take().unwrap()), [5]);
    }

    #[test]
    fn a_run_is_cancelled_once_nobody_waits_for_it() {
        let clients = [Client::default(), Client::default(), Client::default()];
        clients[0].leave();
        let token = token(clients.iter());
        clients[1].leave();
        assert!(!token.is_cancelled());
        clients[2].leave();
        assert!(token.is_cancelled());
    }

    #[test]
    fn what_is_joined_can_be_parted() {
        let parts = [job(1, 0).0, job(3, 0).0, job(2, 0).0];
        let whole = joined(parts.iter().map(|job| &job.inputs[0])).unwrap();
        assert_eq!(whole.shape(), [6, 2]);
        let again = parted(&whole, &[1, 3, 2]).unwrap().unwrap();
        for (again, job) in again.iter().zip(&parts) {
            assert_eq!((again.fact(), again.bytes()), (job.inputs[0].fact(), job.inputs[0].bytes()));
        }
        assert!(parted(&whole, &[1, 3]).is_none());
    }
}
