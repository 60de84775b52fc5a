//! Small models built in Rust.

use mindir::builder::Builder;
use mindir::graph::{Arg, Model, ValueId};
use mindir::{DType, Dim, OpError, Spec, Tensor};
use mindir_graph::random::SplitMix;

/// Numbers from −1 to 1 that look random.
pub fn numbers(dims: &[usize], seed: u64) -> Tensor {
    let mut random = SplitMix(seed);
    Tensor::from_vec(dims, (0..dims.iter().product()).map(|_| random.even()).collect::<Vec<f32>>())
        .expect("as many numbers as elements")
}

/// A tensor of `f32` with open dimensions.
pub fn open(dims: &[Option<usize>]) -> Spec {
    let dims = dims.iter().map(|d| Dim::from(*d)).collect();
    Spec { dtype: Some(DType::F32), dims: Some(dims) }
}

/// A convolution, batch normalisation and an activation, twice, for any number of images of any size.
///
/// # Errors
/// None: the operators exist.
pub fn convolutions(channels: usize) -> Result<Model, OpError> {
    let mut b = Builder::new("convolutions");
    let mut y = b.input("x", open(&[None, Some(3), None, None]));
    for (layer, c_in) in [3, channels].into_iter().enumerate() {
        y = convolution(&mut b, y, [channels, c_in], layer as u64)?;
    }
    Ok(b.finish(&[y]))
}

fn convolution(b: &mut Builder, x: ValueId, [c_out, c_in]: [usize; 2], layer: u64) -> Result<ValueId, OpError> {
    let w = b.param(&format!("w{layer}"), numbers(&[c_out, c_in, 3, 3], 10 + layer));
    let mut args = vec![Arg::from(b.op("Conv2DExt", [x.into(), w.into()])?)];
    for (i, name) in ["gamma", "beta", "mean", "variance"].into_iter().enumerate() {
        let values = numbers(&[c_out], 20 + 4 * layer + i as u64).to_f64s()?;
        let positive: Vec<f64> = values.iter().map(|v| v.abs() + 0.5).collect();
        args.push(b.param(&format!("{name}{layer}"), Tensor::from_f64s(DType::F32, &[c_out], &positive)?).into());
    }
    let y = b.op_n("BatchNormExt", args, 3)?[0];
    b.op("ReLU", [y.into()])
}
