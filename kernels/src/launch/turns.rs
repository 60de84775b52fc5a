//! How often the loops of an invocation turn.

use mindir_graph::task::Task;
use mindir_shaders::Lines;
use mindir_shaders::attention::Rows;

use super::{Declined, Limits, declined};

/// Says whether the loops of every invocation that computes the task turn as often as they must. Products are cut into sums that are
/// short enough, see [`Limits::longest`].
pub(super) fn fit(task: &Task, limits: &Limits) -> Result<(), Declined> {
    let turns = most(task);
    if turns <= limits.turns {
        return Ok(());
    }
    declined(format!("its loops turn up to {turns} times, and the adapter ends them after {}", limits.turns))
}

/// No loops of one invocation turn more often, all together.
fn most(task: &Task) -> u64 {
    let times = |factors: &[usize]| factors.iter().fold(1u64, |n, &factor| n.saturating_mul(factor as u64));
    let line = |len: usize, inner: usize| match Lines::for_axis(len, inner) {
        Lines::Single => times(&[4, len]),
        Lines::Group => times(&[4, len.div_ceil(256)]) + 64,
    };
    match task {
        Task::Conv(c) => times(&[4, c.c_in / c.groups.max(1), c.kernel[0], c.kernel[1]]),
        Task::Pool(p) => times(&[2, p.kernel[0], p.kernel[1]]),
        Task::Softmax(s) => line(s.len, s.inner),
        Task::Reduce(r) => line(r.len, r.inner),
        Task::Norm(n) => line(n.cols, 1),
        Task::Scan(s) => times(&[4, s.len]),
        // Updates of one slice are put in order.
        Task::Scatter(s) => times(&[4, s.count, bits(s.count)]),
        // One invocation goes through a line with equal elements.
        Task::Sort(s) if s.selects() => times(&[8, s.len, bits(s.len)]),
        // For one query 256 keys at a time, for more 32, of which 16 elements or 16 keys are multiplied at a time.
        Task::Attention(a) => {
            let keys = Rows::covering(a.scores.m).keys();
            let each = if keys == 256 {
                a.scores.k.saturating_add(300)
            } else {
                a.scores.k.div_ceil(16).saturating_mul(34).saturating_add(140)
            };
            times(&[a.scores.n.div_ceil(keys), each])
        }
        Task::Recurrent(r) => times(&[4, r.hidden]),
        _ => 0,
    }
}

/// Bits of a number.
fn bits(n: usize) -> usize {
    (usize::BITS - n.leading_zeros()) as usize
}
