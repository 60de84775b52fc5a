//! Windows put back into an image.

use crate::op::{Case, Ints, Lowers, Operand, Rule, ints};
use crate::ops::kit::indices::{each_index, sizes};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::task::{Lowering, ScatterKind};
use crate::{DType, Fact, OpError, Tensor, checked_count, ensure, op};

op! {
    /// Images `[n, c, h, w]`, `h` and `w` being `output_size`, each of whose elements is the sum of what the windows in `x`,
    /// `[n, c, kh · kw, windows]`, hold of it: `Im2Col` undone. Numbers.
    classic Col2Im {
        x: Operand,
        output_size: Ints as Input,
        kernel_size: Ints,
        dilation: Ints = ints(&[1]),
        padding: Ints = ints(&[0]),
        stride: Ints = ints(&[1]),
    }
}

/// Sizes of an image and where the elements of its windows lie in it.
struct Plan {
    planes: usize,
    image: [usize; 2],
    /// For every element of the windows of a plane, its position; none in the padding.
    places: Vec<Option<usize>>,
}

impl Col2Im {
    fn plan(&self) -> Result<Plan, OpError> {
        let x = &self.x;
        ensure!(x.rank() == 4, "expected [n, c, kh · kw, windows], found {}", x.fact);
        ensure!(self.output_size.len() == 2, "output_size: expected 2 numbers, found {}", self.output_size.len());
        let image = sizes(&self.output_size, "output_size")?;
        let kernel = spatial::<2>(&self.kernel_size, Format::Nchw, "kernel_size")?;
        let stride = spatial::<2>(&self.stride, Format::Nchw, "stride")?;
        let dilation = spatial::<2>(&self.dilation, Format::Nchw, "dilation")?;
        let pads = pads::<2>(&self.padding, "padding")?;
        let window = |d: usize| Window::new(PadMode::Pad, image[d], kernel[d], stride[d], dilation[d], pads[d]);
        let (h, w) = (window(0)?, window(1)?);
        let taps = [h.kernel, w.kernel, h.out, w.out];
        let wanted = [h.kernel.checked_mul(w.kernel), h.out.checked_mul(w.out)];
        let fits = wanted == [Some(x.shape()[2]), Some(x.shape()[3])];
        ensure!(fits, "expected windows [{}·{}, {}·{}], found {}", h.kernel, w.kernel, h.out, w.out, x.fact);
        let mut places = Vec::with_capacity(x.shape()[2] * x.shape()[3]);
        each_index(&taps, |i| {
            let at = h.at(i[2], i[0]).zip(w.at(i[3], i[1]));
            places.push(at.map(|(y, x)| y * image[1] + x));
        })?;
        let planes = x.shape()[0] * x.shape()[1];
        ensure!(checked_count(&[planes, image[0], image[1]]).is_some(), "images of {image:?} are too large");
        Ok(Plan { planes, image: [image[0], image[1]], places })
    }

    fn dims(&self, plan: &Plan) -> [usize; 4] {
        [self.x.shape()[0], self.x.shape()[1], plan.image[0], plan.image[1]]
    }
}

impl Rule for Col2Im {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(
            self.x.dtype() != DType::Bool && !self.x.dtype().is_complex(),
            "expected numbers, found {}",
            self.x.fact
        );
        Ok(vec![Fact::new(self.x.dtype(), &self.dims(&self.plan()?))])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let plan = self.plan()?;
        let (size, taps) = (plan.image[0] * plan.image[1], plan.places.len());
        let x = self.x.f64s()?;
        let mut y = vec![0.0; plan.planes * size];
        for plane in 0..plan.planes {
            for (tap, place) in plan.places.iter().enumerate() {
                if let Some(place) = place {
                    y[plane * size + place] += x[plane * taps + tap];
                }
            }
        }
        Ok(vec![Tensor::from_f64s(self.x.dtype(), &self.dims(&plan), &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let plan = self.plan()?;
        let (size, taps, d) = (plan.image[0] * plan.image[1], plan.places.len(), self.x.dtype());
        if size == 0 || taps == 0 || plan.planes == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(d, &self.dims(&plan))?)]));
        }
        // What lies in the padding goes to one more element, which is dropped.
        let places: Vec<i64> = plan.places.iter().map(|place| place.unwrap_or(size) as i64).collect();
        let places = b.constant(Tensor::from_i64s(DType::I64, &[taps, 1], &places)?);
        let zeros = b.constant(Tensor::zeros(d, &[size + 1, plan.planes])?);
        let x = b.reshape(self.x.v, &[plan.planes, taps])?;
        let x = b.transpose(x, &[1, 0])?;
        let y = b.scatter(ScatterKind::Add, zeros, places, x)?;
        let y = b.slice(y, &[0, 0], &[size, plan.planes], &[1, 1])?;
        let y = b.transpose(y, &[1, 0])?;
        Ok(Some(vec![b.reshape(y, &self.dims(&plan))?]))
    }

    fn cases() -> Vec<Case> {
        let x = |windows| sample().tensor(DType::F32, &[2, 3, 6, windows]).ints(&[5, 4]).ints(&[2, 3]);
        vec![
            x(8).case("plain"),
            x(9).ints(&[1, 1]).ints(&[1, 2]).ints(&[2, 2]).case("padding"),
            sample().tensor(DType::F32, &[1, 2, 4, 6]).ints(&[5, 4]).ints(&[2]).ints(&[2]).case("dilation"),
            sample().tensor(DType::F32, &[0, 3, 6, 8]).ints(&[5, 4]).ints(&[2, 3]).exact("empty"),
        ]
    }
}
