//! `mindir eval`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use mindir::ckpt::{Checkpoint, LoadOptions};
use mindir::metrics::{Classification, MetricError, Regression};
use mindir::{GraphCell, Tensor};
use serde::Serialize;

use crate::args::{self, DeviceArgs, KeyArgs, ModelArg, ThreadArg};
use crate::failure::{Failure, Outcome};
use crate::print::{self, number};
use crate::samples::{Batch, SampleArgs, Samples, Shaping, ShapingArgs};

/// Say how good a model is on samples with labels.
///
/// Of a classifier, whose scores are [N, CLASSES]: accuracy, how often the label is among the five best, precision and recall of
/// each class, and the confusion matrix. Of a model that computes numbers: the errors of these. Labels that are floats mean the
/// latter.
///
/// Samples go through the model in batches. One that was exported with a batch of n gets n at once, or as many as --batch says
/// where its operators allow that; the last batch is filled up with copies of its last sample, which do not count. Where the
/// batch is open, the last one is smaller.
///
/// Pictures become numbers as in `mindir run`: by the flags below, or as the model records it if none is given.
#[derive(Args, Debug)]
pub struct Eval {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    samples: SampleArgs,
    #[command(flatten)]
    shaping: ShapingArgs,
    #[command(flatten)]
    judge: JudgeArgs,
    /// Judge the model with the parameters of a checkpoint, which must have all of them
    #[arg(long, value_name = "CKPT")]
    params: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is judged, and how.
#[derive(Args, Debug, Clone)]
pub struct JudgeArgs {
    /// What to say [default: accuracy, top5, precision, recall, f1 and confusion where labels are classes, mae, mse, rmse and r2 where they
    /// are floats]
    #[arg(long, value_enum, value_name = "METRIC,…", value_delimiter = ',')]
    pub metrics: Vec<Metric>,
    /// Number of the result that is judged, from 0 on [default: 0]
    #[arg(long, value_name = "N")]
    result: Option<usize>,
}

impl JudgeArgs {
    /// A flag that is given.
    pub fn flag(&self) -> Option<&'static str> {
        let flags = [("--metrics", !self.metrics.is_empty()), ("--result", self.result.is_some())];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }

    /// Which result is judged.
    fn result(&self) -> usize {
        self.result.unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Metric {
    /// Share of the samples whose highest score is the label's.
    Accuracy,
    /// Share of the samples whose label is among the five best.
    Top5,
    /// Share of the answers that are right, for each class and its mean.
    Precision,
    /// Share of the labels that are answered, for each class and its mean.
    Recall,
    /// Harmonic mean of both.
    F1,
    /// How often a label gets which answer; without being asked for, of at most 20 classes.
    Confusion,
    /// Mean of the absolute errors.
    Mae,
    /// Mean of the squared errors.
    Mse,
    /// Root of the mean of the squared errors.
    Rmse,
    /// Share of the targets' variance that is explained.
    R2,
}

const OF_CLASSES: [Metric; 6] =
    [Metric::Accuracy, Metric::Top5, Metric::Precision, Metric::Recall, Metric::F1, Metric::Confusion];
const OF_NUMBERS: [Metric; 4] = [Metric::Mae, Metric::Mse, Metric::Rmse, Metric::R2];

/// Scores that `top5` looks at.
const TOP: usize = 5;
/// Classes of a confusion matrix that is shown without being asked for.
const FEW: usize = 20;

impl Eval {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let SampleArgs { data, labels, keys } = &self.samples;
        let samples = Samples::read(data, labels, keys)?;
        let (loaded, _) = self.model.load()?;
        let mut cell = args::cell(loaded.model, self.device.options(self.threads.threads)?)?;
        if let Some(path) = &self.params {
            fill_from(&mut cell, path, &self.model.key.files)?;
        }
        let judge = Judge::new(&cell, &samples, &self.shaping, &self.device, &self.judge)?;
        let report = judge.report(bar(samples.len() as u64, "samples"))?;
        args::tell_packed(&cell);
        Ok(Outcome::ok(if self.json { print::json(&report) } else { report.text() }))
    }
}

/// Gives every parameter of a model its value in the checkpoint at `path`.
pub fn fill_from(cell: &mut GraphCell, path: &Path, key: &KeyArgs) -> Result<(), Failure> {
    if cell.model().params.is_empty() {
        return Err(Failure::Usage(format!("--params {}: the model has no parameters", path.display())));
    }
    let (values, _) = key.read(path)?;
    fill(cell, &values, &path.display().to_string())
}

/// Gives every parameter of a model its value in a checkpoint from `from`.
pub fn fill(cell: &mut GraphCell, values: &Checkpoint, from: &str) -> Result<(), Failure> {
    let loaded = cell.load_param_into_net(values, LoadOptions::default())?;
    loaded.param_not_load.first().map_or(Ok(()), |first| {
        let first = print::name(first);
        Err(Failure::Usage(format!("{from}: expected a value for parameter {first}, found none")))
    })
}

/// Judges a model by samples.
pub struct Judge<'a> {
    cell: &'a GraphCell,
    samples: &'a Samples,
    shaping: Shaping<'a>,
    args: &'a JudgeArgs,
    metrics: Vec<Metric>,
}

