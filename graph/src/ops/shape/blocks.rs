use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule};
use crate::ops::kit::border::{Border, Padded};
use crate::ops::kit::indices::{around, dim, flat, inverse, permuted, rearrange, replaced, size, sizes};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::Format;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Shape, Tensor, checked_count, ensure, op, shape};

/// Checks an image batch `[n, c, h, w]` and a block size.
fn image(x: &Operand, block: i64, format: Format) -> Result<([usize; 4], usize), OpError> {
    ensure!(format == Format::Nchw, "expected format NCHW, found {format:?}");
    let [n, c, h, w] = *x.shape() else {
        return Err(OpError::Invalid(format!("expected [n, c, h, w], found {}", x.fact)));
    };
    let b = size(block, "block_size")?;
    ensure!((1..1 << 16).contains(&b), "expected a block_size from 1 to 65535, found {b}");
    Ok(([n, c, h, w], b))
}

/// The elements of `x` as a tensor of `split`, its dimensions in the order of `perm`, as a tensor of `dims`.
struct Shuffled<'a> {
    x: &'a Operand,
    split: Shape,
    perm: Vec<usize>,
    dims: Shape,
}

impl Rule for Shuffled<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.x.dtype(), shape: self.dims.clone() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let back = inverse(&self.perm);
        let y = rearrange(self.x.tensor()?, &permuted(&self.split, &self.perm), |index| {
            Some(flat(&self.split, &permuted(index, &back)))
        })?;
        Ok(vec![y.reshape(&self.dims)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let x = b.reshape(self.x.v, &self.split)?;
        let y = b.transpose(x, &self.perm)?;
        Ok(Some(vec![b.reshape(y, &self.dims)?]))
    }
}

op! {
    /// Moves channels into space: `y[n, c, h·b + i, w·b + j] = x[n, (i·b + j)·C + c, h, w]`, with `C` the channels of the
    /// result. Any type, `[n, c, h, w]`.
    classic DepthToSpace { x ["input"]: Operand, block_size: i64, format ["data_format"]: Format = Format::Nchw }
}

impl Operator for DepthToSpace {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let ([n, c, h, w], b) = image(&self.x, self.block_size, self.format)?;
        ensure!(c.is_multiple_of(b * b), "{c} channels do not make blocks of {b} by {b}");
        let c = c / (b * b);
        let (split, dims) = (shape(&[n, b, b, c, h, w]), shape(&[n, c, h * b, w * b]));
        Ok(Shuffled { x: &self.x, split, perm: vec![0, 3, 4, 1, 5, 2], dims })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 8, 2, 3]).int(2).exact("blocks of two"),
            sample().tensor(DType::I8, &[1, 9, 1, 2]).int(3).text("NCHW").exact("blocks of three"),
        ]
    }
}

op! {
    /// Moves space into channels: `y[n, (i·b + j)·C + c, h, w] = x[n, c, h·b + i, w·b + j]`, with `C` the channels of `x`. Any
    /// type, `[n, c, h, w]`.
    classic SpaceToDepth { x ["input"]: Operand, block_size: i64, format ["data_format"]: Format = Format::Nchw }
}

impl Operator for SpaceToDepth {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let ([n, c, h, w], b) = image(&self.x, self.block_size, self.format)?;
        ensure!(h.is_multiple_of(b) && w.is_multiple_of(b), "{h} by {w} elements do not make blocks of {b} by {b}");
        let channels = c.checked_mul(b * b).ok_or_else(|| OpError::Invalid("the result is too large".into()))?;
        let (h, w) = (h / b, w / b);
        let (split, dims) = (shape(&[n, c, h, b, w, b]), shape(&[n, channels, h, w]));
        Ok(Shuffled { x: &self.x, split, perm: vec![0, 3, 5, 1, 2, 4], dims })
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[2, 3, 4, 6]).int(2).exact("blocks of two")]
    }
}

/// A dimension after batch and channels: its length, that of its blocks, and the borders around it.
struct Side {
    len: usize,
    block: usize,
    border: [usize; 2],
}

/// A tensor's batches and channels, and its other dimensions.
struct Batches {
    n: usize,
    c: usize,
    sides: Vec<Side>,
}

