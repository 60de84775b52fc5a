use bytemuck::Zeroable;
use mindir_graph::task::{Conv, EpilogueInput, Layout};
use mindir_shaders::conv::{Channels, Direct, DirectParams, PIXELS, Params, Tile};
use mindir_shaders::{Language, Word, epilogue};

use super::epilogue::epilogue;
use super::parts::{Share, parts};
use super::spread::spread;
use super::walk::Piece;
use super::{Bound, Declined, GpuKernel, Launch, Target, counted, declined, fold, operand, result, small};
use crate::device::TaskView;

/// Tiles that keep a large device busy.
const BUSY: usize = 128;

pub(super) fn kernel(task: &Conv, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    checked(task)?;
    let pixels = counted(&[task.n, task.out_h, task.out_w])?;
    let taps = [task.c_out, task.c_in / task.groups, task.kernel[0], task.kernel[1]];
    operand(view, 0, task.dtype, &[task.n, task.c_in, task.h, task.w])?;
    operand(view, 1, task.dtype, &taps)?;
    if task.scaled {
        operand(view, 2, task.out, &[task.c_out])?;
    }
    let dtype = task.epilogue.as_ref().and_then(|e| e.program.dtype()).unwrap_or(task.out);
    result(view, 0, dtype, &[pixels, task.c_out])?;
    let first = if task.scaled { 3 } else { 2 };
    let end = task.epilogue.as_ref().map(|e| epilogue(e, view, first, [pixels, task.c_out])).transpose()?;
    let of = Of { task, on, weights: on.constant(view, 1), first, end, channels_last: task.layout == Layout::Nhwc };
    let (name, pieces) = (of.name()?, if pixels == 0 || task.c_out == 0 { Vec::new() } else { of.pieces(view)? });
    let launches = pieces.into_iter().map(|piece| if of.by_tiles()? { of.tiles(piece) } else { of.direct(piece) });
    Ok(GpuKernel { name, launches: launches.collect::<Result<_, Declined>>()? })
}

/// Checks that coordinates stay far from the limits of 32 bits.
fn checked(task: &Conv) -> Result<(), Declined> {
    if task.groups == 0 || !task.c_in.is_multiple_of(task.groups) || !task.c_out.is_multiple_of(task.groups) {
        return declined(format!("{} groups of {} and {} channels", task.groups, task.c_in, task.c_out));
    }
    for (d, out) in [task.out_h, task.out_w].into_iter().enumerate() {
        let reach = |n: usize, step: usize| n.checked_mul(step);
        let last = reach(out, task.stride[d]).zip(reach(task.kernel[d], task.dilation[d]));
        let far = last.and_then(|(a, b)| a.checked_add(b)?.checked_add(task.pads[2 * d]));
        if far.is_none_or(|n| n >= 1 << 30) {
            return declined("windows reach beyond 30 bits");
        }
    }
    counted(&[task.c_in, task.h, task.w])?;
    counted(&[task.c_out, task.out_h, task.out_w])?;
    Ok(())
}

/// Elements between images, channels, rows and columns.
fn strides(layout: Layout, [c, h, w]: [usize; 3]) -> Result<[u32; 4], Declined> {
    let image = small(c * h * w)?;
    Ok(match layout {
        Layout::Nchw => [image, small(h * w)?, small(w)?, 1],
        Layout::Nhwc => [image, 1, small(w * c)?, small(c)?],
    })
}

fn pairs(task: &Conv) -> Result<[[u32; 2]; 4], Declined> {
    let pad = [task.pads[0], task.pads[2]];
    let pair = |[a, b]: [usize; 2]| Ok::<_, Declined>([small(a)?, small(b)?]);
    Ok([pair(task.kernel)?, pair(task.stride)?, pair(task.dilation)?, pair(pad)?])
}

struct Of<'a> {
    task: &'a Conv,
    on: &'a Target,
    weights: Bound,
    /// First operand of the epilogue.
    first: usize,
    end: Option<epilogue::Epilogue>,
    channels_last: bool,
}

