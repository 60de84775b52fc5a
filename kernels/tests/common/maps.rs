//! Maps over operands that are broadcast.

use mindir_graph::DType::{self, BF16, Bool, F16, F32, I64};
use mindir_graph::random::SplitMix;
use mindir_graph::task::{Binary, Map, Program, Task};
use mindir_graph::{Fact, Tensor, shape};

use super::{Case, Noise, check, check_narrow};

/// The map of a program to `dims`.
pub fn map_of(dims: &[usize], program: Program, ins: Vec<Tensor>, name: &str) -> Case {
    let out = Fact::new(program.dtype().expect("a program"), dims);
    Case::new(name, Task::Map(Map { shape: shape(dims), program }), ins, vec![out])
}

fn broadcast_maps_cases() -> Vec<Case> {
    let mut noise = Noise(SplitMix(5));
    let mut cases = Vec::new();
    let shapes: [(&[usize], &[usize], &[usize]); 8] = [
        (&[3, 5, 7], &[3, 5, 7], &[7]),
        (&[3, 5, 7], &[5, 1], &[3, 1, 7]),
        (&[2, 3, 1, 5], &[1, 1, 4, 1], &[]),
        (&[], &[], &[]),
        (&[1], &[13], &[1, 1]),
        (&[2, 1, 3, 1, 2, 1, 3], &[1, 2, 1, 3, 1, 2, 1], &[3]),
        (&[0, 4], &[4], &[1, 1]),
        (&[300, 257], &[300, 1], &[257]),
    ];
    for dtype in [F32, F16] {
        for (a, b, c) in shapes {
            let mut p = Program::new();
            let (x, y, z) = (p.input(0, dtype), p.input(1, dtype), p.input(2, Bool));
            let (sum, product) = (p.binary(Binary::Add, x, y), p.binary(Binary::Mul, x, y));
            p.select(z, sum, product);
            let dims = mindir_graph::broadcast(a, b).and_then(|s| mindir_graph::broadcast(&s, c)).expect("one shape");
            let mut noisy = |dtype, dims: &[usize]| noise.tensor(dtype, dims, -2.0, 2.0);
            let ins = vec![noisy(dtype, a), noisy(dtype, b), noisy(Bool, c)];
            cases.push(map_of(&dims, p, ins, &format!("{a:?} {b:?} {c:?} of {dtype}")));
        }
    }
    let mut p = Program::new();
    let (x, y) = (p.input(0, I64), p.input(1, BF16));
    let x = p.cast(x, BF16);
    p.binary(Binary::Mul, x, y);
    let (a, b) = ([2, 1, 3, 1, 2, 1, 2, 1, 2, 1, 3, 1], [1, 3, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2]);
    let dims: Vec<usize> = a.iter().zip(b).map(|(x, y)| x * y).collect();
    let ins = vec![noise.tensor(I64, &a, -9.0, 9.0), noise.tensor(BF16, &b, -9.0, 9.0)];
    cases.push(map_of(&dims, p, ins, "twelve dimensions"));
    let mut p = Program::new();
    p.constant(2.5, F32);
    cases.push(map_of(&[17], p, Vec::new(), "constant"));
    cases
}

#[test]
fn broadcast_maps() {
    check(&broadcast_maps_cases());
    check_narrow(&broadcast_maps_cases(), 3);
}

#[test]
fn every_half_is_read_and_written() {
    let of = |dtype: DType, infinity: u16, least: u16| {
        let quiet = (0..=u16::MAX).map(|bits| (bits & 0x7fff, bits));
        let quiet = quiet.filter(|&(size, _)| size <= infinity && (size == 0 || size >= least)).map(|(_, bits)| bits);
        let bytes: Vec<u8> = quiet.flat_map(u16::to_le_bytes).collect();
        let count = bytes.len() / 2;
        let x = Tensor::from_bytes(dtype, &[count], bytes.into()).expect("a tensor");
        let mut p = Program::new();
        let r = p.input(0, dtype);
        let wide = p.cast(r, F32);
        p.cast(wide, dtype);
        map_of(&[count], p, vec![x], &format!("{dtype}"))
    };
    // Subnormal bf16 are subnormal f32, which some devices take for 0.
    check(&[of(F16, 0x7c00, 1), of(BF16, 0x7f80, if crate::SUBNORMAL { 1 } else { 0x80 })]);
}