impl Batches {
    fn new(x: &Operand, blocks: &[i64], borders: &[i64]) -> Result<Batches, OpError> {
        let (blocks, borders) = (sizes(blocks, "block_shape")?, sizes(borders, "borders")?);
        let (m, (pairs, _)) = (blocks.len(), borders.as_chunks());
        let fits = m > 0 && x.rank() == m + 2 && borders.len() == 2 * m;
        ensure!(fits, "{} with {m} blocks and {} borders", x.fact, borders.len());
        ensure!(blocks.iter().all(|&b| (1..1 << 16).contains(&b)), "expected positive blocks, found {blocks:?}");
        let sides = x.shape().iter().skip(2).zip(&blocks).zip(pairs);
        let sides = sides.map(|((&len, &block), &border)| Side { len, block, border }).collect();
        Ok(Batches { n: dim(x.shape(), 0)?, c: dim(x.shape(), 1)?, sides })
    }

    fn blocks(&self) -> Vec<usize> {
        self.sides.iter().map(|side| side.block).collect()
    }

    fn total(&self) -> Result<usize, OpError> {
        let blocks = self.blocks();
        checked_count(&blocks).ok_or_else(|| OpError::Invalid(format!("blocks {blocks:?} are too large")))
    }

    /// The coordinate within the block that a batch of the blocked tensor holds, and the batch of the other.
    fn place(&self, batch: usize) -> (Vec<usize>, usize) {
        let mut rest = batch / self.n.max(1);
        let mut place = vec![0; self.sides.len()];
        for (p, side) in place.iter_mut().zip(&self.sides).rev() {
            *p = rest % side.block;
            rest /= side.block;
        }
        (place, batch % self.n.max(1))
    }
}

op! {
    /// Channel `i · C / group + j` becomes channel `j · group + i`, of `C` channels. Any type, `[n, c, …]`.
    classic ChannelShuffle { x: Operand, group: i64 }
}

impl Operator for ChannelShuffle {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, g) = (&self.x, size(self.group, "group")?);
        ensure!(x.rank() >= 3, "expected [n, c, …], found {}", x.fact);
        let [n, c, inner] = around(x.shape(), 1)?;
        ensure!(g > 0 && c.is_multiple_of(g), "{c} channels do not make {g} groups");
        let split = shape(&[n, g, c / g, inner]);
        Ok(Shuffled { x, split, perm: vec![0, 2, 1, 3], dims: x.fact.shape.clone() })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 6, 3, 2]).int(2).exact("images"),
            sample().tensor(DType::I32, &[1, 6, 5]).int(3).exact("sequences"),
        ]
    }
}

op! {
    /// Pads the dimensions after batch and channels with zeros, then moves each place within their blocks to a batch of its
    /// own: `y[(place)·n + k, c, …] = padded[k, c, … · block + place]`. Any type.
    classic SpaceToBatchND { input_x ["x"]: Operand, block_shape ["block_size"]: Ints, paddings: Ints as Pairs }
}

impl SpaceToBatchND {
    fn batches(&self) -> Result<(Batches, Shape), OpError> {
        let x = &self.input_x;
        let batches = Batches::new(x, &self.block_shape, &self.paddings)?;
        let n = batches.n.checked_mul(batches.total()?);
        let mut dims = Shape::from_slice(&[n.unwrap_or(usize::MAX), batches.c]);
        for (d, &Side { len, block, border: [before, after] }) in batches.sides.iter().enumerate() {
            let padded = len + before + after;
            ensure!(
                padded.is_multiple_of(block),
                "{padded} padded elements of dimension {} do not make blocks of {block}",
                d + 2
            );
            dims.push(padded / block);
        }
        ensure!(checked_count(&dims).is_some(), "the result {:?} is too large", dims.as_slice());
        Ok((batches, dims))
    }
}