impl<'a> Judge<'a> {
    /// Refuses samples that are no inputs of the model, and metrics that are not about such labels.
    pub fn new(
        cell: &'a GraphCell,
        samples: &'a Samples,
        shaping: &'a ShapingArgs,
        device: &'a DeviceArgs,
        args: &'a JudgeArgs,
    ) -> Result<Judge<'a>, Failure> {
        samples.check(&cell.inputs(), shaping)?;
        let outputs = cell.outputs().len();
        if args.result() >= outputs {
            let text = format!("--result {}: the model has {}", args.result(), print::plural(outputs, "result"));
            return Err(Failure::Usage(text));
        }
        let usual = if samples.has_classes() { &OF_CLASSES[..] } else { &OF_NUMBERS };
        let metrics = if args.metrics.is_empty() { usual.to_vec() } else { args.metrics.clone() };
        let odd = metrics.iter().find(|metric| OF_CLASSES.contains(metric) && !samples.has_classes());
        if let Some(name) = odd.and_then(Metric::to_possible_value) {
            let text = format!("{} is about classes, and the labels are none", name.get_name());
            return Err(Failure::Usage(format!("{}: {text}", samples.from())));
        }
        let shaping = Shaping { args: shaping, recorded: cell.model().picture(), limits: &device.limits };
        Ok(Judge { cell, samples, shaping, args, metrics })
    }

    /// Runs all samples through the model.
    pub fn report(&self, bar: ProgressBar) -> Result<Report, Failure> {
        let batch = self.batch()?;
        let all = self.all();
        let (mut classes, mut numbers) = (Classification::new(TOP), Regression::new());
        let mut spent = Duration::ZERO;
        for (i, chunk) in all.chunks(batch.size).enumerate() {
            spent += self.run(chunk, batch, &mut classes, &mut numbers)?;
            if i == 0 {
                self.check_labels(&classes)?;
            }
            bar.inc(chunk.len() as u64);
        }
        bar.finish_and_clear();
        if let Some(names) = self.samples.names.as_ref().filter(|names| ![0, names.len()].contains(&classes.classes()))
        {
            print::warn(&format!(
                "{} have names, and the model has {} scores",
                print::plural(names.len(), "label"),
                classes.classes()
            ));
        }
        if self.metrics.contains(&Metric::R2) && numbers.r2().is_none() {
            print::warn("r2 is not defined: all labels are equal, so there is no variance to explain");
        }
        if classes.unanswered() > 0 {
            print::warn(&format!(
                "{} have no score that is a number",
                print::plural(classes.unanswered() as usize, "sample")
            ));
        }
        let batches = all.chunks(batch.size).len();
        Ok(self.made(&classes, &numbers, batches, spent))
    }

    /// Runs the first batch, and says what is wrong with it or with the labels of all samples.
    pub fn rehearse(&self) -> Result<(), Failure> {
        let batch = self.batch()?;
        let mut classes = Classification::new(TOP);
        let first = self.all().into_iter().take(batch.size).collect::<Vec<_>>();
        self.run(&first, batch, &mut classes, &mut Regression::new())?;
        self.check_labels(&classes)
    }

    fn batch(&self) -> Result<Batch, Failure> {
        self.shaping.args.batch_of(&self.cell.inputs())
    }

    /// The numbers of all samples.
    fn all(&self) -> Vec<usize> {
        (0..self.samples.len()).collect()
    }

    /// Runs a batch and counts the answers; the time that the model took.
    fn run(
        &self,
        chunk: &[usize],
        batch: Batch,
        classes: &mut Classification,
        numbers: &mut Regression,
    ) -> Result<Duration, Failure> {
        let mut rows = chunk.to_vec();
        if let Some(last) = chunk.last().filter(|_| batch.is_fixed) {
            rows.resize(batch.size, *last);
        }
        let failed =
            |failure: Failure| Failure::of(&format!("samples {} to {}", chunk[0], chunk[chunk.len() - 1]))(failure);
        let inputs = self.samples.inputs(&rows, &self.cell.inputs(), self.shaping)?;
        let start = Instant::now();
        let outputs = self.cell.run(&inputs).map_err(|e| failed(e.into()))?;
        let spent = start.elapsed();
        self.count(&outputs, chunk, rows.len(), classes, numbers)?;
        Ok(spent)
    }

    /// Refuses labels that are none of the classes that the model has.
    fn check_labels(&self, counts: &Classification) -> Result<(), Failure> {
        if !self.wants(&OF_CLASSES) {
            return Ok(());
        }
        let labels = self.samples.classes(&self.all())?;
        let odd = labels.iter().enumerate().find(|(_, label)| **label >= counts.classes());
        odd.map_or(Ok(()), |(sample, label)| Err(self.no_class(sample as u64, *label, counts.classes())))
    }

    fn no_class(&self, sample: u64, label: usize, classes: usize) -> Failure {
        let (of, last) = (self.samples.from(), classes.saturating_sub(1));
        Failure::Usage(format!("{of}: sample {sample}: expected a class from 0 to {last}, found {label}"))
    }

    fn count(
        &self,
        outputs: &[Tensor],
        of: &[usize],
        rows: usize,
        classes: &mut Classification,
        numbers: &mut Regression,
    ) -> Result<(), Failure> {
        let at = self.args.result();
        let wrong = |what: String| Failure::Usage(format!("result {at}: {what}"));
        let result = outputs.get(at).ok_or_else(|| wrong("there is none".into()))?;
        if result.shape().first() != Some(&rows) {
            let text = format!("expected a row for each of {}, found {}", print::plural(rows, "sample"), result.fact());
            return Err(wrong(text));
        }
        if self.wants(&OF_CLASSES) {
            let refused = |e: MetricError| match e {
                MetricError::Label { sample, label, classes } => self.no_class(sample, label, classes),
                other => wrong(other.to_string()),
            };
            classes.update(result, &self.samples.classes(of)?).map_err(refused)?;
        }
        if self.wants(&OF_NUMBERS) {
            let targets = self.samples.labels(of)?;
            if result.count() / rows != targets.count() / of.len() {
                return Err(wrong(format!(
                    "expected numbers for the labels {}, found {}",
                    targets.fact(),
                    result.fact()
                )));
            }
            numbers.update(result, &targets).map_err(|e| wrong(e.to_string()))?;
        }
        Ok(())
    }

    fn wants(&self, some: &[Metric]) -> bool {
        self.metrics.iter().any(|metric| some.contains(metric))
    }

    fn made(&self, counts: &Classification, numbers: &Regression, batches: usize, spent: Duration) -> Report {
        let of = |metric: Metric, value: Option<f64>| value.filter(|_| self.metrics.contains(&metric));
        let is_asked = self.args.metrics.contains(&Metric::Confusion);
        let shows = self.metrics.contains(&Metric::Confusion) && (is_asked || counts.classes() <= FEW);
        let wants_classes = self.wants(&[Metric::Precision, Metric::Recall, Metric::F1]);
        let all = counts.by_class();
        let mean = |f: fn(&mindir::metrics::Class) -> Option<f64>| {
            let known: Vec<f64> = all.iter().filter_map(f).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        let class = |(i, c): (usize, &mindir::metrics::Class)| ClassReport {
            class: i,
            name: self.samples.names.as_ref().and_then(|names| names.get(i).cloned()),
            samples: c.labels,
            answers: c.answers,
            right: c.right,
            precision: of(Metric::Precision, c.precision()),
            recall: of(Metric::Recall, c.recall()),
            f1: of(Metric::F1, c.f1()),
        };
        let n = counts.classes();
        let row = |label: usize| (0..n).map(|answer| counts.confused(label, answer)).collect();
        Report {
            samples: self.samples.len(),
            batches,
            nanoseconds: u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX),
            right: self.wants(&OF_CLASSES).then(|| counts.right()),
            accuracy: of(Metric::Accuracy, counts.accuracy()),
            // Among five of at most five every label is.
            top5: of(Metric::Top5, counts.top()).filter(|_| n > TOP || self.args.metrics.contains(&Metric::Top5)),
            precision: of(Metric::Precision, mean(mindir::metrics::Class::precision)),
            recall: of(Metric::Recall, mean(mindir::metrics::Class::recall)),
            f1: of(Metric::F1, mean(mindir::metrics::Class::f1)),
            mae: of(Metric::Mae, numbers.mae()),
            mse: of(Metric::Mse, numbers.mse()),
            rmse: of(Metric::Rmse, numbers.rmse()),
            r2: of(Metric::R2, numbers.r2()),
            classes: if wants_classes { all.iter().enumerate().map(class).collect() } else { Vec::new() },
            confusion: if shows { (0..n).map(row).collect() } else { Vec::new() },
            names: self.samples.names.clone(),
        }
    }
}

