use crate::op::{Case, CaseArg, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{emit, evaluate, fact, number_of, wide};
use crate::ops::kit::sample::{sample, wave};
use crate::task::{Binary, Lowering};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// Sum of a tuple of tensors of one shape and type.
    AddN, aliases ["AccumulateNV2"] { x: Vec<Operand> }
}

impl Rule for AddN {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(!self.x.is_empty(), "expected at least one tensor");
        let first = &self.x[0].fact;
        for x in &self.x {
            ensure!(x.fact == **first, "expected tensors of one type and shape, found {first} and {}", x.fact);
        }
        fact(&[&self.x[0]], first.dtype)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let out = self.infer()?[0].dtype;
        let d = number_of(out);
        let ins: Vec<_> = self.x.iter().map(|x| (x, d)).collect();
        let add = |a, b| Binary::Add.eval(a, b, d);
        evaluate(&ins, out, |x| x[1..].iter().fold(x[0], |a, &b| add(a, b)))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let Some(out) = self.x.first().map(Operand::dtype) else { return Ok(None) };
        let ins: Vec<_> = self.x.iter().map(|x| (x, wide(number_of(out)))).collect();
        let y = emit(b, &ins, out, |p, r| {
            let mut sum = r[0];
            for &x in &r[1..] {
                sum = p.binary(Binary::Add, sum, x);
            }
            sum
        })?;
        Ok(Some(vec![y]))
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
