use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::fact;
use crate::ops::kit::sample::{cycle, flags, sample, wave};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// `input` converted to `dtype`. Floats to integers truncate toward zero and saturate (NaN gives 0), integers to narrower
    /// ones wrap, everything but 0 is true.
    Cast, aliases ["ScalarCast", "ScalarToTensor", object "TupleToTensor"] { input_x: Operand, dtype ["dst_type", "DstT", "output_dtype"]: DType }
}

impl Rule for Cast {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(!self.dtype.is_complex(), "expected a real type to convert to, found {}", self.dtype);
        fact(&[&self.input_x], self.dtype)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.input_x.tensor()?.cast(self.dtype)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![b.cast(self.input_x.v, self.dtype)]))
    }
    fn is_elementwise(&self) -> bool {
        true
    }

    fn cases() -> Vec<Case> {
        let to = |name, x, d| sample().arg(x).dtype(d).exact(name);
        let ints = || cycle(DType::I32, &[7], &[0.0, -1.0, 300.0, 65536.0, -129.0]);
        vec![
            to("f32 to f16", wave(DType::F32, &[3, 7]), DType::F16),
            to("f32 to bf16", wave(DType::F32, &[3, 7]), DType::BF16),
            to("f16 to f32", wave(DType::F16, &[3, 7]), DType::F32),
            to("f32 to i32", wave(DType::F32, &[3, 7]), DType::I32),
            to("f64 to f32", wave(DType::F64, &[5]), DType::F32),
            to("i32 to i64", ints(), DType::I64),
            to("i32 to u8 wraps", ints(), DType::U8),
            to("i32 to f32", ints(), DType::F32),
            to("i64 to i32", wave(DType::I64, &[4]), DType::I32),
            to("u64 to f32", cycle(DType::U64, &[4], &[0.0, 1.0, 9.3e18, 1.8e19]), DType::F32),
            to("bool to f32", flags(&[2, 5]), DType::F32),
            to("bool to i32", flags(&[2, 5]), DType::I32),
            to("f32 to bool", cycle(DType::F32, &[4], &[0.0, -0.0, 0.5, f64::NAN]), DType::Bool),
            to("same type", wave(DType::F32, &[4]), DType::F32),
            to("empty", wave(DType::F32, &[0]), DType::I32),
        ]
    }
}