impl Rule for SpaceToBatchND {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.input_x.dtype(), shape: self.batches()?.1 }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (batches, dims) = self.batches()?;
        let x = self.input_x.shape();
        let y = rearrange(self.input_x.tensor()?, &dims, |i| {
            let [batch, channel, rest @ ..] = i else { return None };
            let (place, batch) = batches.place(*batch);
            let at = |((i, place), side): ((&usize, usize), &Side)| {
                let p = i * side.block + place;
                p.checked_sub(side.border[0]).filter(|&p| p < side.len)
            };
            let rest: Option<Vec<usize>> = rest.iter().zip(place).zip(&batches.sides).map(at).collect();
            Some(flat(x, &[&[batch, *channel], rest?.as_slice()].concat()))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (batches, dims) = self.batches()?;
        if checked_count(&dims) == Some(0) || self.input_x.count() == 0 {
            return Ok(None);
        }
        let x = &self.input_x;
        let mut pads = vec![[0, 0]; 2];
        pads.extend(batches.sides.iter().map(|side| side.border.map(|p| p as i64)));
        let padded = Padded { x, border: Border::Constant, pads, fill: vec![0; x.dtype().size()] }.value(b)?;
        let m = batches.sides.len();
        let mut split = vec![batches.n, batches.c];
        split.extend(dims.iter().skip(2).zip(batches.blocks()).flat_map(|(&len, block)| [len, block]));
        let y = b.reshape(padded, &split)?;
        let perm: Vec<usize> = (0..m).map(|d| 3 + 2 * d).chain([0, 1]).chain((0..m).map(|d| 2 + 2 * d)).collect();
        let y = b.transpose(y, &perm)?;
        Ok(Some(vec![b.reshape(y, &dims)?]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3, 3, 4]).ints(&[2, 2]).ints(&[0, 1, 2, 0]).exact("padding"),
            sample().tensor(DType::I32, &[1, 2, 4, 6]).ints(&[2, 3]).ints(&[0, 0, 0, 0]).exact("uneven blocks"),
        ]
    }
}

op! {
    /// The reverse of `SpaceToBatchND`: spreads batches over the places within blocks of the dimensions after batch and
    /// channels, then removes `crops` elements before and after each. Any type.
    classic BatchToSpaceND { input_x ["x"]: Operand, block_shape ["block_size"]: Ints, crops: Ints as Pairs }
}

impl BatchToSpaceND {
    fn batches(&self) -> Result<(Batches, Shape), OpError> {
        let x = &self.input_x;
        let batches = Batches::new(x, &self.block_shape, &self.crops)?;
        let total = batches.total()?;
        let n = batches.n;
        ensure!(n.is_multiple_of(total), "{n} batches do not make blocks of {total}");
        let mut dims = Shape::from_slice(&[n / total, batches.c]);
        for &Side { len, block, border: [before, after] } in &batches.sides {
            let whole = len.saturating_mul(block);
            let kept = whole.checked_sub(before + after);
            dims.push(kept.ok_or_else(|| OpError::Invalid(format!("crops {before} and {after} of {whole} elements")))?);
        }
        ensure!(checked_count(&dims).is_some(), "the result {:?} is too large", dims.as_slice());
        Ok((batches, dims))
    }
}

impl Rule for BatchToSpaceND {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.input_x.dtype(), shape: self.batches()?.1 }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (batches, dims) = self.batches()?;
        let n = dim(&dims, 0)?;
        let y = rearrange(self.input_x.tensor()?, &dims, |i| {
            let [batch, channel, rest @ ..] = i else { return None };
            let (mut place, mut from) = (0, vec![0, *channel]);
            for (i, side) in rest.iter().zip(&batches.sides) {
                let at = i + side.border[0];
                place = place * side.block + at % side.block;
                from.push(at / side.block);
            }
            Some(flat(self.input_x.shape(), &replaced(&from, 0, place * n + batch)))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (batches, dims) = self.batches()?;
        if checked_count(&dims) == Some(0) {
            return Ok(None);
        }
        let (m, mut split) = (batches.sides.len(), batches.blocks());
        split.extend(dims.iter().take(2).copied().chain(batches.sides.iter().map(|side| side.len)));
        let y = b.reshape(self.input_x.v, &split)?;
        let perm: Vec<usize> = [m, m + 1].into_iter().chain((0..m).flat_map(|d| [m + 2 + d, d])).collect();
        let y = b.transpose(y, &perm)?;
        let sides = batches.sides.iter().map(|side| side.len * side.block);
        let whole: Vec<usize> = dims.iter().take(2).copied().chain(sides).collect();
        let y = b.reshape(y, &whole)?;
        let begin: Vec<usize> = [0, 0].into_iter().chain(batches.sides.iter().map(|side| side.border[0])).collect();
        Ok(Some(vec![b.slice(y, &begin, &dims, &vec![1; m + 2])?]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[8, 3, 2, 3]).ints(&[2, 2]).ints(&[0, 1, 2, 0]).exact("crops"),
            sample().tensor(DType::I32, &[6, 1, 2, 2]).ints(&[2, 3]).ints(&[0, 0, 0, 0]).exact("uneven blocks"),
        ]
    }
}
