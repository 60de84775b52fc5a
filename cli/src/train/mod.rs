//! `mindir train`.

mod curve;
mod rate;
mod stop;

use clap::Args;
use mindir::ckpt::{
    AppendInfo, Checkpoint, CheckpointConfig, CheckpointManager, ConfigError, LoadOptions, Progress, Value,
};
use mindir::random::SplitMix;
use mindir::{GraphCell, Port, Tensor};
use serde::Serialize;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

use self::rate::{Rate, Schedule};
use self::stop::Stop;
use crate::args::{self, DeviceArgs, ModelArg, ThreadArg};
use crate::eval::{self, Judge, JudgeArgs};
use crate::failure::{Failure, Outcome};
use crate::print::{self, number};
use crate::samples::{SampleArgs, Samples, Shaping, ShapingArgs};
use crate::save;
use crate::stdin;

/// What is saved of the place in the data, besides MindSpore's `epoch_num` and `step_num`.
const SEED: &str = "shuffle_seed";
const BATCH: &str = "batch_size";
const SAMPLES: &str = "sample_count";
const STEP: &str = "step_num";

/// Train with a step that MindSpore exported.
///
/// MODEL is one step of training: samples and labels in, the loss out, and it writes its parameters, as
/// `ms.export(nn.TrainOneStepCell(…), x, y, …)` makes it. Each epoch takes the samples in another order, batch by batch; what
/// does not fill a batch is left out.
///
/// Checkpoints are called PREFIX-EPOCH_STEP.ckpt as MindSpore's ModelCheckpoint calls them, PREFIX_1-… in a folder that has some
/// of the prefix already. Ctrl-C, SIGTERM, SIGHUP (unless it is ignored, as after nohup) and an error leave
/// PREFIX-EPOCH_STEP_breakpoint.ckpt, but a loss that is not finite leaves none; a second signal ends at once. The exit code is 130
/// after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP.
///
/// A training that goes on with --resume and the same arguments ends with the same bytes as one that was not interrupted. Another
/// seed, batch or number of samples than before is refused.
///
/// Before the first step the folder is tried, and the model of --eval runs the first of its samples.
#[derive(Args, Debug)]
pub struct Train {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    samples: SampleArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
    /// Epochs in all, those before --resume included
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    epochs: u64,
    /// Seed of the order of the samples
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u32,
    /// Take the samples in their order in every epoch
    #[arg(long, conflicts_with = "seed")]
    in_order: bool,
    /// Learning rate: the last input of the step, if it has one behind samples and labels, else its parameter learning_rate
    /// [default: what the parameter holds]
    #[arg(long, value_name = "RATE", value_parser = rate::rate)]
    lr: Option<f64>,
    /// How the rate changes from epoch to epoch: constant; cosine, down to 0 after the last; step:EPOCHS:FACTOR, times FACTOR after
    /// every so many epochs
    #[arg(long, value_name = "SCHEDULE", default_value = "constant", value_parser = Schedule::parse, requires = "lr")]
    lr_schedule: Schedule,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    between: BetweenArgs,
    /// Print the loss after every so many steps, too
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "json")]
    log_every: Option<u64>,
    /// Write the losses of all steps as a picture
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadArg,
    /// Print JSON at the end
    #[arg(long)]
    json: bool,
}

/// Checkpoints.
#[derive(Args, Debug)]
struct KeepArgs {
    /// Folder for checkpoints, which is made if needed
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// What the names of checkpoints begin with [default: the name of the model's file, or model where that is standard input]
    #[arg(long, value_name = "NAME")]
    prefix: Option<String>,
    /// Save after every so many steps, and after the last [default: those of an epoch]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    save_every_steps: Option<u64>,
    /// Keep so many checkpoints; the oldest goes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = most)]
    keep_max: usize,
    /// Go on after the step of this checkpoint
    #[arg(long, value_name = "CKPT")]
    resume: Option<PathBuf>,
}

fn most(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| *n > 0);
    n.ok_or_else(|| "expected a number of checkpoints from 1 on".into())
}

