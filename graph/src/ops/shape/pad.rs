use crate::op::{Case, Ints, Number, Operand, Operator, Rule};
use crate::ops::kit::border::{Border, Padded, element, from_last, in_order, only_adds};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, ensure, op};

op! {
    /// Zeros around a tensor: `paddings` holds the numbers before and after each dimension. Any type.
    classic Pad { input_x ["x"]: Operand, paddings: Ints as Pairs }
}

impl Operator for Pad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        only_adds(&self.paddings)?;
        let fill = vec![0; self.input_x.dtype().size()];
        Ok(Padded { x: &self.input_x, border: Border::Constant, pads: in_order(&self.paddings)?, fill })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3]).ints(&[1, 0, 2, 3]).exact("matrix"),
            sample().tensor(DType::I8, &[2, 1, 2]).ints(&[0, 0, 1, 1, 0, 0]).exact("one dimension"),
        ]
    }
}

op! {
    /// A border of mode `constant`, `reflect`, `edge` or `circular` around the last dimensions.
    ///
    /// `paddings` holds the numbers before and after each dimension, starting with the last; with `paddings_contiguous`
    /// false, first all the numbers before and then all those after. A constant border is `value`, or 0; negative paddings
    /// remove elements there. Any type.
    classic PadV3 {
        input_x ["x"]: Operand,
        paddings ["padding"]: Ints as Input,
        constant_value ["value"]: Number as Input = Number::Float(0.0),
        mode: Border as Small = Border::Constant,
        paddings_contiguous: bool = true,
    }
}

/// Numbers before and after each dimension, which are halves of `paddings` unless they are `contiguous`.
pub(super) fn pairs(paddings: &[i64], contiguous: bool) -> Ints {
    let (before, after) = paddings.split_at(paddings.len() / 2);
    if contiguous || before.len() != after.len() {
        return Ints::from_slice(paddings);
    }
    before.iter().zip(after).flat_map(|(&before, &after)| [before, after]).collect()
}

impl Operator for PadV3 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.mode != Border::Symmetric, "unknown mode symmetric");
        let pads = from_last(&pairs(&self.paddings, self.paddings_contiguous), self.input_x.rank())?;
        Ok(Padded {
            x: &self.input_x,
            border: self.mode,
            pads,
            fill: element(self.input_x.dtype(), self.constant_value)?,
        })
    }

    fn cases() -> Vec<Case> {
        let one = |dims: &[usize], paddings: &[i64], mode, name| {
            sample().tensor(DType::F32, dims).ints(paddings).real(2.5).text(mode).exact(name)
        };
        vec![
            one(&[2, 3], &[1, 0, 0, 2], "constant", "constant"),
            one(&[2, 3], &[-1, 0, 0, 1], "constant", "removing"),
            one(&[1, 3, 4], &[1, 2, 2, 1], "reflect", "reflect"),
            one(&[1, 2, 3], &[2, 4], "edge", "edge"),
            one(&[1, 2, 3], &[2, 1, 1, 0], "circular", "circular"),
            sample()
                .tensor(DType::I32, &[2, 3])
                .ints(&[0, 1, 2, 3])
                .skip()
                .text("constant")
                .flag(false)
                .exact("halves"),
        ]
    }
}

op! {
    /// A constant border around the last dimensions: `padding` holds the numbers before and after each dimension, starting
    /// with the last. Negative numbers remove elements. Any type.
    ConstantPadND { input: Operand, padding: Ints, value: Number = Number::Float(0.0) }
}

impl Operator for ConstantPadND {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let pads = from_last(&self.padding, self.input.rank())?;
        Ok(Padded { x: &self.input, border: Border::Constant, pads, fill: element(self.input.dtype(), self.value)? })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[1, 2, 3]).ints(&[0, 0, 0, 1, 0, 0]).real(0.0).exact("zeros"),
            sample().tensor(DType::I32, &[2, 3]).ints(&[1, -2]).real(7.0).exact("sevens"),
        ]
    }
}

op! {
    /// Mirrors a tensor at its edges: mode `REFLECT` does not repeat the edge elements, `SYMMETRIC` does. `paddings` is a
    /// matrix with the numbers before and after each dimension. Any type.
    classic MirrorPad { input_x ["x"]: Operand, paddings: Ints as Input, mode: Border = Border::Reflect }
}

impl Operator for MirrorPad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let mirrors = matches!(self.mode, Border::Reflect | Border::Symmetric);
        ensure!(mirrors, "expected mode REFLECT or SYMMETRIC, found {:?}", self.mode);
        Ok(Padded {
            x: &self.input_x,
            border: self.mode,
            pads: in_order(&self.paddings)?,
            fill: vec![0; self.input_x.dtype().size()],
        })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3]).ints(&[1, 1, 2, 1]).text("REFLECT").exact("reflect"),
            sample().tensor(DType::F32, &[2, 3]).ints(&[1, 2, 3, 1]).text("SYMMETRIC").exact("symmetric"),
        ]
    }
}

macro_rules! border_op {
    ($(#[doc = $doc:literal])+ $name:ident [$($alias:literal),*] $border:expr) => {
        op! {
            $(#[doc = $doc])+
            $name, aliases [$($alias),*] { input: Operand, padding: Ints }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                only_adds(&self.padding)?;
                let (x, pads) = (&self.input, from_last(&self.padding, self.input.rank())?);
                Ok(Padded { x, border: $border, pads, fill: vec![0; x.dtype().size()] })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().tensor(DType::F32, &[2, 4]).ints(&[1, 2]).exact("one dimension"),
                    sample().tensor(DType::F32, &[1, 3, 4]).ints(&[1, 2, 2, 1]).exact("two dimensions"),
                ]
            }
        }
    };
}

border_op! {
    /// Mirrors the last dimensions at their edge elements, which are not repeated. `padding` holds the numbers before and
    /// after each dimension, starting with the last. Any type.
    ReflectionPad1D ["ReflectionPad2D", "ReflectionPad3D"] Border::Reflect
}

border_op! {
    /// Repeats the edge elements of the last dimensions. `padding` holds the numbers before and after each dimension,
    /// starting with the last. Any type.
    ReplicationPad1D ["ReplicationPad2D", "ReplicationPad3D"] Border::Edge
}
