use crate::op::{Case, CaseArg, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{alike, number_of};
use crate::ops::kit::elementwise::Chain;
use crate::ops::kit::sample::{sample, wave};
use crate::task::Binary;
use crate::{DType, OpError, ensure, op};

op! {
    /// Sum of a tuple of tensors of one shape and type.
    AddN, aliases ["AccumulateNV2", object "SequenceAddN"] { x: Vec<Operand> }
}

impl Operator for AddN {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let Some(first) = self.x.first() else { return Err(OpError::Invalid("expected at least one tensor".into())) };
        let out = first.dtype();
        for x in &self.x {
            let fits = x.dtype() == out && alike(x, first);
            ensure!(fits, "expected tensors of one type and shape, found {} and {}", first.fact, x.fact);
        }
        let links = self.x.iter().map(|x| (Binary::Add, x)).collect();
        Ok(Chain { links, compute: number_of(out), out, widened: true })
    }

    fn cases() -> Vec<Case> {
        let xs = |d: DType, n: usize| {
            let one = |_| match wave(d, &[3, 5]) {
                CaseArg::Tensor(t) => Some(t),
                _ => None,
            };
            CaseArg::Tensors((0..n).filter_map(one).collect())
        };
        vec![
            sample().arg(xs(DType::F32, 3)).case("three"),
            sample().arg(xs(DType::F32, 1)).exact("one"),
            sample().arg(xs(DType::I32, 4)).exact("i32"),
            sample().arg(xs(DType::F16, 5)).case("f16"),
        ]
    }
}
