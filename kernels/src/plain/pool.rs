use mindir_graph::bounds::Pulse;
use mindir_graph::task::{Pool, PoolKind};
use mindir_graph::{Fact, OpError, Tensor};

use super::conv::{position, tap};
use super::number::{Number, with_number};
use super::{moderate, operand, result};

pub(super) fn run(p: &Pool, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    moderate("pool", &[p.n, p.c, p.h, p.w, p.out_h, p.out_w])?;
    moderate("pool", &[p.kernel, p.stride, p.dilation].concat())?;
    moderate("pool", &p.pads)?;
    let x = operand("pool", ins, 0, p.dtype, &[p.n, p.c, p.h, p.w])?;
    let out = result("pool", outs, 0, p.dtype, &[p.n, p.c, p.out_h, p.out_w])?;
    with_number!(p.dtype, N => Ok(vec![N::write(out, &windows(p, &N::read(x)?)?)?]))
}

fn windows<N: Number>(p: &Pool, x: &[N]) -> Result<Vec<N>, OpError> {
    let dims = [p.n, p.c, p.out_h, p.out_w];
    let (mut y, mut pulse) = (vec![N::ZERO; dims.iter().product()], Pulse::default());
    for n in 0..p.n {
        for c in 0..p.c {
            for oy in 0..p.out_h {
                for ox in 0..p.out_w {
                    pulse.turns(p.kernel[0] * p.kernel[1])?;
                    y[position(p.layout, dims, [n, c, oy, ox])] = window(p, x, [n, c, oy, ox]);
                }
            }
        }
    }
    Ok(y)
}

/// One window. Without elements, the maximum is the lowest number and the mean 0.
fn window<N: Number>(p: &Pool, x: &[N], [n, c, oy, ox]: [usize; 4]) -> N {
    let (mut largest, mut sum) = (N::LOWEST, N::ZERO);
    let (mut inside, mut padded) = (0, 0);
    for ky in 0..p.kernel[0] {
        for kx in 0..p.kernel[1] {
            let row_padded = oy * p.stride[0] + ky * p.dilation[0] < p.h + p.pads[0] + p.pads[1];
            let col_padded = ox * p.stride[1] + kx * p.dilation[1] < p.w + p.pads[2] + p.pads[3];
            padded += usize::from(row_padded && col_padded);
            let iy = tap(oy, p.stride[0], ky, p.dilation[0], p.pads[0], p.h);
            let ix = tap(ox, p.stride[1], kx, p.dilation[1], p.pads[2], p.w);
            let (Some(iy), Some(ix)) = (iy, ix) else { continue };
            let element = x[position(p.layout, [p.n, p.c, p.h, p.w], [n, c, iy, ix])];
            largest = if inside == 0 || element.above(largest) { element } else { largest };
            sum = sum.add(element);
            inside += 1;
        }
    }
    match p.kind {
        PoolKind::Max => largest,
        _ if inside == 0 => N::ZERO,
        PoolKind::Avg { count_pads: true } => sum.over(padded),
        PoolKind::Avg { count_pads: false } => sum.over(inside),
    }
}