/// What happens after each epoch.
#[derive(Args, Debug)]
struct BetweenArgs {
    /// Judge this model with the parameters so far after each epoch, as `mindir eval` does
    #[arg(long, value_name = "MODEL", requires = "eval_data")]
    eval: Option<PathBuf>,
    /// Samples to judge it by; as --data
    #[arg(long, value_name = "DIR|FILE", requires = "eval")]
    eval_data: Option<PathBuf>,
    /// As --labels
    #[arg(long, value_name = "FILE", requires = "eval")]
    eval_labels: Vec<PathBuf>,
    #[command(flatten)]
    judge: JudgeArgs,
}

impl BetweenArgs {
    /// Refuses flags about a model to judge where there is none.
    fn check(&self) -> Result<(), Failure> {
        match self.judge.flag() {
            Some(flag) if self.eval.is_none() => {
                Err(Failure::Usage(format!("{flag} is about the model of --eval, and there is none")))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Report {
    /// Steps since the start, also before this run.
    step: u64,
    steps_per_epoch: u64,
    epochs: Vec<Epoch>,
    /// The loss of every step of this run.
    losses: Vec<f64>,
    checkpoint: Option<String>,
}

/// An epoch, or the part of it that was run.
#[derive(Serialize)]
struct Epoch {
    epoch: u64,
    /// Mean of the losses.
    loss: f64,
    lr: Option<f64>,
    eval: Option<eval::Report>,
}

impl Train {
    pub fn execute(self) -> Result<Outcome, Failure> {
        self.between.check()?;
        let data = Samples::read(&self.samples.data, &self.samples.labels, &self.samples.keys)?;
        if let Some(path) = &self.plot {
            save::must_end(path, &[("svg", ())])?;
            save::try_target(path)?;
        }
        let (loaded, _) = self.model.load()?;
        let mut cell = args::cell(loaded.model, self.device.options(self.threads.threads)?)?;
        let step = Step::new(&self, &cell, &data)?;
        let done = self.keep.resume.as_ref().map_or(Ok(0), |path| self.resume(path, &mut cell, &step))?;
        let referee = Referee::new(&self, &cell.checkpoint())?;
        let mut manager = self.manager(&step)?;
        manager.go_on_after(done);
        let stop = Stop::on_signals()?;
        let cell = RefCell::new(cell);
        let mut state = Course {
            train: &self,
            step,
            cell: &cell,
            referee,
            stop: &stop,
            is_spoilt: false,
            epochs: Vec::new(),
            losses: Vec::new(),
        };
        let ended = state.course(done, &mut manager);
        let (per_epoch, losses, epochs) = (state.step.per_epoch, state.losses, state.epochs);
        let curve: Vec<(u64, f64)> = (done + 1..).zip(losses.iter().copied()).collect();
        let draw = |path: &PathBuf| save::write(path, |out| out.write_all(curve::svg(&curve).as_bytes()));
        let drawn = self.plot.as_ref().map_or(Ok(()), draw);
        let ended = ended?;
        drawn?;
        let checkpoint = ended.saved.or(manager.latest().map(Path::to_path_buf)).map(|path| path.display().to_string());
        let report = Report { step: ended.step, steps_per_epoch: per_epoch, epochs, losses, checkpoint };
        let text = match (self.json, &report.checkpoint, ended.is_interrupted) {
            (true, ..) => print::json(&report),
            (_, Some(path), true) => format!("interrupted; --resume {path} goes on after step {}\n", report.step),
            (_, None, true) => "interrupted before the first step\n".into(),
            (_, Some(path), _) => format!("saved {path}\n"),
            _ => "nothing is left to do\n".into(),
        };
        let outcome = if self.json { Outcome::ok(text) } else { Outcome::done(text) };
        Ok(Outcome { code: if ended.is_interrupted { stop.code() } else { 0 }, ..outcome })
    }

    /// The seed of the order, if there is one.
    fn seed(&self) -> Option<u32> {
        (!self.in_order).then_some(self.seed)
    }

    /// Gives the step what a checkpoint holds; returns how many steps are done.
    fn resume(&self, path: &Path, cell: &mut GraphCell, step: &Step) -> Result<u64, Failure> {
        let (saved, _) = self.model.key.files.read(path)?;
        let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
        self.check_place(&saved, step).map_err(wrong)?;
        let done = integer(&saved, STEP).or_else(|| integer(&saved, "global_step"));
        let done = done
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| wrong(format!("expected the number of steps as {STEP} or global_step, found none")))?;
        let loaded = cell.load_param_into_net(&saved, LoadOptions { strict: true })?;
        match loaded.param_not_load.as_slice() {
            [] => Ok(done),
            [first, ..] => Err(wrong(format!("expected a value for parameter {}, found none", print::name(first)))),
        }
    }

    /// Refuses a checkpoint of a training that took other samples, or took them in another order or other batches, as far as it tells.
    fn check_place(&self, saved: &Checkpoint, step: &Step) -> Result<(), String> {
        for (name, what, now) in [(BATCH, "batches of", step.batch), (SAMPLES, "data of", step.data.len())] {
            let was = integer(saved, name).unwrap_or(now as i64);
            if was != now as i64 {
                return Err(format!("it was saved with {what} {was} samples: expected as many, found {now}"));
            }
        }
        let order = |seed: Option<i64>| seed.map_or("--in-order".into(), |seed| format!("--seed {seed}"));
        let (was, now) = (integer(saved, SEED), self.seed().map(i64::from));
        let is_told = was.is_some() || saved.get(BATCH).is_some();
        if is_told && was != now {
            return Err(format!("its samples came in the order of {}, not of {}", order(was), order(now)));
        }
        Ok(())
    }

    fn manager(&self, step: &Step) -> Result<CheckpointManager, Failure> {
        let seed = self.seed().map(|seed| (SEED, i64::from(seed)));
        let place = [(BATCH, step.batch as i64), (SAMPLES, step.data.len() as i64)];
        let values = seed.into_iter().chain(place).map(|(name, n)| (name.to_string(), Value::from(n))).collect();
        let config = CheckpointConfig {
            save_checkpoint_steps: self.keep.save_every_steps.unwrap_or(step.per_epoch),
            keep_checkpoint_max: self.keep.keep_max,
            exception_save: true,
            append_info: AppendInfo { epoch_num: Some(0), step_num: Some(0), values },
            ..CheckpointConfig::default()
        };
        let path = if stdin::is(&self.model.path) { Path::new("model") } else { &self.model.path };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let prefix = self.keep.prefix.as_deref().unwrap_or(&stem);
        CheckpointManager::new(prefix, &self.keep.output, config).map_err(|e| match e {
            ConfigError::Folder { source, .. } => Failure::file(&self.keep.output)(source),
            ConfigError::Store(e) => Failure::Model(mindir::ExportError::Store(e).into()),
            other => Failure::Usage(other.to_string()),
        })
    }
}

/// The one integer that a checkpoint has under a name.
fn integer(checkpoint: &Checkpoint, name: &str) -> Option<i64> {
    let tensor = checkpoint.get(name)?.array()?.tensor().ok()?;
    match tensor.to_i64s().ok()?.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// What goes into each step.
struct Step<'a> {
    data: &'a Samples,
    ports: Vec<Port>,
    label: Port,
    shaping: Shaping<'a>,
    batch: usize,
    per_epoch: u64,
    rate: Rate,
}

impl<'a> Step<'a> {
    fn new(train: &'a Train, cell: &GraphCell, data: &'a Samples) -> Result<Step<'a>, Failure> {
        let all = cell.inputs();
        let count = data.width();
        if all.len() <= count {
            let (from, found) = (data.from(), print::plural(count, "array"));
            let inputs = args::list(&all);
            let text = format!("{from}: a step takes {found} and their labels, expected more inputs than {inputs}");
            return Err(Failure::Usage(text));
        }
        let (ports, rest) = all.split_at(count);
        let (label, rest) = rest.split_at(1);
        data.check(ports, &train.shaping)?;
        let size = train.shaping.batch_of(&[ports, label].concat())?.size;
        let per_epoch = data.len() / size;
        if per_epoch == 0 {
            let text = format!("expected {} for a batch, found {}", print::plural(size, "sample"), data.len());
            return Err(Failure::Usage(format!("{}: {text}", data.from())));
        }
        let shaping = Shaping { args: &train.shaping, recorded: None, limits: &train.device.limits };
        let rate = Rate::new(train.lr, train.lr_schedule, train.epochs, cell, rest)?;
        let (ports, label) = (ports.to_vec(), label[0].clone());
        Ok(Step { data, ports, label, shaping, batch: size, per_epoch: per_epoch as u64, rate })
    }

    /// The inputs for samples in an epoch.
    fn inputs(&self, of: &[usize], epoch: u64) -> Result<Vec<Tensor>, Failure> {
        let mut inputs = self.data.inputs(of, &self.ports, self.shaping)?;
        inputs.push(self.data.label_input(of, &self.label)?);
        inputs.extend(self.rate.input(epoch)?);
        Ok(inputs)
    }
}

/// The model that is judged between epochs.
struct Referee {
    cell: GraphCell,
    data: Samples,
}

impl Referee {
    /// Refuses, before anything is trained, what could not be judged with parameters such as these.
    fn new(train: &Train, values: &Checkpoint) -> Result<Option<Referee>, Failure> {
        let BetweenArgs { eval: Some(path), eval_data: Some(data), eval_labels, .. } = &train.between else {
            return Ok(None);
        };
        let data = Samples::read(data, eval_labels, &[])?;
        let model = args::load(train.model.key.source(path)?)?.model;
        let cell = args::cell(model, train.device.options(train.threads.threads)?)?;
        let mut referee = Referee { cell, data };
        referee.judge(train, values)?.rehearse().map_err(Failure::of("--eval"))?;
        Ok(Some(referee))
    }

    /// The model with these parameters, ready to be judged.
    fn judge<'a>(&'a mut self, train: &'a Train, values: &Checkpoint) -> Result<Judge<'a>, Failure> {
        eval::fill(&mut self.cell, values, "the step, for --eval")?;
        Judge::new(&self.cell, &self.data, &train.shaping, &train.device, &train.between.judge)
    }

    fn report(&mut self, train: &Train, values: &Checkpoint) -> Result<eval::Report, Failure> {
        let bar = eval::bar(self.data.len() as u64, "samples");
        self.judge(train, values)?.report(bar)
    }
}

/// A training that is under way.
struct Course<'a> {
    train: &'a Train,
    step: Step<'a>,
    cell: &'a RefCell<GraphCell>,
    referee: Option<Referee>,
    stop: &'a Stop,
    /// Whether the last step left parameters that are of no use.
    is_spoilt: bool,
    epochs: Vec<Epoch>,
    losses: Vec<f64>,
}

/// How a training ended.
struct Ended {
    step: u64,
    is_interrupted: bool,
    saved: Option<PathBuf>,
}

impl Course<'_> {
    /// Trains from step `done` on.
    fn course(&mut self, done: u64, manager: &mut CheckpointManager) -> Result<Ended, Failure> {
        let cell = self.cell;
        let mut run = manager.run(|| cell.borrow().checkpoint());
        let per_epoch = self.step.per_epoch;
        let first = done / per_epoch + 1;
        let mut step = done;
        for epoch in first..=self.train.epochs {
            let last = epoch * per_epoch;
            let trained = self.epoch(epoch, step + 1..=last, |at| {
                step = at;
                run.step_end(Progress::new(at, per_epoch))
            });
            match trained {
                Ok(true) => {}
                Ok(false) => {
                    let saved = run.interrupt()?;
                    return Ok(Ended { step, is_interrupted: true, saved });
                }
                Err(failure) if self.is_spoilt => {
                    run.abandon();
                    print::stderr("the parameters are of no use after that step: they are not saved\n");
                    return Err(failure);
                }
                Err(failure) => {
                    match run.interrupt().map_err(Failure::from) {
                        Ok(Some(saved)) => print::stderr(&format!("step {step} is saved as {}\n", saved.display())),
                        Ok(None) => {}
                        Err(other) => print::stderr(&format!("step {step} is not saved: {}\n", other.message())),
                    }
                    return Err(failure);
                }
            }
        }
        let saved = run.finish()?;
        Ok(Ended { step, is_interrupted: false, saved })
    }

