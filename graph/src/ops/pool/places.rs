//! Elements that go to places of images, and come from there: gradients of maxima, and the inverse of pooling.

use crate::bounds::Pulse;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule, ints};
use crate::ops::kit::grid::Grid;
use crate::ops::kit::indices::{result, sizes, taken};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, spatial};
use crate::task::{Binary, Instr, Lowering, Program, ScatterKind, V};
use crate::{DType, Fact, OpError, Shape, Tensor, count, ensure, op};

/// A tensor of images, each of which is a number of neighbouring elements: its last dimensions.
#[derive(Clone)]
pub(super) struct Images {
    pub fact: Fact,
    /// How many dimensions come before those of an image.
    pub lead: usize,
}

impl Images {
    /// The number of images, and of the elements of each.
    fn dims(&self) -> Option<[usize; 2]> {
        self.fact.shape.split_at_checked(self.lead).map(|(lead, image)| [count(lead), count(image)])
    }
}

/// The position among the elements of all images of the place that each image's own elements name. A place outside of
/// its image is outside of all.
fn positions(b: &mut Lowering, places: V, [images, size]: [usize; 2]) -> Result<V, OpError> {
    let (total, dtype) = (images * size, DType::I64);
    let fact = b.fact(places).clone();
    let each = fact.count().checked_div(images).unwrap_or(0);
    let places = b.reshape(places, &[images, each])?;
    let firsts: Vec<i64> = (0..images).map(|image| (image * size) as i64).collect();
    let firsts = b.constant(Tensor::from_i64s(dtype, &[images, 1], &firsts)?);
    let mut p = Program::new();
    let place = p.input(0, fact.dtype);
    let place = p.cast(place, dtype);
    let first = p.input(1, dtype);
    let [zero, size, outside] = [0, size, total].map(|n| p.push(Instr::Int(n as i64), dtype));
    let (below, inside) = (p.binary(Binary::Lt, place, zero), p.binary(Binary::Lt, place, size));
    let at = p.binary(Binary::Add, first, place);
    let at = p.select(inside, at, outside);
    p.select(below, outside, at);
    Ok(b.map(p, &[places, firsts], &[images, each]))
}

/// Zeros in the form of `images`, with `values` put or added to the `places` of their images.
pub(super) fn placed(
    b: &mut Lowering,
    kind: ScatterKind,
    images: &Images,
    values: V,
    places: V,
) -> Result<Option<V>, OpError> {
    let Some(dims) = images.dims().filter(|dims| !dims.contains(&0)) else { return Ok(None) };
    let (total, n) = (images.fact.count(), b.fact(values).count());
    let at = positions(b, places, dims)?;
    let (at, values) = (b.reshape(at, &[n, 1])?, b.reshape(values, &[n])?);
    let zeros = b.constant(Tensor::zeros(images.fact.dtype, &[total])?);
    let y = b.scatter(kind, zeros, at, values)?;
    Ok(Some(b.reshape(y, &images.fact.shape)?))
}

/// Zeros with each of `values` put or added to the place within its image that `places` has for it.
struct Placed<'a> {
    kind: ScatterKind,
    values: &'a Operand,
    places: &'a Operand,
    images: Images,
}

/// The positions of `places` among all elements of `images`.
fn checked(places: &Operand, images: &Images) -> Result<Vec<usize>, OpError> {
    let (places, [n, size]) = (places.i64s()?, images.dims().unwrap_or([0, 0]));
    let each = places.len().checked_div(n).unwrap_or(0);
    let at = |(i, place): (usize, i64)| {
        let place = usize::try_from(place).ok().filter(|place| *place < size);
        place.map(|place| i / each * size + place)
    };
    let all = places.iter().copied().enumerate().map(at).collect::<Option<_>>();
    all.ok_or_else(|| OpError::Invalid(format!("expected places of {size} elements, found {places:?}")))
}

