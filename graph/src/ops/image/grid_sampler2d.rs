use super::picked;
use crate::onnx::{Edge, Emit, Forms, NoForm, no_form};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::result;
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op, op_enum};

op_enum! {
    /// How a value between elements is found.
    Interpolation {
        /// Linear in rows and columns.
        Bilinear = 0, "bilinear";
        /// The nearest element, halves away from zero.
        Nearest = 1, "nearest";
    }
}

op_enum! {
    /// What lies beyond the edges.
    Beyond {
        /// Zeros.
        Zeros = 0, "zeros";
        /// The edge elements.
        Border = 1, "border";
        /// The image mirrored.
        Reflection = 2, "reflection";
    }
}

op! {
    /// Values of images `[n, c, h, w]` at the places `grid` (`[n, oh, ow, 2]`: column and row from −1 to 1): `[n, c, oh, ow]`.
    ///
    /// −1 and 1 are the centres of the edge elements with `align_corners`, else the outer edges; NaN is beyond them, at the last
    /// element where it has one. One float type.
    GridSampler2D {
        input_x ["x"]: Operand,
        grid: Operand,
        interpolation_mode: Interpolation = Interpolation::Bilinear,
        padding_mode: Beyond = Beyond::Zeros,
        align_corners: bool = false,
    }
}

/// How places become sums of elements.
pub(super) struct Sampling {
    pub interpolation: Interpolation,
    pub beyond: Beyond,
    pub corners: bool,
}

/// An element of a sum along one dimension.
pub(super) struct Tap {
    pub at: usize,
    pub weight: f64,
    /// How the weight changes with the place.
    pub slope: f64,
}

impl Sampling {
    /// Source coordinate along a dimension of `len` elements, and how it changes with the place.
    fn coordinate(&self, place: f64, len: usize) -> (f64, f64) {
        let n = len as f64;
        let (x, slope) = if self.corners {
            ((place + 1.0) / 2.0 * (n - 1.0), (n - 1.0) / 2.0)
        } else {
            (((place + 1.0) * n - 1.0) / 2.0, n / 2.0)
        };
        let clamped = |x: f64, slope: f64| {
            let inside = x > 0.0 && x < n - 1.0;
            let last = n - 1.0;
            (if x.is_nan() { last } else { x.clamp(0.0, last) }, if inside { slope } else { 0.0 })
        };
        match self.beyond {
            Beyond::Zeros => (x, slope),
            Beyond::Border => clamped(x, slope),
            Beyond::Reflection => {
                let (low, span) = if self.corners { (0.0, n - 1.0) } else { (-0.5, n) };
                let away = (x - low).abs();
                let turns = (away / span).floor();
                let rest = away - turns * span;
                let even = turns % 2.0 == 0.0;
                let x_back = if even { low + rest } else { low + span - rest };
                let forwards = even == (x >= low);
                let slope = if forwards { slope } else { -slope };
                if span > 0.0 { clamped(x_back, slope) } else { (0.0, 0.0) }
            }
        }
    }

    /// Elements and weights along one dimension; elements beyond the edges are left out.
    pub fn taps(&self, place: f64, len: usize) -> Vec<Tap> {
        let (x, slope) = self.coordinate(place, len);
        let t = x - x.floor();
        let taps = match self.interpolation {
            Interpolation::Nearest => vec![(x.round(), 1.0, 0.0)],
            Interpolation::Bilinear => vec![(x.floor(), 1.0 - t, -slope), (x.floor() + 1.0, t, slope)],
        };
        let inside = taps.into_iter().filter(|(at, ..)| (0.0..len as f64).contains(at));
        inside.map(|(at, weight, slope)| Tap { at: at as usize, weight, slope }).collect()
    }
}

/// The dimensions `[n, c, oh, ow]` of what `grid` picks of `x`.
pub(super) fn sampled(x: &Operand, grid: &Operand) -> Result<[usize; 4], OpError> {
    let (x, grid) = (&x.fact, &grid.fact);
    let ([n, c, h, w], [m, oh, ow, two]) = (x.ranked()?, grid.ranked()?);
    ensure!(n == m && two == 2, "expected [n, c, h, w] and [n, oh, ow, 2], found {x} and {grid}");
    ensure!(x.dtype == grid.dtype && x.dtype.is_float(), "expected floats of one type, found {x} and {grid}");
    ensure!(h > 0 && w > 0, "expected images with elements, found {x}");
    Ok([n, c, oh, ow])
}

