//! Learning rates.

use std::cell::RefCell;
use std::f64::consts::PI;

use mindir::ckpt::{Checkpoint, LoadOptions};
use mindir::{DType, GraphCell, Port, Tensor};

use crate::args;
use crate::failure::Failure;
use crate::print::quoted;

/// The parameter in which MindSpore's optimizers keep a rate that is one number.
const PARAM: &str = "learning_rate";

/// How a rate changes with the epochs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    Constant,
    /// From the rate down to 0 along half a cosine, as MindSpore's `nn.cosine_decay_lr`.
    Cosine,
    /// Times `factor` after every so many epochs, as MindSpore's `nn.exponential_decay_lr` with `is_stair`.
    Step {
        every: u64,
        factor: f64,
    },
}

impl Schedule {
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let wrong = || format!("expected constant, cosine or step:EPOCHS:FACTOR, found {}", quoted(text));
        match text {
            "constant" => return Ok(Schedule::Constant),
            "cosine" => return Ok(Schedule::Cosine),
            _ => {}
        }
        let (every, factor) = text.strip_prefix("step:").and_then(|rest| rest.split_once(':')).ok_or_else(wrong)?;
        let every = every.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
        let factor = factor.parse().ok().filter(|x: &f64| x.is_finite() && *x > 0.0).ok_or_else(wrong)?;
        Ok(Schedule::Step { every, factor })
    }

    /// The rate of an epoch, counted from 0.
    fn of(self, base: f64, epoch: u64, epochs: u64) -> f64 {
        match self {
            Schedule::Constant => base,
            Schedule::Cosine => base * 0.5 * (1.0 + (PI * epoch as f64 / epochs.max(1) as f64).cos()),
            Schedule::Step { every, factor } => base * factor.powf((epoch / every.max(1)) as f64),
        }
    }
}

/// A rate that is not negative.
pub fn rate(text: &str) -> Result<f64, String> {
    let found = text.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0);
    found.ok_or_else(|| format!("expected a finite number from 0 on, found {}", quoted(text)))
}

/// Where a step takes its rate from.
enum Place {
    /// The last input, one number.
    Input { dtype: DType, dims: Vec<usize> },
    /// A parameter, one number of this type.
    Param(DType),
    /// Nothing is to be changed.
    None,
}

/// The rate of a training step.
pub struct Rate {
    base: f64,
    schedule: Schedule,
    epochs: u64,
    place: Place,
}

impl Rate {
    /// The rate of a step whose inputs behind samples and labels are `rest`.
    pub fn new(
        base: Option<f64>,
        schedule: Schedule,
        epochs: u64,
        cell: &GraphCell,
        rest: &[Port],
    ) -> Result<Rate, Failure> {
        let place = match (base, rest) {
            (None, []) => Place::None,
            (Some(_), []) => of_param(cell.param(PARAM).as_ref())?,
            (Some(_), [port]) => of_port(port)?,
            (None, rest) => {
                let text = format!("no value for {}; --lr gives the learning rate", args::list(rest));
                return Err(Failure::Usage(text));
            }
            (Some(_), rest) => {
                let text = format!("expected one input for the learning rate, found {}", args::list(rest));
                return Err(Failure::Usage(text));
            }
        };
        Rate { base: base.unwrap_or(0.0), schedule, epochs, place }.held()
    }

    /// Refuses a rate that is not finite in the step's element type. It is greatest in the first epoch or the last.
    fn held(self) -> Result<Rate, Failure> {
        let (Place::Input { dtype, .. } | Place::Param(dtype)) = self.place else { return Ok(self) };
        for epoch in [1, self.epochs] {
            let rate = self.of(epoch).unwrap_or_default();
            let held = Tensor::from_f64s(dtype, &[], &[rate])?.to_f64s()?;
            if !held.iter().all(|x| x.is_finite()) {
                let text = format!("--lr: epoch {epoch}: expected a rate that {dtype} can hold, found {rate:e}");
                return Err(Failure::Usage(text));
            }
        }
        Ok(self)
    }

    /// The rate of an epoch, counted from 1, if it is known.
    pub fn of(&self, epoch: u64) -> Option<f64> {
        let is_known = !matches!(self.place, Place::None);
        is_known.then(|| self.schedule.of(self.base, epoch.saturating_sub(1), self.epochs))
    }

    /// Gives the step the rate of an epoch, where it is a parameter.
    pub fn set(&self, cell: &RefCell<GraphCell>, epoch: u64) -> Result<(), Failure> {
        let Some(rate) = self.of(epoch).filter(|_| matches!(self.place, Place::Param(_))) else { return Ok(()) };
        let Some(old) = cell.borrow().param(PARAM) else { return Ok(()) };
        let new = Tensor::from_f64s(old.dtype(), old.shape(), &[rate])?;
        if new != old {
            let values: Checkpoint = [(PARAM, new)].into_iter().collect();
            cell.borrow_mut().load_param_into_net(&values, LoadOptions { strict: true })?;
        }
        Ok(())
    }

    /// The input for the rate of an epoch, if there is one.
    pub fn input(&self, epoch: u64) -> Result<Option<Tensor>, Failure> {
        match (&self.place, self.of(epoch)) {
            (Place::Input { dtype, dims }, Some(rate)) => Ok(Some(Tensor::from_f64s(*dtype, dims, &[rate])?)),
            _ => Ok(None),
        }
    }
}

fn of_param(param: Option<&Tensor>) -> Result<Place, Failure> {
    let number = param.filter(|tensor| tensor.dtype().is_float() && tensor.count() == 1);
    let text = "--lr: the step has neither an input for it nor a parameter learning_rate that is one number";
    number.map(|tensor| Place::Param(tensor.dtype())).ok_or_else(|| Failure::Usage(text.into()))
}

fn of_port(port: &Port) -> Result<Place, Failure> {
    let sizes: Option<Vec<usize>> =
        port.spec.dims.as_ref().and_then(|dims| dims.iter().map(mindir::Dim::size).collect());
    match (port.spec.dtype.filter(|d| d.is_float()), sizes) {
        (Some(dtype), Some(dims)) if dims.iter().all(|n| *n == 1) => Ok(Place::Input { dtype, dims }),
        _ => {
            let text =
                format!("--lr: expected an input of one float, found {}", args::list(std::slice::from_ref(port)));
            Err(Failure::Usage(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_change_with_epochs() {
        let rates = |text: &str| {
            let schedule = Schedule::parse(text).unwrap();
            (0..4).map(|epoch| (schedule.of(0.8, epoch, 4) * 1e6).round() / 1e6).collect::<Vec<_>>()
        };
        assert_eq!(rates("constant"), [0.8; 4]);
        assert_eq!(rates("step:2:0.5"), [0.8, 0.8, 0.4, 0.4]);
        // MindSpore: nn.cosine_decay_lr(0., 0.8, 4, 1, 4)
        assert_eq!(rates("cosine"), [0.8, 0.682843, 0.4, 0.117157]);
        for text in ["", "step", "step:0:0.5", "step:1:0", "step:1:nan", "linear"] {
            assert!(Schedule::parse(text).unwrap_err().contains("expected constant"), "{text}");
        }
        assert!(rate("0.01").is_ok() && rate("-1").is_err() && rate("inf").is_err());
    }
}