    /// Runs these steps of an epoch; whether it got to the end.
    fn epoch<E: Into<Failure>>(
        &mut self,
        epoch: u64,
        steps: std::ops::RangeInclusive<u64>,
        mut step_end: impl FnMut(u64) -> Result<Option<PathBuf>, E>,
    ) -> Result<bool, Failure> {
        self.step.rate.set(self.cell, epoch)?;
        let order = order(self.step.data.len(), self.train.seed(), epoch);
        let batch = self.step.batch;
        let before = self.losses.len();
        let bar = eval::bar(self.step.per_epoch, "steps");
        for step in steps {
            if self.stop.is_asked() {
                return Ok(false);
            }
            let at = Progress::new(step, self.step.per_epoch).step_in_epoch();
            bar.set_position(at);
            let of = order.chunks_exact(batch).nth(at as usize - 1).unwrap_or_default();
            let inputs = self.step.inputs(of, epoch)?;
            let loss = self.loss(step, &inputs)?;
            self.losses.push(loss);
            let saved = step_end(step).map_err(Into::into)?;
            if let Some(path) = saved {
                print::tell(|| format!("step {step} is saved as {}", path.display()));
            }
            if self.train.log_every.is_some_and(|every| step.is_multiple_of(every)) {
                self.say(|| format!("step {step}  loss {}\n", number(loss)))?;
            }
        }
        bar.finish_and_clear();
        let losses = self.losses.get(before..).unwrap_or_default();
        let loss = losses.iter().sum::<f64>() / losses.len() as f64;
        let lr = self.step.rate.of(epoch);
        let values = self.cell.borrow().checkpoint();
        let train = self.train;
        let eval = self.referee.as_mut().map(|referee| referee.report(train, &values)).transpose()?;
        let rate = lr.map_or(String::new(), |lr| format!("  lr {}", number(lr)));
        let judged = eval.as_ref().map_or(String::new(), |eval| format!("  {}", eval.line()));
        self.say(|| format!("epoch {epoch}  loss {}{rate}{judged}\n", number(loss)))?;
        self.epochs.push(Epoch { epoch, loss, lr, eval });
        Ok(true)
    }

