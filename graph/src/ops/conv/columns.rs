//! Windows put back into an image.

use crate::op::{Case, Ints, Lowers, Operand, Rule, ints};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::sizes;
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
struct Columns {
    /// Dimensions of the images.
    dims: [usize; 4],
    planes: usize,
    /// Elements of a plane.
    size: usize,
    /// For every element of the windows of a plane, its position; none in the padding.
    places: Vec<Option<usize>>,
}

impl Col2Im {
    fn columns(&self) -> Result<Columns, OpError> {
        let [n, c, taps, count] = self.x.fact.ranked()?;
        let image = sizes(&self.output_size, "output_size")?;
        let [rows, cols] = *image else {
            return Err(OpError::Invalid(format!("output_size: expected 2 numbers, found {}", image.len())));
        };
        let kernel = spatial(&self.kernel_size, Format::Nchw, "kernel_size")?;
        let stride = spatial(&self.stride, Format::Nchw, "stride")?;
        let dilation = spatial(&self.dilation, Format::Nchw, "dilation")?;
        let pads = pads(&self.padding, "padding")?;
        let [h, w] = Window::over(false, PadMode::Pad, [Some(rows), Some(cols)], kernel, stride, dilation, pads)?;
        let wanted = [h.kernel.checked_mul(w.kernel), h.out.checked_mul(w.out)];
        let fits = wanted == [Some(taps), Some(count)];
        ensure!(fits, "expected windows [{}·{}, {}·{}], found {}", h.kernel, w.kernel, h.out, w.out, self.x.fact);
        let mut places = Vec::with_capacity(taps * count);
        each([h.kernel, w.kernel, h.out, w.out], |[ky, kx, oy, ox]| {
            let at = h.at(oy, ky).zip(w.at(ox, kx));
            places.push(at.map(|(y, x)| y * cols + x));
            Ok(())
        })?;
        ensure!(checked_count(&[n, c, rows, cols]).is_some(), "images of {image:?} are too large");
        Ok(Columns { dims: [n, c, rows, cols], planes: n * c, size: rows * cols, places })
    }
}

impl Rule for Col2Im {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(
            self.x.dtype() != DType::Bool && !self.x.dtype().is_complex(),
            "expected numbers, found {}",
            self.x.fact
        );
        Ok(vec![Fact::new(self.x.dtype(), &self.columns()?.dims)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let plan = self.columns()?;
        let x = Grid::new([plan.planes, plan.places.len()], self.x.f64s()?)?;
        let mut y = Grid::zeros([plan.planes, plan.size])?;
        for plane in 0..plan.planes {
            for (tap, place) in plan.places.iter().enumerate() {
                if let Some(place) = *place {
                    *y.at_mut([plane, place])? += x.at([plane, tap])?;
                }
            }
        }
        Ok(vec![y.tensor(self.x.dtype())?.reshape(&plan.dims)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let plan = self.columns()?;
        let (size, taps, d) = (plan.size, plan.places.len(), self.x.dtype());
        if size == 0 || taps == 0 || plan.planes == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(d, &plan.dims)?)]));
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
        Ok(Some(vec![b.reshape(y, &plan.dims)?]))
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