impl GridSampler2D {
    fn sampling(&self) -> Sampling {
        Sampling { interpolation: self.interpolation_mode, beyond: self.padding_mode, corners: self.align_corners }
    }

    /// `grid`, of type `dtype`, with every place moved to the element that is nearest: ONNX rounds halves to even.
    fn whole(&self, e: &mut Emit, grid: Edge, dtype: DType) -> Result<Edge, NoForm> {
        let (width, height) = (e.dim(&self.input_x, 3)?, e.dim(&self.input_x, 2)?);
        let extent = e.concat(&[width, height], 0);
        let extent = e.cast(extent, DType::I64, dtype);
        let [half, one, two] = [0.5, 1.0, 2.0].map(|n| e.number(dtype, n));
        let (half, one, two) = (half?, one?, two?);
        // The last element with corners aligned is at `extent - 1`, else the image ends half an element after it.
        let span = if self.align_corners { e.op("Sub", &[extent, one]) } else { extent };
        let place = e.op("Add", &[grid, one]);
        let place = e.op("Mul", &[place, span]);
        let place = if self.align_corners { place } else { e.op("Sub", &[place, one]) };
        let place = e.op("Mul", &[place, half]);
        let (away, sign) = (e.op("Abs", &[place]), e.op("Sign", &[place]));
        let away = e.op("Add", &[away, half]);
        let away = e.op("Floor", &[away]);
        let place = e.op("Mul", &[away, sign]);
        let place = e.op("Mul", &[place, two]);
        let place = if self.align_corners { place } else { e.op("Add", &[place, one]) };
        let span = e.op("Max", &[span, one]);
        let place = e.op("Div", &[place, span]);
        Ok(e.op("Sub", &[place, one]))
    }
}

