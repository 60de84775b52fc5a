//! Kernels against the plain form.

use std::sync::Arc;

use mindir_graph::task::Task;
use mindir_graph::{DType, Fact, Tensor};

use super::{Block, CpuDevice, Isa, Threads};
use crate::device::{Device, Place, Stage, Step, TaskView, Weights};
use crate::plain;

/// A task with operands.
pub struct Case {
    /// What to compute.
    pub task: Task,
    /// Operands.
    pub ins: Vec<Tensor>,
    /// Which of them are known before the run.
    pub known: Vec<usize>,
    /// Facts of the results.
    pub outs: Vec<Fact>,
}

/// Numbers between −1 and 1 that look random.
pub fn noise(dtype: DType, dims: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f64> = (0..dims.iter().product::<usize>())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 23) - 1.0
        })
        .collect();
    let scale = if dtype.is_float() { 1.0 } else { 5.0 };
    Tensor::from_f64s(dtype, dims, &values.iter().map(|v| v * scale).collect::<Vec<_>>()).unwrap()
}

impl Case {
    /// Results and kernel name on a device.
    pub fn run(&self, device: &CpuDevice) -> Result<(Vec<Tensor>, String), String> {
        let mut inputs = Vec::new();
        let mut ins = Vec::new();
        for (i, t) in self.ins.iter().enumerate() {
            if self.known.contains(&i) {
                ins.push(Place::Const(t.clone()));
            } else {
                ins.push(Place::Input(inputs.len()));
                let mut block = Block::zeroed(t.bytes().len()).unwrap();
                block.copy_from_slice(t.bytes());
                inputs.push((block, t.fact()));
            }
        }
        let in_facts: Vec<Fact> = self.ins.iter().map(Tensor::fact).collect();
        let known: Vec<bool> = (0..self.ins.len()).map(|i| self.known.contains(&i)).collect();
        let view = TaskView { task: &self.task, ins: &in_facts, known: &known, outs: &self.outs };
        let offer = device.offer(view).map_err(|e| e.to_string())?;
        let step = Step {
            task: self.task.clone(),
            ins,
            in_facts,
            outs: (0..self.outs.len()).map(Place::Output).collect(),
            out_facts: self.outs.clone(),
            path: "case".into(),
        };
        let stage = Stage {
            steps: vec![step],
            inputs: inputs.iter().map(|i| i.1.clone()).collect(),
            outputs: self.outs.clone(),
            ..Stage::default()
        };
        let program = stage.build(device, &Weights::default()).map_err(|e| e.to_string())?;
        if program.kernels() != [offer.kernel.as_str()] {
            return Err(format!("offered {} and built {:?}", offer.kernel, program.kernels()));
        }
        let mut session = Arc::clone(&program).session();
        let mut results: Vec<Block<u8>> = self.outs.iter().map(|f| Block::zeroed(f.bytes()).unwrap()).collect();
        let ins: Vec<&[u8]> = inputs.iter().map(|i| &i.0[..]).collect();
        for _ in 0..2 {
            results.iter_mut().for_each(|r| r.fill(0xff));
            let mut outs: Vec<&mut [u8]> = results.iter_mut().map(|r| &mut r[..]).collect();
            session.run(&ins, &mut outs).map_err(|e| e.to_string())?;
        }
        let tensors = results.iter().zip(&self.outs).map(|(r, f)| {
            mindir_graph::aligned_copy(r)
                .and_then(|bytes| Tensor::from_bytes(f.dtype, &f.shape, bytes))
                .map_err(|e| e.to_string())
        });
        Ok((tensors.collect::<Result<_, _>>()?, offer.kernel))
    }

    /// Compares every instruction set, on one and two threads, with the plain form. `bound` has one tolerance per element of
    /// the first result. Two threads must give the bits of one. Returns what is wrong, and the kernels that ran.
    pub fn check(&self, bound: &[f64]) -> (Vec<String>, Vec<String>) {
        let want = match plain::run(&self.task, &self.ins, &self.outs) {
            Ok(want) => want,
            Err(e) => return (vec![format!("plain: {e}")], Vec::new()),
        };
        let wanted = want[0].to_f64s().unwrap();
        let (mut bad, mut kernels) = (Vec::new(), Vec::new());
        for isa in Isa::all() {
            let mut first: Option<Vec<Tensor>> = None;
            for threads in [1, 2] {
                let (got, kernel) = match self.run(&CpuDevice::new(isa, Threads::new(threads))) {
                    Ok(found) => found,
                    Err(e) => {
                        bad.push(format!("{isa}: {e}"));
                        continue;
                    }
                };
                let got_f64 = got[0].to_f64s().unwrap();
                let off = |i: &usize| {
                    let (g, w) = (got_f64[*i], wanted[*i]);
                    let same = g == w || (g.is_nan() && w.is_nan());
                    !same && ((g - w).abs() > bound[*i] || g.is_nan() || w.is_nan())
                };
                let wrong: Vec<usize> = (0..wanted.len()).filter(off).collect();
                if let Some(&i) = wrong.first() {
                    let (g, w) = (got_f64[i], wanted[i]);
                    bad.push(format!("{kernel} × {threads}: {} wrong, [{i}] = {g}, expected {w}", wrong.len()));
                }
                match &first {
                    None => first = Some(got),
                    Some(one) if one != &got => bad.push(format!("{kernel}: other bits on {threads} threads")),
                    Some(_) => {}
                }
                kernels.push(kernel);
            }
        }
        (bad, kernels)
    }
}