/// Checks that `values` and `places` belong together and to as many images.
fn check_places(values: &Fact, places: &Operand, images: &Images) -> Result<(), OpError> {
    ensure!(places.dtype().is_int(), "expected integer places, found {}", places.fact);
    ensure!(values.shape == places.fact.shape, "expected a place for each of {values}, found {}", places.fact);
    let lead = values.shape.get(..images.lead);
    let fits = lead.is_some() && lead == images.fact.shape.get(..images.lead) && values.rank() == images.fact.rank();
    ensure!(fits, "the images of {values} are not those of {}", images.fact);
    Ok(())
}

impl Rule for Placed<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        check_places(&self.values.fact, self.places, &self.images)?;
        let (to, from) = (&self.images.fact, &self.values.fact);
        let numbers = from.dtype.is_float() || from.dtype.is_int();
        ensure!(numbers && to.dtype == from.dtype, "expected numbers of one type, found {to} and {from}");
        Ok(vec![result(to.dtype, &to.shape)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = &self.images.fact;
        let (mut y, mut pulse) = (Grid::zeros([fact.count()])?, Pulse::default());
        for (at, value) in checked(self.places, &self.images)?.into_iter().zip(self.values.f64s()?) {
            pulse.beat()?;
            let old = y.at_mut([at])?;
            *old = if self.kind == ScatterKind::Add { *old + value } else { value };
        }
        Ok(vec![y.tensor(fact.dtype)?.reshape(&fact.shape)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        self.infer()?;
        Ok(placed(b, self.kind, &self.images, self.values.v, self.places.v)?.map(|y| vec![y]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no elements at places within images")
    }
}

/// The element of `x` at each place within its image.
struct Picked<'a> {
    x: &'a Operand,
    places: &'a Operand,
    images: Images,
}

impl Rule for Picked<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let y = Fact { dtype: self.x.dtype(), shape: self.places.fact.shape.clone() };
        check_places(&y, self.places, &self.images)?;
        Ok(vec![y])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let places = checked(self.places, &self.images)?;
        Ok(vec![taken(self.x.tensor()?, self.places.shape(), places.into_iter())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        self.infer()?;
        let Some(dims) = self.images.dims().filter(|dims| !dims.contains(&0)) else { return Ok(None) };
        let at = positions(b, self.places.v, dims)?;
        let x = b.reshape(self.x.v, &[self.x.count()])?;
        let y = b.gather(x, at, 0)?;
        Ok(Some(vec![b.reshape(y, self.places.shape())?]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no elements at places within images")
    }
}

/// The gradient of maxima: `grad` added at `argmax` to zeros like `x`, whose images are its dimensions from `lead` on.
fn added<'a>(x: &Operand, grad: &'a Operand, argmax: &'a Operand, lead: usize) -> Placed<'a> {
    let images = Images { fact: Fact::clone(&x.fact), lead };
    Placed { kind: ScatterKind::Add, values: grad, places: argmax, images }
}

/// The index of the first of the last `n` dimensions.
fn spatial_from(x: &Operand, n: usize) -> Result<usize, OpError> {
    x.rank().checked_sub(n).ok_or_else(|| OpError::Invalid(format!("expected rank {n} or more, found {}", x.fact)))
}

op! {
    /// The gradient of `MaxPoolWithArgmax`: every element of `grad` is added where `argmax` says that its maximum was,
    /// `(channel · height + row) · width + column`.
    ///
    /// `x`: `[n, c, h, w]` of floats, which only tells the result's shape. `grad`: one element for each window; `argmax`:
    /// integers of the same shape.
    classic MaxPoolGradWithArgmax {
        x ["x_origin"]: Operand,
        grad ["out_origin"]: Operand,
        argmax: Operand,
        kernel_size ["ksize"]: Ints as Middle(2) = ints(&[1]),
        strides ["stride"]: Ints as Middle(2) = ints(&[1]),
        pad_mode ["padding"]: PadMode = PadMode::Valid,
        format: Format = Format::Nchw,
    }
}

impl Operator for MaxPoolGradWithArgmax {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.x.rank() == 4, "expected rank 4, found {}", self.x.fact);
        Ok(added(&self.x, &self.grad, &self.argmax, 1))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[2, 2, 3, 4]).tensor(DType::F32, &[2, 2, 1, 2]);
        vec![s.index(DType::I32, &[2, 2, 1, 2], &[1, 6, 12, 23, 5, 2, 13, 13]).ints(&[2]).ints(&[2]).case("images")]
    }
}

op! {
    /// The gradient of `MaxPoolWithArgmaxV2`: every element of `grad` is added where `argmax` says that its maximum was,
    /// `row · width + column`.
    ///
    /// `x`: `[n, c, h, w]`, which only tells the result's shape. `grad`: one number for each window, of the type of `x`; `argmax`:
    /// integers of the same shape.
    classic MaxPoolGradWithArgmaxV2 {
        x: Operand,
        grad: Operand,
        argmax: Operand,
        kernel_size: Ints as Whole(2),
        strides: Option<Ints> as Whole(2) = None,
        pads: Ints as Whole(2) = ints(&[0]),
        dilation: Ints as Whole(2) = ints(&[1]),
        ceil_mode: bool = false,
        argmax_type: DType = DType::I64,
    }
}

/// Cases of gradients with an argmax of images of 3 by 4.
fn argmax_cases(s: impl Fn(Case) -> Case, dtype: DType) -> Vec<Case> {
    let operands = |dtype, values: &[i64], name| {
        let s = sample().tensor(dtype, &[2, 2, 3, 4]).tensor(dtype, &[2, 2, 1, 2]);
        s.index(DType::I64, &[2, 2, 1, 2], values).case(name)
    };
    vec![
        s(operands(dtype, &[1, 6, 0, 11, 5, 2, 3, 10], "apart")),
        s(operands(dtype, &[1, 1, 0, 0, 5, 2, 3, 3], "overlap")),
    ]
}

impl Operator for MaxPoolGradWithArgmaxV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(added(&self.x, &self.grad, &self.argmax, spatial_from(&self.x, 2)?))
    }

    fn cases() -> Vec<Case> {
        argmax_cases(
            |mut case| {
                case.args.extend([Some([2i64, 2].as_slice().into()), Some([2i64, 2].as_slice().into())]);
                case
            },
            DType::F32,
        )
    }
}

