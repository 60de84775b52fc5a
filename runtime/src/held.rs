//! What one run holds while it goes from plan to plan: the plans that it used last, with their memory, and the buffers of values
//! that are gone. A loop finds everything here that it needs for another turn.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use mindir_graph::graph::GraphId;
use mindir_graph::{Buffer, Fact, Tensor};

use crate::Error;
use crate::interpret::Site;
use crate::plan::State;
use crate::plans::{Key, Plans, Ready};

/// Most buffers to keep, and most bytes in them.
const MOST_SPARE: (usize, usize) = (16, 32 << 20);

/// A plan in use.
pub(crate) struct Point {
    pub site: Arc<Site>,
    pub ready: Arc<Ready>,
    key: Key,
    state: State,
}

impl Point {
    /// Whether the plan is for these values.
    fn fits(&self, entries: &[Tensor]) -> bool {
        let same = |(t, f): (&Tensor, &Fact)| t.dtype() == f.dtype && t.shape() == f.shape.as_slice();
        entries.len() == self.key.facts.len()
            && entries.iter().zip(&self.key.facts).all(same)
            && self.key.known.iter().all(|(i, bytes)| entries[*i].bytes() == bytes)
    }
}

/// See the module.
pub(crate) struct Held<'a> {
    plans: &'a Plans,
    points: HashMap<(GraphId, usize), Point>,
    spare: Spare,
}

impl<'a> Held<'a> {
    /// Nothing yet.
    pub fn new(plans: &'a Plans) -> Held<'a> {
        Held { plans, points: HashMap::new(), spare: Spare::default() }
    }

    /// The values' place and the plan that was used there last.
    pub fn point(&self, at: (GraphId, usize)) -> Option<&Point> {
        self.points.get(&at)
    }

    /// Runs the plan that starts at `at` for `entries`, which go with it; `find` finds the plan if it is another one than the
    /// last time. Gives the plan and its results.
    pub fn run(
        &mut self,
        at: (GraphId, usize),
        site: &Arc<Site>,
        entries: Vec<Tensor>,
        params: &mut [Tensor],
        find: impl FnOnce(&[Tensor]) -> Result<(Key, Arc<Ready>), Error>,
    ) -> Result<(Arc<Ready>, Vec<Tensor>), Error> {
        let point = match self.points.entry(at) {
            Entry::Occupied(mut last) => {
                if !last.get().fits(&entries) {
                    let (key, ready) = find(&entries)?;
                    let state = self.plans.take(&ready);
                    let left = last.insert(Point { site: site.clone(), ready, key, state });
                    self.plans.give(&left.ready, left.state);
                }
                last.into_mut()
            }
            Entry::Vacant(first) => {
                let (key, ready) = find(&entries)?;
                let state = self.plans.take(&ready);
                first.insert(Point { site: site.clone(), ready, key, state })
            }
        };
        let values = point.ready.plan.tensors(&mut point.state, entries, params, &mut self.spare)?;
        Ok((point.ready.clone(), values))
    }

    /// Lets the plan that starts at `at` go.
    pub fn leave(&mut self, at: (GraphId, usize)) {
        if let Some(point) = self.points.remove(&at) {
            self.plans.give(&point.ready, point.state);
        }
    }

    /// Keeps the buffers of values that are gone.
    pub fn keep(&mut self, values: impl IntoIterator<Item = Tensor>) {
        self.spare.keep(values);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for (_, point) in self.points.drain() {
            self.plans.give(&point.ready, point.state);
        }
    }
}

/// Buffers for results to come; the last kept is last.
#[derive(Default)]
pub(crate) struct Spare {
    buffers: Vec<Buffer>,
    bytes: usize,
}

impl Spare {
    /// A buffer of `len` bytes that hold anything.
    pub fn take(&mut self, len: usize) -> Buffer {
        match self.buffers.iter().rposition(|b| b.bytes().len() == len) {
            Some(at) => self.remove(at),
            None => Buffer::new(len),
        }
    }

    fn remove(&mut self, at: usize) -> Buffer {
        let buffer = self.buffers.remove(at);
        self.bytes -= buffer.bytes().len();
        buffer
    }

    /// Keeps the buffers of those values that nobody shares.
    pub fn keep(&mut self, values: impl IntoIterator<Item = Tensor>) {
        for buffer in values.into_iter().filter_map(|t| t.into_buffer().ok()) {
            self.bytes += buffer.bytes().len();
            self.buffers.push(buffer);
            while self.buffers.len() > MOST_SPARE.0 || self.bytes > MOST_SPARE.1 {
                drop(self.remove(0));
            }
        }
    }
}
