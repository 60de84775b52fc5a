//! Random cases: a seeded stream of choices, and how long tests draw from it.

pub mod grow;
pub mod keep;
pub mod network;
pub mod onnx;
pub mod tasks;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mindir::graph::Model;
use mindir::{Dim, Options, Tensor, check};
use mindir_graph::random::SplitMix;

/// A stream of choices, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Random(SplitMix);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        Random(SplitMix(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)))
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high + 1 - low)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`, which are some.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// Which seeds a test runs.
///
/// Unless the environment says otherwise these are the first `count`, the same in every run. `MINDIR_RANDOM_TIMES` makes them so
/// many times as many, and `MINDIR_RANDOM_SEED` says where they start. `MINDIR_RANDOM_SECONDS` ends them after that long; alone it
/// goes on until then, from a fresh seed. Where they start is printed.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let number =
        |name: &str| std::env::var(name).ok().map(|s| s.parse::<u64>().unwrap_or_else(|e| panic!("{name}: {e}")));
    let (seconds, times) = (number("MINDIR_RANDOM_SECONDS"), number("MINDIR_RANDOM_TIMES"));
    let fresh = || SystemTime::UNIX_EPOCH.elapsed().map_or(1, |t| t.as_nanos() as u64 >> 10);
    let first = number("MINDIR_RANDOM_SEED").or_else(|| seconds.map(|_| fresh())).unwrap_or(0);
    let end = seconds.map(|s| Instant::now() + Duration::from_secs(s));
    let count = if end.is_some() && times.is_none() { u64::MAX } else { count.saturating_mul(times.unwrap_or(1)) };
    if first != 0 {
        println!("MINDIR_RANDOM_SEED={first}");
    }
    let in_time = move || end.is_none_or(|end| Instant::now() < end);
    (0..count).take_while(move |_| in_time()).map(move |i| first.wrapping_add(i))
}

/// Whether what [`check()`] found with `inputs` is a fault whatever they hold. All that is left of numbers that cancel are errors of
/// rounding, which no tolerance of what is left allows: with other contents they do not cancel.
pub fn persists(model: &Arc<Model>, inputs: &[Tensor], found: &str) -> bool {
    let dims = |t: &Tensor| Some(t.shape().iter().map(|n| Dim::Known(*n)).collect());
    let dims: Vec<Option<Vec<Dim>>> = inputs.iter().map(dims).collect();
    let cancels = found.contains("the largest magnitude is");
    let Ok(sets) = check::inputs(model, &dims, &Options::default()) else { return true };
    let sound = |set: &check::Set| {
        let options = check::Options { threads: 2, ..check::Options::default() };
        check(model.clone(), &set.inputs, &options).is_ok_and(|report| report.is_equal())
    };
    !(cancels && sets.iter().filter(|set| set.name.starts_with("random")).any(sound))
}

/// What a panic says.
pub fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?").to_string()
}

/// What kind of fault a text is about: what it begins with, numbers left out.
pub fn kind(text: &str) -> String {
    text.split(" element ").next().unwrap_or_default().chars().filter(|c| !c.is_ascii_digit()).take(60).collect()
}