op! {
    /// The gradient of `AdaptiveMaxPool2D`: every element of `y_grad` is added where `argmax` says that its maximum was,
    /// `row · width + column`. `x`: `[…, h, w]`, which only tells the result's shape.
    AdaptiveMaxPool2DGrad { y_grad: Operand, x: Operand, argmax: Operand }
}

impl Operator for AdaptiveMaxPool2DGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(added(&self.x, &self.y_grad, &self.argmax, spatial_from(&self.x, 2)?))
    }

    fn cases() -> Vec<Case> {
        argmax_cases(
            |mut case| {
                case.args.swap(0, 1);
                case
            },
            DType::F32,
        )
    }
}

op! {
    /// The gradient of `AdaptiveMaxPool3D`: every element of `input_grad` is added where `argmax` says that its maximum was,
    /// counted plane by plane and row by row. `x`: `[…, d, h, w]`, which only tells the result's shape.
    classic AdaptiveMaxPool3DGrad { input_grad: Operand, x: Operand, argmax: Operand }
}

impl Operator for AdaptiveMaxPool3DGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(added(&self.x, &self.input_grad, &self.argmax, spatial_from(&self.x, 3)?))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[2, 1, 2, 1]).tensor(DType::F32, &[2, 2, 3, 2]);
        vec![s.index(DType::I32, &[2, 1, 2, 1], &[3, 11, 5, 5]).case("volumes")]
    }
}

