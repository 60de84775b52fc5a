//! An operator that the crate does not know: MindSpore's `ops.Custom`, exported with a function `CustomScale` in a library
//! that nobody needs here. The operator says in Rust what the function computes.
//!
//! ```text
//! cargo run --release -p mindir --example custom_operator runtime/examples/custom/scale.mindir
//! ```

use std::error::Error;

use mindir::op::{Case, CaseArg, Lowers, OpDef, Operand, Rule};
use mindir::task::{Binary, Lowering};
use mindir::{Access, DType, Fact, GraphCell, OpError, Options, Source, Tensor, op};

op! {
    /// `x · y · scale` of `f32` tensors of one shape.
    classic CustomScale { x: Operand, y: Operand, scale: f64 = 1.0 }
}

impl Rule for CustomScale {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, y) = (&self.x.fact, &self.y.fact);
        if x.dtype != DType::F32 || *x != **y {
            return Err(OpError::Invalid(format!("expected two f32 tensors of one shape, found {x} and {y}")));
        }
        Ok(vec![Fact::new(DType::F32, self.x.shape())])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let products = self.x.f64s()?.into_iter().zip(self.y.f64s()?).map(|(x, y)| x * y * self.scale);
        Ok(vec![Tensor::from_f64s(DType::F32, self.x.shape(), &products.collect::<Vec<_>>())?])
    }

    /// As tasks, which run on every device and join with their neighbours. Without this the reference runs.
    fn lower(&self, b: &mut Lowering) -> Lowers {
        let product = b.binary(Binary::Mul, self.x.v, self.y.v)?;
        let scale = b.scalar(DType::F32, self.scale)?;
        Ok(Some(vec![b.binary(Binary::Mul, product, scale)?]))
    }

    fn cases() -> Vec<Case> {
        let x = || Some(CaseArg::Tensor(Tensor::vector(&[1.0f32, -2.0, 3.0])));
        vec![Case { name: "vector", args: vec![x(), x(), None], exact: false }]
    }
}

/// What a source takes.
pub static OPERATORS: [OpDef; 1] = [OpDef::of::<CustomScale>()];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or("runtime/examples/custom/scale.mindir".into());
    let source = Source::open(path, Access::Map)?.with_operators(&OPERATORS);
    let cell = GraphCell::new(mindir::load_source(source)?.model, Options::default())?;
    let x = Tensor::from_vec(&[2, 3], vec![1.0f32, -2.0, 3.0, -4.0, 5.0, -6.0])?;
    let y = cell.run(&[x.clone(), x])?;
    println!("{:?}", y[0].view::<f32>()?);
    Ok(())
}