/// How good a model is.
#[derive(Serialize)]
pub struct Report {
    samples: usize,
    batches: usize,
    /// Time that the model took.
    nanoseconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top5: Option<f64>,
    /// Of precision, recall and f1 the means of the classes that have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    f1: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mae: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mse: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rmse: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r2: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<ClassReport>,
    /// A row for each label, a column for each answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    confusion: Vec<Vec<u64>>,
    #[serde(skip)]
    names: Option<Vec<String>>,
}

#[derive(Serialize)]
struct ClassReport {
    class: usize,
    name: Option<String>,
    /// Samples with this label.
    samples: u64,
    /// Samples with this answer.
    answers: u64,
    right: u64,
    precision: Option<f64>,
    recall: Option<f64>,
    f1: Option<f64>,
}

impl Report {
    /// Every number with its name.
    fn numbers(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [
            ("accuracy", self.accuracy),
            ("top5", self.top5),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("mae", self.mae),
            ("mse", self.mse),
            ("rmse", self.rmse),
            ("r2", self.r2),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// All numbers in one line.
    pub fn line(&self) -> String {
        self.numbers().map(|(name, value)| format!("{name} {}", number(value))).collect::<Vec<_>>().join("  ")
    }

    fn text(&self) -> String {
        let right = |name| match self.right.filter(|_| name == "accuracy") {
            Some(right) => format!("  {right} of {} right", self.samples),
            None => String::new(),
        };
        let mut text: String =
            self.numbers().map(|(name, value)| format!("{name:<11}{}{}\n", number(value), right(name))).collect();
        if !self.classes.is_empty() {
            text += &format!("\n{}", self.class_table());
        }
        if !self.confusion.is_empty() {
            text += &format!("\nlabels in rows, answers in columns\n{}", self.matrix());
        }
        text
    }

    fn class_name(&self, class: usize) -> String {
        let named = self.names.as_ref().and_then(|names| names.get(class));
        named.map_or_else(|| class.to_string(), |name| print::name(name))
    }

    fn class_table(&self) -> String {
        let cell = |x: Option<f64>| x.map_or("-".into(), number);
        let row = |c: &ClassReport| {
            vec![self.class_name(c.class), c.samples.to_string(), cell(c.precision), cell(c.recall), cell(c.f1)]
        };
        print::table(&["class", "samples", "precision", "recall", "f1"], &[1, 2, 3, 4], self.classes.iter().map(row))
    }

    fn matrix(&self) -> String {
        let names: Vec<String> = (0..self.confusion.len()).map(|class| self.class_name(class)).collect();
        let header: Vec<&str> = [""].into_iter().chain(names.iter().map(String::as_str)).collect();
        let right: Vec<usize> = (1..header.len()).collect();
        let row = |(name, counts): (&String, &Vec<u64>)| {
            [name.clone()].into_iter().chain(counts.iter().map(u64::to_string)).collect()
        };
        print::table(&header, &right, names.iter().zip(&self.confusion).map(row))
    }
}

/// A bar of so many, on terminals.
pub fn bar(count: u64, what: &'static str) -> ProgressBar {
    if !print::shows_progress() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!("{{wide_bar}} {{pos}}/{{len}} {what} {{eta}}"));
    ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
