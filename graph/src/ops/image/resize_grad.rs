//! Gradients of resizing.

use super::resize::{Axis, Coordinate1D, Kernel, Scheme, bicubic, linear1d, scaled, switched};
use crate::op::{Case, Ints, Late, Operand, Operator, Rule};
use crate::ops::kit::adjoint::{Adjoint, Summed};
use crate::ops::kit::indices::sizes;
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, ensure, op};

/// What was resized, of which only the dimensions are known: those of `dy`, with `inner` as the last ones.
fn resized(dy: &Operand, inner: &[i64]) -> Result<Operand, OpError> {
    let inner = sizes(inner, "the size of what was resized")?;
    let lead = dy.shape().get(..2).filter(|_| dy.rank() == inner.len() + 2);
    let lead = lead.ok_or_else(|| OpError::Invalid(format!("expected rank {}, found {}", inner.len() + 2, dy.fact)))?;
    let fact = Fact::new(dy.dtype(), &[lead, &inner].concat());
    Ok(Operand { v: dy.v, fact: fact.into(), known: None })
}

/// As [`resized`], with the dimensions of `x`.
fn like(dy: &Operand, x: &Operand) -> Result<Operand, OpError> {
    let inner = x.shape().get(2..).unwrap_or_default();
    let found = resized(dy, &inner.iter().map(|&len| len as i64).collect::<Vec<_>>())?;
    ensure!(found.shape() == x.shape(), "the images of {} are not those of {}", dy.fact, x.fact);
    Ok(found)
}

/// The lengths of the last dimensions of `dy`.
fn size_of(dy: &Operand) -> Late<Option<Ints>> {
    Late::Known(Some(dy.shape().iter().skip(2).map(|&len| len as i64).collect()))
}

/// The gradient of a resizing.
fn turned<'a, const N: usize>(dy: &'a Operand, scheme: &Scheme<N>) -> Result<Adjoint<'a>, OpError> {
    let resizing = scheme.resizing()?;
    resizing.infer()?;
    let one = |(d, axis): (usize, &Axis)| {
        let taps = (0..axis.out).map(|i| axis.taps(i)).collect();
        Summed { axis: d + 2, size: axis.size, taps }
    };
    Ok(Adjoint { dy, sums: resizing.axes.iter().enumerate().map(one).collect() })
}

macro_rules! like_op {
    ($(#[doc = $doc:literal])+ $name:ident $kernel:expr) => {
        op! {
            $(#[doc = $doc])+
            $name {
                grads: Operand,
                image: Operand,
                align_corners: bool = false,
                half_pixel_centers: bool = false,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, size) = (like(&self.grads, &self.image)?, size_of(&self.grads));
                let kernel = $kernel(self.half_pixel_centers);
                turned(&self.grads, &switched(&x, &size, self.align_corners, self.half_pixel_centers, kernel)?)
            }

            fn cases() -> Vec<Case> {
                let one = |dy: &[usize], x: &[usize], corners, centres, name| {
                    let s = sample().tensor(DType::F32, dy).tensor(DType::F32, x);
                    s.flag(corners).flag(centres).case(name)
                };
                vec![
                    one(&[2, 3, 3, 5], &[2, 3, 2, 3], false, false, "larger"),
                    one(&[1, 2, 2, 3], &[1, 2, 7, 8], false, true, "smaller, centres"),
                    one(&[1, 2, 3, 5], &[1, 2, 2, 3], true, false, "aligned corners"),
                ]
            }
        }
    };
}

like_op! {
    /// The gradient of `ResizeBilinearV2` of `image`, which only tells the shape. Floats.
    ResizeBilinearGrad |_| Kernel::Linear
}

like_op! {
    /// The gradient of `ResizeBicubic` of `image`, which only tells the shape. Floats.
    ResizeBicubicGrad bicubic
}

macro_rules! nearest_op {
    ($(#[doc = $doc:literal])+ $name:ident $centres:literal) => {
        op! {
            $(#[doc = $doc])+
            $name {
                grads: Operand,
                new_generated_size ["size"]: Ints,
                align_corners: bool = false,
                half_pixel_centers: bool = false,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, size) = (resized(&self.grads, &self.new_generated_size)?, size_of(&self.grads));
                let centres = $centres && self.half_pixel_centers;
                turned(&self.grads, &switched(&x, &size, self.align_corners, centres, Kernel::Nearest)?)
            }

            fn cases() -> Vec<Case> {
                let one = |dy: &[usize], x: &[i64], corners, centres, name| {
                    sample().tensor(DType::F32, dy).ints(x).flag(corners).flag(centres).case(name)
                };
                vec![
                    one(&[2, 3, 3, 5], &[2, 3], false, false, "larger"),
                    one(&[1, 2, 2, 3], &[7, 8], false, $centres, "smaller"),
                    one(&[1, 2, 3, 5], &[2, 3], true, false, "aligned corners"),
                ]
            }
        }
    };
}

nearest_op! {
    /// The gradient of `ResizeNearestNeighbor` of images of `new_generated_size` rows and columns. Floats.
    ResizeNearestNeighborGrad false
}

nearest_op! {
    /// The gradient of `ResizeNearestNeighborV2` of images of `new_generated_size` rows and columns. Floats.
    ResizeNearestNeighborV2Grad true
}

op! {
    /// The gradient of `ResizeLinear1D` of `x`, which only tells the shape. Floats.
    ResizeLinear1DGrad {
        grads: Operand,
        x: Operand,
        coordinate_transformation_mode: Coordinate1D = Coordinate1D::AlignCorners,
    }
}

impl Operator for ResizeLinear1DGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, output) = (like(&self.grads, &self.x)?, size_of(&self.grads));
        turned(&self.grads, &linear1d(&x, &output, self.coordinate_transformation_mode))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[2, 3, 7]).tensor(DType::F32, &[2, 3, 4]);
        vec![s.clone().text("align_corners").case("corners"), s.text("half_pixel").case("centres")]
    }
}

