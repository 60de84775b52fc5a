use std::io::Write;

use crate::op::{ArgValue, Case, CaseArg, Const, Effect, FromArg, Operand, Operator, ParamKind, Rule};
use crate::ops::kit::sample::sample;
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
    /// Writes its arguments, texts and tensors, to standard output, a line each; control characters but for tabs and line
    /// ends are written as escapes. The result is an `i32` 0 without meaning.
    object Print { input_x: Vec<Shown> as Items }
}

/// `text` without characters that would steer a terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

impl Operator for Print {
    const EFFECT: Effect = Effect::Io;

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(self)
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(CaseArg::Tensors(Vec::new())).exact("nothing")]
    }
}

impl Rule for &Print {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(DType::I32, &[1])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let mut out = std::io::stdout().lock();
        for shown in &self.input_x {
            let line = match shown {
                Shown::Text(s) => printable(s),
                Shown::Tensor(o) => format!("{:?}", o.tensor()?),
            };
            // A reader that went away is no reason to stop the model.
            let _ = writeln!(out, "{line}");
        }
        Ok(vec![Tensor::vector(&[0i32])])
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\tb\nc ü"), "a\tb\nc ü");
        assert_eq!(printable("\u{1b}[2J\r"), "\\u{1b}[2J\\r");
    }
}
