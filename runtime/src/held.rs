//! What one run holds while it goes from plan to plan: the plans that it used last, with their memory, and the buffers of values
//! that are gone. A loop finds everything here that it needs for another turn.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use mindir_graph::graph::GraphId;
use mindir_graph::{Buffer, Fact, Tensor};

use crate::Error;
use crate::interpret::Site;
use crate::plan::Workspace;
use crate::plans::{Key, Plans, Ready};
use crate::profile::Recorder;

/// Most buffers to keep, and most bytes in them.
const MOST_SPARE: (usize, usize) = (16, 32 << 20);

/// Most lists of values to keep.
const MOST_LISTS: usize = 4;

/// A plan in use.
pub(crate) struct Point {
    pub site: Arc<Site>,
    pub ready: Arc<Ready>,
    key: Key,
    workspace: Workspace,
}

impl Point {
    /// Whether the plan is for these values.
    fn fits(&self, entries: &[Tensor]) -> bool {
        let same = |(t, f): (&Tensor, &Fact)| t.dtype() == f.dtype && t.shape() == f.shape.as_slice();
        entries.len() == self.key.facts.len()
            && entries.iter().zip(&self.key.facts).all(same)
            && self.key.known.iter().all(|(i, bytes)| entries.get(*i).is_some_and(|t| t.bytes() == bytes))
    }
}

/// See the module.
pub(crate) struct Held<'a> {
    plans: &'a Plans,
    points: BTreeMap<(GraphId, usize), Box<Point>>,
    spare: SpareBuffers,
    /// Lists of values of frames that are gone, empty.
    lists: Vec<Vec<Option<Tensor>>>,
    /// Takes the times of the steps, if somebody asks for them.
    pub recorder: Option<&'a mut Recorder>,
}

impl<'a> Held<'a> {
    /// Nothing yet.
    pub fn new(plans: &'a Plans, recorder: Option<&'a mut Recorder>) -> Held<'a> {
        Held { plans, points: BTreeMap::new(), spare: SpareBuffers::default(), lists: Vec::new(), recorder }
    }

    /// The values' place and the plan that was used there last.
    pub fn point(&self, at: (GraphId, usize)) -> Option<&Point> {
        self.points.get(&at).map(Box::as_ref)
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
                    let workspace = self.plans.take(&ready)?;
                    let left = last.insert(Box::new(Point { site: site.clone(), ready, key, workspace }));
                    self.plans.give(&left.ready, left.workspace);
                }
                last.into_mut()
            }
            Entry::Vacant(first) => {
                let (key, ready) = find(&entries)?;
                let workspace = self.plans.take(&ready)?;
                first.insert(Box::new(Point { site: site.clone(), ready, key, workspace }))
            }
        };
        let Point { ready, workspace, .. } = &mut **point;
        let run =
            |nanos: Option<&mut [u64]>| ready.compiled.tensors(workspace, entries, params, &mut self.spare, nanos);
        let values = match &mut self.recorder {
            None => run(None)?,
            Some(recorder) => recorder.plan(at.0, ready, |nanos| run(Some(nanos)))?,
        };
        Ok((ready.clone(), values))
    }

    /// Lets the plan that starts at `at` go.
    pub fn leave(&mut self, at: (GraphId, usize)) {
        if let Some(point) = self.points.remove(&at) {
            self.plans.give(&point.ready, point.workspace);
        }
    }

    /// The values of a frame of `len`, none of which exists.
    pub fn values(&mut self, len: usize) -> Vec<Option<Tensor>> {
        let mut list = self.lists.pop().unwrap_or_default();
        list.resize(len, None);
        list
    }

    /// Takes the values of a frame that is gone.
    pub fn leave_values(&mut self, mut values: Vec<Option<Tensor>>) {
        self.spare.keep(values.drain(..).flatten());
        if self.lists.len() < MOST_LISTS {
            self.lists.push(values);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for point in std::mem::take(&mut self.points).into_values() {
            self.plans.give(&point.ready, point.workspace);
        }
    }
}

/// Buffers for results to come; the last kept is last.
#[derive(Default)]
pub(crate) struct SpareBuffers {
    buffers: Vec<Buffer>,
    bytes: usize,
}

impl SpareBuffers {
    /// A buffer of `len` bytes that hold anything. If there is no memory for it, all buffers that are kept go first.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn take(&mut self, len: usize) -> Result<Buffer, Error> {
        if let Some(at) = self.buffers.iter().rposition(|b| b.bytes().len() == len) {
            return Ok(self.remove(at));
        }
        let made = Buffer::new(len).or_else(|_| {
            *self = SpareBuffers::default();
            Buffer::new(len)
        });
        Ok(made?)
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
