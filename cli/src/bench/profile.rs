//! Where the time of runs goes.

use std::time::Duration;

use mindir::{Plan, Profile, StepReport};
use serde::Serialize;

use crate::print::{self, name};

/// Means over the runs that were neither among the fastest nor among the slowest quarter. The steps and what is between them
/// are all of a run.
#[derive(Serialize)]
pub struct Profiled {
    /// A whole run with all steps timed.
    profiled_run_ns: u64,
    /// What no step takes of it: going from step to step, calls, copies.
    between_steps_ns: u64,
    steps: Vec<StepTime>,
}

#[derive(Serialize)]
struct StepTime {
    ops: String,
    path: String,
    kernel: String,
    /// How often it runs in one run.
    runs: u64,
    /// All of these together.
    mean_ns: u64,
    /// Of the whole run.
    share: f64,
    gflops_per_second: f64,
}

/// Runs with the times of their steps.
#[derive(Default)]
pub struct Samples {
    whole: Vec<u64>,
    steps: Vec<Step>,
}

struct Step {
    ops: String,
    path: String,
    kernel: String,
    runs: u64,
    flops: u64,
    /// For every run; those at the end may be missing where the step did not run.
    nanos: Vec<u64>,
}

impl Step {
    fn of(report: &StepReport) -> Step {
        let (ops, path, kernel) = (report.ops.to_string(), report.path.to_string(), report.kernel.clone());
        Step { ops, path, kernel, runs: 1, flops: report.flops, nanos: Vec::new() }
    }

    fn is(&self, report: &StepReport) -> bool {
        *self.path == *report.path && *self.ops == *report.ops && self.kernel == report.kernel
    }

    /// Adds time to run number `run`.
    fn add(&mut self, run: usize, nanos: u64) {
        self.nanos.resize(self.nanos.len().max(run + 1), 0);
        if let Some(n) = self.nanos.get_mut(run) {
            *n += nanos;
        }
    }
}

impl Samples {
    /// Nothing yet of a plan.
    pub fn of_plan(plan: &Plan) -> Samples {
        let steps = plan.stages().iter().flat_map(|s| &s.steps).map(Step::of).collect();
        Samples { whole: Vec::new(), steps }
    }

    pub fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Adds a run with the times of the steps in order.
    pub fn add(&mut self, whole: Duration, nanos: &[u64]) {
        let run = self.whole.len();
        self.whole.push(whole.as_nanos() as u64);
        self.steps.iter_mut().zip(nanos).for_each(|(step, n)| step.add(run, *n));
    }

    /// Adds a run with control flow. Plans of one place for several shapes are one.
    pub fn add_profile(&mut self, profile: &Profile) {
        let run = self.whole.len();
        self.whole.push(profile.total().as_nanos() as u64);
        let mut seen = vec![false; self.steps.len()];
        for timed in profile.steps() {
            let at = self.steps.iter().position(|s| s.is(timed.step)).unwrap_or_else(|| {
                self.steps.push(Step { runs: 0, ..Step::of(timed.step) });
                seen.push(false);
                self.steps.len() - 1
            });
            let step = &mut self.steps[at];
            step.runs = if std::mem::replace(&mut seen[at], true) { step.runs + timed.runs } else { timed.runs };
            step.add(run, timed.time.as_nanos() as u64);
        }
    }

    /// What the runs took that are neither among the fastest nor among the slowest quarter.
    pub fn summed(&self) -> Profiled {
        let mut order: Vec<usize> = (0..self.whole.len()).collect();
        order.sort_by_key(|&run| self.whole[run]);
        let cut = order.len() / 4;
        let middle = &order[cut..order.len() - cut];
        let mean = |times: &[u64]| {
            let sum: u64 = middle.iter().filter_map(|&run| times.get(run)).sum();
            sum / middle.len().max(1) as u64
        };
        let whole = mean(&self.whole);
        let steps: Vec<StepTime> = self.steps.iter().map(|s| s.time(mean(&s.nanos), whole)).collect();
        let inside: u64 = steps.iter().map(|s| s.mean_ns).sum();
        Profiled { profiled_run_ns: whole, between_steps_ns: whole.saturating_sub(inside), steps }
    }
}

impl Step {
    fn time(&self, mean_ns: u64, whole: u64) -> StepTime {
        let flops = self.flops as f64 * self.runs as f64;
        StepTime {
            ops: self.ops.clone(),
            path: self.path.clone(),
            kernel: self.kernel.clone(),
            runs: self.runs,
            mean_ns,
            share: mean_ns as f64 / whole.max(1) as f64,
            gflops_per_second: if mean_ns == 0 { 0.0 } else { flops / mean_ns as f64 },
        }
    }
}

impl Profiled {
    /// Nanoseconds of a whole run.
    pub fn whole(&self) -> u64 {
        self.profiled_run_ns
    }

    /// Nanoseconds of each of these steps, where it ran.
    pub fn times<'a>(&self, steps: impl Iterator<Item = &'a StepReport>) -> Vec<Option<u64>> {
        let mut left: Vec<Option<&StepTime>> = self.steps.iter().map(Some).collect();
        let is = |t: &StepTime, s: &StepReport| *t.path == *s.path && *t.ops == *s.ops && t.kernel == s.kernel;
        let take = |step: &StepReport| {
            let found = left.iter_mut().find(|t| t.is_some_and(|t| is(t, step)))?;
            found.take().map(|t| t.mean_ns)
        };
        steps.map(take).collect()
    }

    /// A table with the steps that take longest first.
    pub fn text(&self, title: &str) -> String {
        let mut order: Vec<&StepTime> = self.steps.iter().collect();
        order.sort_by(|a, b| b.share.total_cmp(&a.share));
        let between = self.between_steps_ns as f64;
        let share = between / self.profiled_run_ns.max(1) as f64;
        let rest = ["", "", "between steps", "", ""].map(String::from);
        let rest = [percent(share), print::time(between)].into_iter().chain(rest).collect();
        let rows = order.into_iter().map(StepTime::row).chain([rest]);
        let header = ["share", "time", "runs", "GFLOP/s", "ops", "kernel", "node"];
        let (table, whole) = (print::table(&header, &[0, 1, 2, 3], rows), print::time(self.profiled_run_ns as f64));
        format!("profile{title}: {whole} a run\n{table}")
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

impl StepTime {
    fn row(&self) -> Vec<String> {
        let speed = if self.gflops_per_second > 0.0 { format!("{:.1}", self.gflops_per_second) } else { "-".into() };
        let (time, runs) = (print::time(self.mean_ns as f64), self.runs.to_string());
        vec![percent(self.share), time, runs, speed, name(&self.ops), self.kernel.clone(), name(&self.path)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_what_is_between_them_are_the_whole_of_the_usual_run() {
        let step = |nanos: &[u64]| Step {
            ops: "Add".into(),
            path: "a".into(),
            kernel: "k".into(),
            runs: 1,
            flops: 80,
            nanos: nanos.to_vec(),
        };
        // One run was disturbed, and in one the second step did not run.
        let whole = vec![100, 9000, 104, 90];
        let samples = Samples { whole, steps: vec![step(&[60, 60, 60, 60]), step(&[20, 8000, 24])] };
        let found = samples.summed();
        assert_eq!((found.profiled_run_ns, found.between_steps_ns), (102, 20));
        let shares: f64 = found.steps.iter().map(|s| s.share).sum::<f64>() + 20.0 / 102.0;
        assert!((shares - 1.0).abs() < 1e-9);
    }
}