impl Of<'_> {
    /// Whether a group has enough channels for tiles.
    fn by_tiles(&self) -> Result<bool, Declined> {
        let wide = self.on.language != Language::Cuda && Word::of(self.task.dtype)?.is_wide();
        Ok(self.group() >= 4 && !wide)
    }

    fn name(&self) -> Result<String, Declined> {
        let dtype = self.task.dtype;
        if !self.by_tiles()? {
            return Ok(format!("{dtype}-conv-direct"));
        }
        Ok(format!("{dtype}-conv-tile{}x{PIXELS}x16", self.channels(self.task.n)?.count()))
    }

    /// Output channels of a group.
    fn group(&self) -> usize {
        self.task.c_out / self.task.groups
    }

    /// Output pixels of an image.
    fn size(&self) -> usize {
        self.task.out_h * self.task.out_w
    }

    /// Parts of the images.
    fn pieces(&self, view: TaskView<'_>) -> Result<Vec<Piece>, Declined> {
        let &Conv { n, c_in, h, w, c_out, .. } = self.task;
        let mut tensors = vec![(Bound::In(0), Share::Each(c_in * h * w))];
        tensors.push((self.weights, Share::All));
        tensors.extend((2..self.first).map(|i| (Bound::In(i), Share::All)));
        for (i, (_, input)) in (self.first..).zip(self.end.iter().flat_map(|e| &e.operands)) {
            let share = match input {
                EpilogueInput::Scalar | EpilogueInput::Column => Share::All,
                EpilogueInput::Row => Share::Each(self.size()),
                EpilogueInput::Full => Share::Each(c_out * self.size()),
            };
            tensors.push((Bound::In(i), share));
        }
        tensors.push((Bound::Out(0), Share::Each(c_out * self.size())));
        parts(n, &tensors, view, self.on)
    }

    /// Number of tiles for `n` images.
    fn count(&self, channels: Channels, n: usize) -> Result<usize, Declined> {
        let pixels = counted(&[n, self.size()])?;
        counted(&[self.group().div_ceil(channels.count()), pixels.div_ceil(PIXELS), self.task.groups])
    }

    /// Channels of a tile for `n` images: as many as leave enough tiles, of which at most a third is empty.
    fn channels(&self, n: usize) -> Result<Channels, Declined> {
        for channels in Channels::ALL.into_iter().rev() {
            let rows = self.group().next_multiple_of(channels.count());
            if rows - self.group() <= self.group() / 2 && self.count(channels, n)? >= BUSY {
                return Ok(channels);
            }
        }
        Ok(Channels::Eight)
    }

    fn tiles(&self, piece: Piece) -> Result<Launch, Declined> {
        let task = self.task;
        let channels = self.channels(task.n)?;
        let [kernel, stride, dilation, pad] = pairs(task)?;
        let [x_image, x_channel, x_row, x_col] = strides(task.layout, [task.c_in, task.h, task.w])?;
        let [y_image, y_channel, _, y_pixel] = strides(task.layout, [task.c_out, task.out_h, task.out_w])?;
        let mut params = Params {
            pixels: small(counted(&[piece.dims[0], self.size()])?)?,
            size: small(self.size())?,
            group: small(self.group())?,
            depth: small(task.c_in / task.groups)?,
            taps: small(counted(&task.kernel)?)?,
            groups: small(task.groups)?,
            h: small(task.h)?,
            w: small(task.w)?,
            out_w: small(task.out_w)?,
            kernel: kernel[1],
            stride,
            dilation,
            pad,
            x_image,
            x_channel,
            x_row,
            x_col,
            y_image,
            y_channel,
            y_pixel,
            ..Params::zeroed()
        };
        self.firsts(&piece, &mut params.x_first, &mut params.y_first, &mut params.firsts);
        let &Of { channels_last, .. } = self;
        let packed = matches!(self.weights, Bound::Packed(_));
        let (scaled, epilogue) = (task.scaled, self.end.clone());
        let tiles = self.count(channels, piece.dims[0])?;
        small(tiles)?;
        let shader = Tile { dtype: task.dtype, out: task.out, channels, packed, channels_last, scaled, epilogue };
        self.on.launch(&shader, &params, piece.views, fold(tiles, self.on))
    }

    fn direct(&self, piece: Piece) -> Result<Launch, Declined> {
        let (task, size, n) = (self.task, self.size(), piece.dims[0]);
        let (planes, pixels) = (counted(&[n, task.c_out])?, counted(&[n, size])?);
        let (rows, cols) = if self.channels_last { (pixels, task.c_out) } else { (planes, size) };
        let [kernel, stride, dilation, pad] = pairs(task)?;
        let [x_image, x_channel, x_row, x_col] = strides(task.layout, [task.c_in, task.h, task.w])?;
        let mut params = DirectParams {
            rows: small(rows)?,
            cols: small(cols)?,
            channels: small(task.c_out)?,
            group: small(self.group())?,
            depth: small(task.c_in / task.groups)?,
            h: small(task.h)?,
            w: small(task.w)?,
            out_h: small(task.out_h)?,
            out_w: small(task.out_w)?,
            kernel,
            stride,
            dilation,
            pad,
            x_image,
            x_channel,
            x_row,
            x_col,
            ..DirectParams::zeroed()
        };
        self.firsts(&piece, &mut params.x_first, &mut params.y_first, &mut params.firsts);
        let (width, grid) = spread(rows, cols, self.on);
        let &Of { channels_last, .. } = self;
        let packed = matches!(self.weights, Bound::Packed(_));
        let (scaled, epilogue) = (task.scaled, self.end.clone());
        let shader = Direct { dtype: task.dtype, out: task.out, width, packed, channels_last, scaled, epilogue };
        self.on.launch(&shader, &params, piece.views, grid)
    }

    /// The first elements of the input, the output and the operands of the epilogue.
    fn firsts(&self, piece: &Piece, x: &mut u32, y: &mut u32, operands: &mut [u32]) {
        let [first, .., last] = piece.firsts.as_slice() else { return };
        (*x, *y) = (*first, *last);
        operands.iter_mut().zip(&piece.firsts[self.first..piece.firsts.len() - 1]).for_each(|(to, &from)| *to = from);
    }
}