macro_rules! upsample_op {
    ($(#[doc = $doc:literal])+ $name:ident $n:literal $kernel:expr, $x:expr, $dy:expr, $scales:expr $(, $corners:ident = $aligned:literal)?) => {
        op! {
            $(#[doc = $doc])+
            $name {
                dy: Operand,
                input_size: Ints,
                output_size: Late<Option<Ints>> = Late::Known(None),
                scales: Option<Vec<f64>> = None
                $(, $corners: bool = false)?
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let inner = self.input_size.get(2..).unwrap_or_default();
                let x = resized(&self.dy, inner)?;
                let lead = x.shape().iter().map(|&len| len as i64);
                ensure!(self.input_size.iter().copied().eq(lead), "{:?} has other images", self.input_size);
                let corners = false $(|| self.$corners)?;
                turned(&self.dy, &scaled::<$n>(&x, &self.output_size, &self.scales, corners, $kernel))
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, $dy).ints($x);
                let size: Vec<i64> = $dy.iter().skip(2).map(|&len: &usize| len as i64).collect();
                vec![
                    s.clone().ints(&size).none().case("sizes"),
                    s.clone().none().reals($scales).case("scales"),
                    $(s.ints(&size).none().flag($aligned).case("aligned corners"))?
                ]
            }
        }
    };
}

upsample_op! {
    /// The gradient of `UpsampleNearest1D` of a tensor of the dimensions `input_size`. Floats.
    UpsampleNearest1DGrad 1 Kernel::Nearest, &[2, 3, 4], &[2, 3, 7], &[1.75]
}

upsample_op! {
    /// The gradient of `UpsampleNearest2D` of a tensor of the dimensions `input_size`. Floats.
    UpsampleNearest2DGrad 2 Kernel::Nearest, &[2, 3, 2, 3], &[2, 3, 3, 5], &[1.7, 1.7]
}

upsample_op! {
    /// The gradient of `UpsampleNearest3D` of a tensor of the dimensions `input_size`. Floats.
    UpsampleNearest3DGrad 3 Kernel::Nearest, &[1, 2, 2, 3, 2], &[1, 2, 4, 4, 3], &[2.0, 1.5, 1.6]
}

upsample_op! {
    /// The gradient of `UpsampleLinear1D` of a tensor of the dimensions `input_size`. Floats.
    UpsampleLinear1DGrad 1 Kernel::Linear, &[2, 3, 4], &[2, 3, 7], &[1.75], align_corners = true
}

upsample_op! {
    /// The gradient of `UpsampleBilinear2D` of a tensor of the dimensions `input_size`. Floats.
    UpsampleBilinear2DGrad 2 Kernel::Linear, &[2, 3, 2, 3], &[2, 3, 3, 5], &[1.7, 1.7], align_corners = true
}

upsample_op! {
    /// The gradient of `UpsampleTrilinear3D` of a tensor of the dimensions `input_size`. Floats.
    UpsampleTrilinear3DGrad 3 Kernel::Linear, &[1, 2, 2, 3, 2], &[1, 2, 4, 4, 3], &[2.0, 1.5, 1.6], align_corners = true
}

upsample_op! {
    /// The gradient of `UpsampleBicubic2D` of a tensor of the dimensions `input_size`. Floats.
    UpsampleBicubic2DGrad 2 Kernel::Cubic { a: -0.75, renormal: false, table: false }, &[1, 2, 4, 3], &[1, 2, 6, 6], &[1.5, 2.0],
    align_corners = true
}
