//! Copies by strides.

use mindir_graph::DType::{self, Bool, F16, F32, F64, I8, I64, U16};
use mindir_graph::random::SplitMix;
use mindir_graph::task::{Copy, Part, Task};
use mindir_graph::{Fact, Strides, Tensor, dense_strides, shape};

use super::{Case, Noise, TYPES, check, check_narrow, tensor};

fn copy_of(
    name: &str,
    dtype: DType,
    dims: &[usize],
    parts: Vec<Part>,
    ins: Vec<Tensor>,
    fill: Option<Vec<u8>>,
) -> Case {
    let task = Task::Copy(Copy { dtype, fill, parts });
    Case::new(format!("{name} of {dtype}"), task, ins, vec![Fact::new(dtype, dims)])
}

fn part(input: usize, dims: &[usize], src: (usize, &[isize]), dst: (usize, &[isize])) -> Part {
    let strides = Strides::from_slice;
    Part { input, shape: shape(dims), src_offset: src.0, src: strides(src.1), dst_offset: dst.0, dst: strides(dst.1) }
}

/// The dimensions of `x` in reverse order.
fn reversed(noise: &mut Noise, dtype: DType, dims: &[usize], name: &str) -> Case {
    let order: Vec<usize> = dims.iter().rev().copied().collect();
    let mut strides = dense_strides(dims);
    strides.reverse();
    let parts = vec![part(0, &order, (0, &strides), (0, &dense_strides(&order)))];
    let x = noise.any(dtype, dims, -2.0, 2.0);
    copy_of(name, dtype, &order, parts, vec![x], None)
}

fn copies_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(6));
    let mut cases = Vec::new();
    for dtype in [F32, Bool, I8, U16, I64, F16, F64].into_iter().filter(|d| TYPES.contains(d)) {
        cases.push(reversed(&mut noise, dtype, &[3, 4, 5], "transpose"));
        let x = noise.tensor(dtype, &[3, 4, 5], -90.0, 90.0);
        let back = part(0, &[60], (59, &[-1]), (0, &[1]));
        cases.push(copy_of("reverse", dtype, &[60], vec![back], vec![x.clone()], None));
        let pad = part(0, &[12, 5], (0, &[5, 1]), (8, &[7, 1]));
        let element = tensor(dtype, &[1], &[1.0]).bytes().to_vec();
        cases.push(copy_of("pad", dtype, &[14, 7], vec![pad], vec![x.clone()], Some(element.clone())));
        let other = noise.tensor(dtype, &[3, 2, 5], -90.0, 90.0);
        let parts =
            vec![part(0, &[3, 20], (0, &[20, 1]), (0, &[30, 1])), part(1, &[3, 10], (0, &[10, 1]), (20, &[30, 1]))];
        cases.push(copy_of("concatenate", dtype, &[3, 6, 5], parts, vec![x.clone(), other], None));
        let tile = part(0, &[2, 60], (0, &[0, 1]), (0, &[60, 1]));
        cases.push(copy_of("repeat", dtype, &[2, 60], vec![tile], vec![x], None));
        cases.push(copy_of("only fill", dtype, &[701], Vec::new(), Vec::new(), Some(element)));
    }
    cases.push(reversed(&mut noise, F32, &[2, 3, 2, 3, 2, 3, 2], "seven dimensions"));
    cases.push(reversed(&mut noise, I64, &[2, 2, 2, 2, 5, 2, 2, 2, 3, 2, 2, 2], "twelve dimensions"));
    let empty = noise.tensor(F32, &[0], -2.0, 2.0);
    cases.push(copy_of("nothing", F32, &[0, 3], Vec::new(), vec![empty], Some(vec![0; 4])));
    cases
}

#[test]
fn copies() {
    check(&copies_cases());
    check_narrow(&copies_cases(), 3);
}