macro_rules! unpool_op {
    ($(#[doc = $doc:literal])+ $name:ident $grad:ident $n:literal $format:expr, $shape:expr, $places:expr, $at:expr) => {
        op! {
            $(#[doc = $doc])+
            classic $name {
                x: Operand,
                argmax: Operand,
                ksize: Ints as Whole($n),
                strides: Ints as Whole($n) = ints(&[0]),
                pads: Ints as Whole($n) = ints(&[0]),
                output_shape: Ints as List = Ints::new(),
                format ["data_format"]: Format = $format,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                ensure!(self.format.spatial() == 2, "expected channels first, found {:?}", self.format);
                let lead = spatial_from(&self.x, $n)?;
                let shape = if self.output_shape.is_empty() {
                    unpooled::<$n>(&self.x, &self.ksize, &self.strides, &self.pads)?
                } else {
                    Shape::from_vec(sizes(&self.output_shape, "output_shape")?)
                };
                let images = Images { fact: Fact { dtype: self.x.dtype(), shape }, lead };
                Ok(Placed { kind: ScatterKind::Replace, values: &self.x, places: &self.argmax, images })
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, $places).index(DType::I64, $places, $at);
                vec![
                    s.clone().ints(&[2]).ints(&[2]).exact("twice the size"),
                    s.ints(&[2]).ints(&[2]).ints(&[0]).ints(&$shape.map(|d: usize| d as i64)).exact("a shape"),
                ]
            }
        }

        op! {
            /// The gradient of unpooling: the element of `grads` at each place that `argmax` names. `x` tells the shape.
            classic $grad {
                x: Operand,
                grads: Operand,
                argmax: Operand,
                ksize: Ints as Whole($n),
                strides: Ints as Whole($n) = ints(&[0]),
                pads: Ints as Whole($n) = ints(&[0]),
                output_shape: Ints as List = Ints::new(),
                format ["data_format"]: Format = $format,
            }
        }

        impl Operator for $grad {
            fn rule(&self) -> Result<impl Rule, OpError> {
                ensure!(self.format.spatial() == 2, "expected channels first, found {:?}", self.format);
                ensure!(self.x.fact.shape == self.argmax.fact.shape, "a place for each of {} is missing", self.x.fact);
                let images = Images { fact: Fact::clone(&self.grads.fact), lead: spatial_from(&self.grads, $n)? };
                Ok(Picked { x: &self.grads, places: &self.argmax, images })
            }

            fn cases() -> Vec<Case> {
                let s = sample().tensor(DType::F32, $places).tensor(DType::F32, &$shape);
                vec![s.index(DType::I64, $places, $at).ints(&[2]).ints(&[2]).exact("places")]
            }
        }
    };
}

/// The dimensions of `x` before pooling with windows of this geometry.
fn unpooled<const N: usize>(x: &Operand, ksize: &Ints, strides: &Ints, pads: &Ints) -> Result<Shape, OpError> {
    let kernel = spatial::<N>(ksize, Format::Nchw, "ksize")?;
    let stride = if strides.iter().all(|s| *s == 0) { kernel } else { spatial(strides, Format::Nchw, "strides")? };
    let pads = pads.last_chunk::<N>().copied().or_else(|| pads.first().map(|pad| [*pad; N])).unwrap_or([0; N]);
    let mut dims = x.fact.shape.clone();
    let first = spatial_from(x, N)?;
    for (len, ((kernel, stride), pad)) in dims.iter_mut().skip(first).zip(kernel.into_iter().zip(stride).zip(pads)) {
        let full = len.saturating_sub(1).saturating_mul(stride).saturating_add(kernel);
        let out = usize::try_from(pad).ok().and_then(|pad| full.checked_sub(pad.saturating_mul(2)));
        *len = out.ok_or_else(|| OpError::Invalid(format!("padding {pad} leaves nothing of {full}")))?;
    }
    Ok(dims)
}

unpool_op! {
    /// The inverse of maximum pooling of images `[n, c, h, w]`: zeros of `output_shape`, or else of
    /// `(h − 1) · strides − 2 · pads + ksize` rows and columns likewise, with each element of `x` at its place
    /// `row · width + column` in `argmax`; the last one of several counts. Any number type.
    MaxUnpool2D MaxUnpool2DGrad 2 Format::Nchw, [1, 2, 2, 4], &[1, 2, 1, 2], &[1, 6, 7, 0]
}

unpool_op! {
    /// The inverse of maximum pooling of volumes `[n, c, d, h, w]`: as `MaxUnpool2D`, with places counted plane by plane.
    MaxUnpool3D MaxUnpool3DGrad 3 Format::Ncdhw, [1, 2, 2, 2, 4], &[1, 2, 1, 1, 2], &[1, 6, 15, 0]
}
