use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::complex_fact;
use crate::ops::kit::complex::{Complex64, complex_tensor, complexes, flag, truth};
use crate::ops::kit::sample::{complex, cycle, flags, sample, wave};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, op};

op! {
    /// `input` converted to `dtype`. Floats to integers truncate toward zero and saturate (NaN gives 0), integers to narrower
    /// ones wrap, everything but 0 is true. Of complex numbers, real types take the real parts.
    Cast, aliases ["ScalarCast", "ScalarToTensor", object "TupleToTensor"] { input_x: Operand, dtype ["dst_type", "DstT", "output_dtype"]: DType }
}

impl Cast {
    fn is_complex(&self) -> bool {
        self.dtype.is_complex() || self.input_x.dtype().is_complex()
    }
}

impl Rule for Cast {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        complex_fact(&[&self.input_x], self.dtype)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let x = self.input_x.tensor()?;
        if !self.is_complex() {
            return Ok(vec![x.cast(self.dtype)?]);
        }
        let z = complexes(x)?;
        let is_true = |z: &Complex64| flag(truth(*z));
        let z = if self.dtype == DType::Bool { z.iter().map(is_true).collect() } else { z };
        Ok(vec![complex_tensor(self.dtype, x.shape(), &z)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.is_complex() {
            return Ok((self.dtype == self.input_x.dtype()).then(|| vec![self.input_x.v]));
        }
        Ok(Some(vec![b.cast(self.input_x.v, self.dtype)]))
    }

    fn is_elementwise(&self) -> bool {
        !self.is_complex()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        if self.is_complex() { no_form("ONNX has no arithmetic of complex numbers") } else { Ok(None) }
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
            to("f32 to c64", wave(DType::F32, &[4]), DType::C64),
            to("c64 to f32", complex(DType::C64, &[4]), DType::F32),
            to("c64 to bool", complex(DType::C64, &[4]), DType::Bool),
            to("empty", wave(DType::F32, &[0]), DType::I32),
        ]
    }
}
