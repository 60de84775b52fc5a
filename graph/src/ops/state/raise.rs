//! Exceptions and the texts that they hold.

// MindSpore's name.
#![allow(non_camel_case_types)]

use super::print::Shown;
use crate::op::{Case, CaseArg, Const, Effect, Operator, Rule};
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Tensor, op};

op! {
    /// Ends the run with the Python exception `exception`. The last of `arguments` says where Python keeps it; the others are
    /// what it is made of: one is its message, several are shown as a tuple. A vector of bytes is text, as of [`JoinedStr`].
    object raise { exception: String, arguments: Vec<Shown> as Items }
}

op! {
    /// The texts and numbers `parts` one after another, as a vector of bytes that hold UTF-8.
    object JoinedStr { parts: Vec<Shown> as Items }
}

/// What Python writes for this tensor.
fn python(t: &Tensor) -> Result<String, OpError> {
    if t.dtype() == DType::U8 && t.shape().len() == 1 {
        return Ok(String::from_utf8_lossy(t.bytes()).into_owned());
    }
    let items: Vec<String> = if t.dtype().is_float() {
        t.to_f64s()?.iter().map(|x| format!("{x:?}")).collect()
    } else if t.dtype() == DType::Bool {
        t.to_i64s()?.iter().map(|x| if *x == 0 { "False".into() } else { "True".into() }).collect()
    } else {
        t.to_i64s()?.iter().map(ToString::to_string).collect()
    };
    match (items.as_slice(), t.shape()) {
        ([one], []) => Ok(one.clone()),
        _ => Ok(format!("{t:?}")),
    }
}

fn text(shown: &Shown) -> Result<String, OpError> {
    match shown {
        Shown::Text(text) => Ok(text.clone()),
        Shown::Tensor(operand) => python(operand.tensor()?),
    }
}

impl raise {
    fn message(&self) -> Result<String, OpError> {
        let items = self.arguments.split_last().map_or(&[][..], |(_, items)| items);
        if let [one] = items {
            return text(one);
        }
        let quoted = |shown: &Shown| match shown {
            Shown::Text(text) => Ok(format!("'{text}'")),
            shown => text(shown),
        };
        let items: Vec<String> = items.iter().map(quoted).collect::<Result<_, _>>()?;
        Ok(if items.is_empty() { String::new() } else { format!("({})", items.join(", ")) })
    }
}

impl Operator for raise {
    const EFFECT: Effect = Effect::Raises;

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(self)
    }
}

impl Rule for &raise {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Err(OpError::Dynamic)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Err(OpError::Raised { exception: self.exception.clone(), message: self.message()? })
    }
}

impl Rule for JoinedStr {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        match self.reference() {
            Ok(joined) => Ok(joined.iter().map(Tensor::fact).collect()),
            Err(OpError::NeedsValue(_)) => Err(OpError::Dynamic),
            Err(e) => Err(e),
        }
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let parts: Vec<String> = self.parts.iter().map(text).collect::<Result<_, _>>()?;
        Ok(vec![Tensor::vector(parts.concat().as_bytes())])
    }

    fn cases() -> Vec<Case> {
        let number = |x: f32| CaseArg::Tensors(vec![Tensor::scalar(x), Tensor::scalar(-3i64)]);
        let text = CaseArg::Const(Const::Str("text".into()));
        vec![sample().arg(number(1.5)).exact("numbers"), sample().arg(text).exact("text")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{ArgValue, Args, Operand};
    use crate::ops::find;
    use crate::task::V;

    fn raised(exception: &str, arguments: Vec<ArgValue>) -> OpError {
        let exception = ArgValue::Const(Const::Str(exception.into()));
        let args = Args { op: "raise", items: vec![Some(exception), Some(ArgValue::List(arguments))] };
        find("raise").expect("raise is listed").reference(&args).expect_err("it has no result")
    }

    fn text(text: &str) -> ArgValue {
        ArgValue::Const(Const::Str(text.into()))
    }

    fn tensor(t: Tensor) -> ArgValue {
        ArgValue::Operand(Operand { v: V(0), fact: t.fact().into(), known: Some(t) })
    }

    #[test]
    fn exceptions_read_as_python_writes_them() {
        let shown = |arguments| raised("ValueError", arguments).to_string();
        assert_eq!(shown(vec![text("None")]), "ValueError");
        assert_eq!(shown(vec![text("too many"), text("None")]), "ValueError: too many");
        let sum = tensor(Tensor::scalar(6.0f32));
        assert_eq!(shown(vec![text("sum is"), sum, text("None")]), "ValueError: ('sum is', 6.0)");
        let joined = tensor(Tensor::vector("got 5 of é".as_bytes()));
        assert_eq!(shown(vec![joined, text("None")]), "ValueError: got 5 of é");
        let flag = tensor(Tensor::from_bools(&[], &[true]).expect("one element"));
        assert_eq!(shown(vec![flag, text("None")]), "ValueError: True");
    }
}
