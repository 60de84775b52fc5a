use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Conv, Layout, Scalar};
use mindir_graph::{Fact, OpError, Tensor, checked_count, ensure};

use super::finish::Finish;
use super::number::{Number, from_scalars, with_number};
use super::{moderate, operand, result};

pub(super) fn run(c: &Conv, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    ensure!(
        c.groups > 0 && c.c_in.is_multiple_of(c.groups) && c.c_out.is_multiple_of(c.groups),
        "conv: {} groups",
        c.groups
    );
    moderate("conv", &[c.n, c.c_in, c.h, c.w, c.c_out, c.out_h, c.out_w])?;
    moderate("conv", &[c.kernel, c.stride, c.dilation].concat())?;
    moderate("conv", &c.pads)?;
    let dtype = c.epilogue.as_ref().and_then(|e| e.program.dtype()).unwrap_or(c.out);
    let out = result("conv", outs, 0, dtype, &[c.n, c.c_out, c.out_h, c.out_w])?;
    let first = if c.scaled { 3 } else { 2 };
    let pixels = checked_count(&[c.n, c.out_h, c.out_w]).unwrap_or(0);
    let finish = Finish::new(c.epilogue.as_ref(), ins.get(first..).unwrap_or(&[]), out, pixels, c.c_out)?;
    let data = with_number!(c.dtype, N => outputs::<N>(c, ins, &finish))?;
    Ok(vec![from_scalars(out, &data)?])
}

/// Position of `(image, channel, row, column)`.
pub(super) fn position(layout: Layout, [_, c, h, w]: [usize; 4], [n, i, y, x]: [usize; 4]) -> usize {
    match layout {
        Layout::Nchw => ((n * c + i) * h + y) * w + x,
        Layout::Nhwc => ((n * h + y) * w + x) * c + i,
    }
}

/// Input coordinate of a kernel tap, if it is inside.
pub(super) fn tap(out: usize, stride: usize, tap: usize, dilation: usize, pad: usize, size: usize) -> Option<usize> {
    let p = (out * stride + tap * dilation).checked_sub(pad)?;
    (p < size).then_some(p)
}

fn outputs<N: Number>(c: &Conv, ins: &[Tensor], finish: &Finish<'_>) -> Result<Vec<Scalar>, OpError> {
    let taps = [c.c_out, c.c_in / c.groups, c.kernel[0], c.kernel[1]];
    let x = N::read(operand("conv", ins, 0, c.dtype, &[c.n, c.c_in, c.h, c.w])?)?;
    let w = N::read(operand("conv", ins, 1, c.dtype, &taps)?)?;
    let scale = if c.scaled { Some(N::read(operand("conv", ins, 2, c.out, &[c.c_out])?)?) } else { None };
    let dims = [c.n, c.c_out, c.out_h, c.out_w];
    let (mut y, mut pulse) = (vec![N::ZERO.scalar(); dims.iter().product()], Pulse::default());
    let work = taps[1..].iter().product();
    for n in 0..c.n {
        for o in 0..c.c_out {
            for oy in 0..c.out_h {
                for ox in 0..c.out_w {
                    pulse.turns(work)?;
                    let sum = output(c, &x, &w, [n, o, oy, ox]);
                    let sum = scale.as_ref().map_or(sum, |s| sum.mul(s[o]));
                    let place = position(c.layout, dims, [n, o, oy, ox]);
                    y[place] = finish.apply(sum.scalar(), (n * c.out_h + oy) * c.out_w + ox, o, place);
                }
            }
        }
    }
    Ok(y)
}

fn output<N: Number>(c: &Conv, x: &[N], w: &[N], [n, o, oy, ox]: [usize; 4]) -> N {
    let per_group = c.c_in / c.groups;
    let first = o / (c.c_out / c.groups) * per_group;
    let [kh, kw] = c.kernel;
    let mut sum = N::ZERO;
    for i in 0..per_group {
        for ky in 0..kh {
            let iy = tap(oy, c.stride[0], ky, c.dilation[0], c.pads[0], c.h);
            for kx in 0..kw {
                let ix = tap(ox, c.stride[1], kx, c.dilation[1], c.pads[2], c.w);
                let place = |(iy, ix)| position(c.layout, [c.n, c.c_in, c.h, c.w], [n, first + i, iy, ix]);
                let element = iy.zip(ix).map_or(N::ZERO, |at| x[place(at)]);
                sum = sum.add(element.mul(w[((o * per_group + i) * kh + ky) * kw + kx]));
            }
        }
    }
    sum
}