impl Rule for GridSampler2D {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![result(self.input_x.dtype(), &sampled(&self.input_x, &self.grid)?)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = self.infer()?.remove(0);
        let (x, grid, mut y) = (Grid::read(&self.input_x)?, Grid::read(&self.grid)?, Grid::zeros(fact.ranked()?)?);
        let ([_, _, h, w], sampling) = (x.dims, self.sampling());
        each(y.dims, |[n, c, oy, ox]| {
            let place = |i| grid.at([n, oy, ox, i]);
            let (cols, rows) = (sampling.taps(place(0)?, w), sampling.taps(place(1)?, h));
            let row = |row: &Tap| {
                let terms = cols.iter().map(|col| Ok(row.weight * col.weight * x.at([n, c, row.at, col.at])?));
                terms.sum::<Result<f64, OpError>>()
            };
            *y.at_mut([n, c, oy, ox])? = rows.iter().map(row).sum::<Result<f64, OpError>>()?;
            Ok(())
        })?;
        Ok(vec![y.tensor(fact.dtype)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let out = self.infer()?.remove(0);
        let x = b.reshape(self.input_x.v, self.input_x.shape())?;
        picked::lower(b, &self.sampling(), x, self.grid.v, &out)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let mode = match (self.interpolation_mode, e.opset()) {
            (Interpolation::Nearest, _) => "nearest",
            (Interpolation::Bilinear, ..20) => "bilinear",
            (Interpolation::Bilinear, _) => "linear",
        };
        let beyond = match self.padding_mode {
            Beyond::Zeros => "zeros",
            Beyond::Border => "border",
            Beyond::Reflection => "reflection",
        };
        let dtype = self.input_x.dtype();
        let nearest = self.interpolation_mode == Interpolation::Nearest;
        let wide = if nearest { DType::promote(dtype, DType::F32) } else { dtype };
        let (x, mut grid) = (e.as_type(&self.input_x, wide)?, e.as_type(&self.grid, wide)?);
        if nearest {
            if self.padding_mode == Beyond::Reflection {
                return no_form("ONNX rounds halves to even, also where it mirrors the image");
            }
            grid = self.whole(e, grid, wide)?;
        }
        let corners = i64::from(self.align_corners);
        let attrs = vec![("mode", mode.into()), ("padding_mode", beyond.into()), ("align_corners", corners.into())];
        let y = e.op_with("GridSample", &[x, grid], attrs);
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }

    fn cases() -> Vec<Case> {
        let halves = Tensor::from_f64s(
            DType::F32,
            &[1, 1, 6, 2],
            &[-1.0, -1.0, -0.5, -0.5, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, -1.5, 1.5],
        );
        let halves =
            sample().tensor(DType::F32, &[1, 2, 4, 2]).data(halves.unwrap_or_else(|_| Tensor::vector::<f32>(&[])));
        let s = sample().tensor(DType::F32, &[2, 3, 4, 5]).tensor(DType::F32, &[2, 3, 2, 2]);
        vec![
            s.clone().int(0).int(0).flag(true).case("bilinear"),
            s.clone().text("bilinear").text("reflection").flag(false).case("reflection"),
            s.int(1).int(1).flag(false).exact("nearest"),
            halves.clone().int(1).int(0).flag(false).exact("halves, nearest"),
            halves.clone().int(1).int(1).flag(false).exact("halves at the border, nearest"),
        ]
    }
}

op! {
    /// As `GridSampler2D`, of volumes `[n, c, d, h, w]` at places `[n, od, oh, ow, 3]`: column, row and depth.
    GridSampler3D {
        input_x ["x"]: Operand,
        grid: Operand,
        interpolation_mode: Interpolation = Interpolation::Bilinear,
        padding_mode: Beyond = Beyond::Zeros,
        align_corners: bool = false,
    }
}

impl Rule for GridSampler3D {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, grid) = (&self.input_x.fact, &self.grid.fact);
        let ([n, c, d, h, w], [m, od, oh, ow, three]) = (x.ranked()?, grid.ranked()?);
        ensure!(n == m && three == 3, "expected [n, c, d, h, w] and [n, od, oh, ow, 3], found {x} and {grid}");
        ensure!(x.dtype == grid.dtype && x.dtype.is_float(), "expected floats of one type, found {x} and {grid}");
        ensure!(d > 0 && h > 0 && w > 0, "expected volumes with elements, found {x}");
        Ok(vec![result(x.dtype, &[n, c, od, oh, ow])?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = self.infer()?.remove(0);
        let (x, grid, mut y) = (Grid::read(&self.input_x)?, Grid::read(&self.grid)?, Grid::zeros(fact.ranked()?)?);
        let [_, _, d, h, w] = x.dims;
        let (interpolation, beyond) = (self.interpolation_mode, self.padding_mode);
        let sampling = Sampling { interpolation, beyond, corners: self.align_corners };
        each(y.dims, |[n, c, oz, oy, ox]| {
            let taps = |i, len| Ok::<_, OpError>(sampling.taps(grid.at([n, oz, oy, ox, i])?, len));
            let (cols, rows, planes) = (taps(0, w)?, taps(1, h)?, taps(2, d)?);
            let mut sum = 0.0;
            for (plane, row) in planes.iter().flat_map(|plane| rows.iter().map(move |row| (plane, row))) {
                for col in &cols {
                    sum += plane.weight * row.weight * col.weight * x.at([n, c, plane.at, row.at, col.at])?;
                }
            }
            *y.at_mut([n, c, oz, oy, ox])? = sum;
            Ok(())
        })?;
        Ok(vec![y.tensor(fact.dtype)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX samples volumes from operator set 20 on only")
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[2, 2, 2, 3, 4]).tensor(DType::F32, &[2, 1, 2, 2, 3]);
        vec![
            s.clone().int(0).int(0).flag(true).case("bilinear"),
            s.clone().text("bilinear").text("reflection").flag(false).case("reflection"),
            s.int(1).int(1).flag(false).exact("nearest"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MindSpore 2.10 on the CPU.
    #[test]
    fn modes_are_mindspores() {
        let tensor = |dims: &[usize], data: &[f64]| Tensor::from_f64s(DType::F32, dims, data).unwrap();
        let x = tensor(&[1, 1, 2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let places = tensor(&[1, 1, 4, 2], &[-1.2, -1.0, 0.1, 0.3, 0.9, 1.3, -0.5, 0.5]);
        let s = sample().data(x).data(places);
        let cases = [
            (0, 0, true, [0.0, 3.05, 4.165, 2.75]),
            (0, 1, true, [0.0, 3.05, 4.9, 2.75]),
            (0, 2, true, [0.2, 3.05, 4.45, 2.75]),
            (1, 0, true, [0.0, 4.0, 5.0, 4.0]),
            (0, 0, false, [0.0, 3.55, 0.65, 3.25]),
            (0, 2, false, [0.0, 3.55, 5.0, 3.25]),
            (1, 0, false, [0.0, 4.0, 0.0, 3.0]),
        ];
        for (mode, beyond, corners, want) in cases {
            let op: GridSampler2D = s.clone().int(mode).int(beyond).flag(corners).operator().unwrap();
            let got = op.reference().unwrap()[0].to_f64s().unwrap();
            let near = got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5);
            assert!(near, "{mode} {beyond} {corners}: {got:?} {want:?}");
        }
    }
}
