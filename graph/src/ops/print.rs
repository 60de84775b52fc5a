use std::io::Write;

use super::samples::case;
use crate::op::{ArgValue, Case, CaseArg, Const, Effect, FromArg, Operand, ParamKind, Rule};
use crate::{DType, Fact, OpError, Tensor, op};

/// Something to print: text or a tensor.
#[derive(Clone, Debug)]
pub enum Shown {
    /// Text, or a constant that is no number.
    Text(String),
    /// A tensor.
    Tensor(Operand),
}

impl FromArg for Vec<Shown> {
    const KIND: ParamKind = ParamKind::Tensors;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        Ok(Some(match arg {
            ArgValue::Operand(o) => vec![Shown::Tensor(o.clone())],
            ArgValue::Const(Const::Str(s)) => vec![Shown::Text(s.to_string())],
            ArgValue::Const(other) => vec![Shown::Text(other.to_string())],
            ArgValue::List(items) => {
                let one = |a: &ArgValue| Vec::<Shown>::from_arg(a).map(Option::unwrap_or_default);
                items.iter().map(one).collect::<Result<Vec<_>, _>>()?.concat()
            }
        }))
    }

    fn into_const(self) -> Option<Const> {
        None
    }
}

op! {
    /// Writes its arguments, texts and tensors, to standard output, a line each. The result is an `i32` 0 without meaning.
    classic Print { input_x: Vec<Shown> }
}

impl Rule for Print {
    const EFFECT: Effect = Effect::Io;

    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(DType::I32, &[1])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let mut out = std::io::stdout().lock();
        for shown in &self.input_x {
            let line = match shown {
                Shown::Text(s) => s.clone(),
                Shown::Tensor(o) => format!("{:?}", o.tensor()?),
            };
            // A reader that went away is no reason to stop the model.
            let _ = writeln!(out, "{line}");
        }
        Ok(vec![Tensor::vector(&[0i32])])
    }

    fn cases() -> Vec<Case> {
        vec![case("nothing", [CaseArg::Tensors(Vec::new())], 0.0)]
    }
}