    /// Runs a step; its loss.
    fn loss(&mut self, step: u64, inputs: &[Tensor]) -> Result<f64, Failure> {
        let wrong = |what: String| Failure::Usage(format!("step {step}: {what}"));
        let outputs = self.cell.borrow().run(inputs)?;
        self.is_spoilt = true;
        let first = outputs.first().ok_or_else(|| wrong("expected the loss, found no result".into()))?;
        match first.to_f64s()?.as_slice() {
            [loss] if loss.is_finite() => {
                self.is_spoilt = false;
                Ok(*loss)
            }
            [loss] => Err(wrong(format!("expected a finite loss, found {loss}"))),
            _ => Err(wrong(format!("expected the loss as one number, found {}", first.fact()))),
        }
    }

    /// Prints a line as soon as it is known, unless JSON follows.
    fn say(&self, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.train.json { Ok(()) } else { print::stdout(&text()) }
    }
}

/// The order of the samples in an epoch.
fn order(count: usize, seed: Option<u32>, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if let Some(seed) = seed {
        let mut bits = SplitMix(SplitMix(u64::from(seed)).bits() ^ epoch);
        for last in (1..count).rev() {
            order.swap(last, bits.below(last as u64 + 1) as usize);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_sample_once_in_an_order_of_its_own() {
        let sorted = |mut all: Vec<usize>| {
            all.sort();
            all
        };
        let (a, b) = (order(100, Some(1), 1), order(100, Some(1), 2));
        assert_eq!(sorted(a.clone()), (0..100).collect::<Vec<_>>());
        assert_eq!(sorted(b.clone()), (0..100).collect::<Vec<_>>());
        assert_ne!(a, b);
        assert_ne!(a, order(100, Some(2), 1));
        assert_eq!(a, order(100, Some(1), 1));
        assert_eq!(order(3, None, 7), [0, 1, 2]);
        assert_eq!(order(0, Some(1), 1), [0; 0]);
    }
}
