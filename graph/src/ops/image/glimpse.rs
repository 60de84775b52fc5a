//! Places of images.

use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::grid::Grid;
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{each_index, item, only, rearrange, result, sizes};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op, op_enum};

op_enum! {
    /// What lies beyond the image.
    Noise {
        /// Numbers that are equally likely.
        Uniform = 0, "uniform";
        /// Numbers of a bell.
        Gaussian = 1, "gaussian";
        /// Zeros.
        Zero = 2, "zero";
    }
}

op! {
    /// A window of `size` (rows, columns) of each of the images `x` (`[n, h, w, c]`), at the offset that its row of `offsets`
    /// gives: of the window's centre from the middle (`centered`) or the corner of the image, in halves or wholes of its size
    /// (`normalized`) or in elements. Beyond the image are zeros; `noise` of another kind is unsupported.
    classic ExtractGlimpse {
        x: Operand,
        size: Ints as Input,
        offsets: Operand,
        centered: bool = true,
        normalized: bool = true,
        uniform_noise: bool = true,
        noise: Noise as Small = Noise::Uniform,
    }
}

impl ExtractGlimpse {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let ([n, _, _, c], [images, two]) = (self.x.fact.ranked()?, self.offsets.fact.ranked()?);
        let fits = two == 2 && images == n && self.offsets.dtype().is_float();
        ensure!(fits, "expected two offsets for each image of {}, found {}", self.x.fact, self.offsets.fact);
        let size = sizes(&self.size, "size")?;
        let [rows, cols] = size.as_slice() else {
            return Err(OpError::Invalid(format!("expected rows and columns, found {size:?}")));
        };
        if self.noise != Noise::Zero {
            return Err(OpError::Unsupported("noise beyond the image".into()));
        }
        Ok(vec![result(self.x.dtype(), &[n, *rows, *cols, c])?])
    }

    /// The first element of a window along a dimension.
    fn start(&self, offset: f64, len: usize, window: usize) -> i64 {
        let (len, window) = (len as f64, window as f64);
        let at = if self.normalized { offset * len } else { offset };
        let centre = if self.centered { at / 2.0 + len / 2.0 } else { at };
        (centre - window / 2.0) as i64
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (fact, offsets) = (only(facts)?, Grid::<2>::read(&self.offsets)?);
        let ([n, h, w, c], [_, rows, cols, _]) = (self.x.fact.ranked()?, fact.ranked()?);
        let starts = (0..n)
            .map(|image| {
                Ok([self.start(offsets.at([image, 0])?, h, rows), self.start(offsets.at([image, 1])?, w, cols)])
            })
            .collect::<Result<Vec<_>, OpError>>()?;
        let y = rearrange(self.x.tensor()?, &fact.shape, |index| {
            let [image, i, j, channel] = index.try_into().ok()?;
            let [top, left] = *starts.get(image)?;
            let row = usize::try_from(top.saturating_add(i as i64)).ok().filter(|row| *row < h)?;
            let col = usize::try_from(left.saturating_add(j as i64)).ok().filter(|col| *col < w)?;
            Some(((image * h + row) * w + col) * c + channel)
        })?;
        Ok(vec![y])
    }
}

impl Operator for ExtractGlimpse {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let s = |a: f64, b: f64| {
            sample().arg(wave(DType::F32, &[1, 5, 5, 2])).ints(&[2, 3]).arg(cycle(DType::F32, &[1, 2], &[a, b]))
        };
        vec![
            s(0.6, -0.3).flag(true).flag(true).flag(false).text("zero").exact("from the middle"),
            s(0.6, -0.3).flag(false).flag(false).flag(false).text("zero").exact("from the corner"),
            s(1.0, 2.0).flag(true).flag(false).flag(false).text("zero").exact("in elements"),
        ]
    }
}

op! {
    /// Where each element of an image of `output_size` (`[n, c, h, w]` or `[n, c, d, h, w]`) comes from when the matrices `theta`
    /// (`[n, 2, 3]` or `[n, 3, 4]`) map it: `[n, …, 2 or 3]` coordinates from −1 to 1, the last dimension's first, for
    /// `GridSampler2D` and `3D`. −1 and 1 are the centres of the edge elements with `align_corners`, else the outer edges.
    classic AffineGrid { theta: Operand, output_size: Ints as Input, align_corners: bool = false }
}

impl AffineGrid {
    /// The dimensions of the image without channels.
    fn dims(&self) -> Result<Vec<usize>, OpError> {
        let size = sizes(&self.output_size, "output_size")?;
        let ([n, rows, cols], rank) = (self.theta.fact.ranked()?, size.len());
        let fits = matches!(rank, 4 | 5) && rows == rank - 2 && cols == rank - 1 && size.first() == Some(&n);
        ensure!(fits, "expected matrices for {size:?}, found {}", self.theta.fact);
        ensure!(self.theta.dtype().is_float(), "expected floats, found {}", self.theta.fact);
        Ok(size.iter().enumerate().filter(|(d, _)| *d != 1).map(|(_, len)| *len).collect())
    }

    /// Coordinate `i` of `len`.
    fn place(&self, i: usize, len: usize) -> f64 {
        match self.align_corners {
            true if len > 1 => 2.0 * i as f64 / (len - 1) as f64 - 1.0,
            true => 0.0,
            false => (2 * i + 1) as f64 / len as f64 - 1.0,
        }
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (fact, theta) = (only(facts)?, Grid::<3>::read(&self.theta)?);
        let (spatial, mut y) = (fact.rank() - 2, Vec::with_capacity(fact.count()));
        let dims = fact.shape.get(..spatial + 1).unwrap_or_default();
        let mut failed = Ok(());
        each_index(dims, |index| {
            let places: Vec<f64> =
                index.iter().zip(dims).skip(1).rev().map(|(i, len)| self.place(*i, *len)).chain([1.0]).collect();
            for row in 0..spatial {
                let one = |(col, place): (usize, &f64)| Ok(place * theta.at([*item(index, 0)?, row, col])?);
                match places.iter().enumerate().map(one).sum::<Result<f64, OpError>>() {
                    Ok(sum) => y.push(sum),
                    Err(e) => failed = Err(e),
                }
            }
        })?;
        failed?;
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }
}

impl Operator for AffineGrid {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            let dims = self.dims()?;
            let shape: Vec<usize> = dims.iter().copied().chain([dims.len() - 1]).collect();
            Ok(vec![result(self.theta.dtype(), &shape)?])
        };
        Ok(host(facts, |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let plane = || sample().tensor(DType::F32, &[2, 2, 3]).ints(&[2, 1, 2, 3]);
        vec![
            plane().case("edges"),
            plane().flag(true).case("corners"),
            sample().tensor(DType::F32, &[1, 3, 4]).ints(&[1, 1, 2, 1, 2]).case("volume"),
        ]
    }
}
