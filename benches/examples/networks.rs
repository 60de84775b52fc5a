//! Writes ResNet-50 and BERT-base with weights made from a seed, for any number of examples, as `benches/device/run.py` times
//! them. Parameters have the names that the twins in PyTorch give them; `NAME.npz` holds them.
//!
//! `networks FOLDER`

use std::path::Path;

use mindir::builder::Builder;
use mindir::graph::{Arg, Model, ValueId};
use mindir::op::Const;
use mindir::{DType, Dim, ExportOptions, OpError, Spec, Tensor, npy};
use mindir_tests::models::numbers;

/// A network while it grows.
struct Net {
    builder: Builder,
    params: Vec<(String, Tensor)>,
}

impl Net {
    fn new(name: &str) -> Net {
        Net { builder: Builder::new(name), params: Vec::new() }
    }

    /// An input for any number of examples.
    fn input(&mut self, name: &str, dtype: DType, example: &[usize]) -> ValueId {
        let dims = [None].into_iter().chain(example.iter().copied().map(Some)).map(Dim::from);
        self.builder.input(name, Spec { dtype: Some(dtype), dims: Some(dims.collect()) })
    }

    /// A parameter with numbers around `centre`, at most `spread` away.
    fn param(&mut self, name: String, dims: &[usize], centre: f64, spread: f64) -> Result<Arg, OpError> {
        let values: Vec<f64> = numbers(dims, self.params.len() as u64).to_f64s()?;
        let values: Vec<f64> = values.iter().map(|v| centre + spread * v).collect();
        let tensor = Tensor::from_f64s(DType::F32, dims, &values)?;
        self.params.push((name.clone(), tensor.clone()));
        Ok(self.builder.param(&name, tensor).into())
    }

    /// Weights for sums of `k` products that keep the scale.
    fn weight(&mut self, name: String, dims: &[usize], k: usize) -> Result<Arg, OpError> {
        self.param(name, dims, 0.0, (3.0 / k as f64).sqrt())
    }

    fn op(&mut self, name: &str, args: impl IntoIterator<Item = Arg>) -> Result<ValueId, OpError> {
        self.builder.op(name, args)
    }

    /// Convolution without bias and batch normalisation, whose result is `scale` times as large as its input.
    fn conv(
        &mut self,
        x: ValueId,
        names: [&str; 2],
        dims: [usize; 4],
        stride: i64,
        scale: f64,
    ) -> Result<ValueId, OpError> {
        let [c_out, c_in, kernel, _] = dims;
        let pad = (kernel / 2) as i64;
        let w = self.weight(format!("{}.weight", names[0]), &dims, c_in * kernel * kernel)?;
        let y = self
            .op("Conv2DExt", [x.into(), w, Arg::Const(Const::None), pair(stride), pair(pad), pair(1), 1i64.into()])?;
        let mut args = vec![Arg::from(y)];
        for (what, centre, spread) in
            [("weight", scale, 0.1 * scale), ("bias", 0.0, 0.1), ("running_mean", 0.0, 0.1), ("running_var", 1.0, 0.1)]
        {
            args.push(self.param(format!("{}.{what}", names[1]), &[c_out], centre, spread)?);
        }
        args.extend([false.into(), 0.1f32.into(), 1e-5f32.into()]);
        Ok(self.builder.op_n("BatchNormExt", args, 3)?[0])
    }

    fn relu(&mut self, x: ValueId) -> Result<ValueId, OpError> {
        self.op("ReLU", [x.into()])
    }

    /// Three convolutions beside a shortcut.
    fn bottleneck(
        &mut self,
        x: ValueId,
        name: &str,
        [from, through]: [usize; 2],
        stride: i64,
    ) -> Result<ValueId, OpError> {
        let part = |part: &str| format!("{name}.{part}");
        let conv = |i: usize| [part(&format!("conv{i}")), part(&format!("bn{i}"))];
        let to = 4 * through;
        let mut y = x;
        let shapes = [([through, from, 1, 1], 1), ([through, through, 3, 3], stride), ([to, through, 1, 1], 1)];
        for (i, (dims, stride)) in shapes.into_iter().enumerate() {
            let [c, n] = conv(i + 1);
            y = self.conv(y, [&c, &n], dims, stride, if i == 2 { 0.3 } else { 1.0 })?;
            if i < 2 {
                y = self.relu(y)?;
            }
        }
        let [c, n] = [part("downsample.0"), part("downsample.1")];
        let short = if from == to { x } else { self.conv(x, [&c, &n], [to, from, 1, 1], stride, 1.0)? };
        let y = self.op("Add", [y.into(), short.into()])?;
        self.relu(y)
    }

    fn dense(&mut self, x: ValueId, name: &str, [to, from]: [usize; 2]) -> Result<ValueId, OpError> {
        let w = self.weight(format!("{name}.weight"), &[to, from], from)?;
        let bias = self.param(format!("{name}.bias"), &[to], 0.0, 0.1)?;
        self.op("Dense", [x.into(), w, bias])
    }

    fn layer_norm(&mut self, x: ValueId, name: &str, width: usize) -> Result<ValueId, OpError> {
        let gamma = self.param(format!("{name}.weight"), &[width], 1.0, 0.1)?;
        let beta = self.param(format!("{name}.bias"), &[width], 0.0, 0.1)?;
        Ok(self.builder.op_n("LayerNormExt", [x.into(), list(&[width as i64]), gamma, beta, 1e-5f32.into()], 3)?[0])
    }

    /// Attention and two layers, each with a shortcut and normalised afterwards.
    fn encoder(&mut self, x: ValueId, name: &str, tokens: usize) -> Result<ValueId, OpError> {
        let heads = |net: &mut Net, part: &str| {
            let y = net.dense(x, &format!("{name}.{part}"), [768, 768])?;
            let y = net.op("Reshape", [y.into(), list(&[-1, tokens as i64, 12, 64])])?;
            net.op("Transpose", [y.into(), list(&[0, 2, 1, 3])])
        };
        let (q, k, v) = (heads(self, "q")?, heads(self, "k")?, heads(self, "v")?);
        let scores = self.op("BatchMatMul", [q.into(), k.into(), false.into(), true.into()])?;
        let scores = self.op("Muls", [scores.into(), 0.125f32.into()])?;
        let weights = self.op("Softmax", [scores.into(), (-1i64).into()])?;
        let y = self.op("BatchMatMul", [weights.into(), v.into(), false.into(), false.into()])?;
        let y = self.op("Transpose", [y.into(), list(&[0, 2, 1, 3])])?;
        let y = self.op("Reshape", [y.into(), list(&[-1, tokens as i64, 768])])?;
        let y = self.dense(y, &format!("{name}.o"), [768, 768])?;
        let y = self.op("Add", [y.into(), x.into()])?;
        let x = self.layer_norm(y, &format!("{name}.norm1"), 768)?;
        let y = self.dense(x, &format!("{name}.up"), [3072, 768])?;
        let y = self.op("GeluExt", [y.into(), 0i64.into()])?;
        let y = self.dense(y, &format!("{name}.down"), [768, 3072])?;
        let y = self.op("Add", [y.into(), x.into()])?;
        self.layer_norm(y, &format!("{name}.norm2"), 768)
    }

    fn finish(self, output: ValueId) -> (Model, Vec<(String, Tensor)>) {
        (self.builder.finish(&[output]), self.params)
    }
}

fn list(values: &[i64]) -> Arg {
    Arg::from(values)
}

fn pair(value: i64) -> Arg {
    list(&[value, value])
}

fn resnet50() -> Result<(Model, Vec<(String, Tensor)>), OpError> {
    let mut net = Net::new("resnet50");
    let x = net.input("x", DType::F32, &[3, 224, 224]);
    let y = net.conv(x, ["conv1", "bn1"], [64, 3, 7, 7], 2, 1.0)?;
    let y = net.relu(y)?;
    let args = [y.into(), pair(3), pair(2), pair(1), pair(1), false.into()];
    let mut y = net.builder.op_n("MaxPoolWithIndices", args, 2)?[0];
    let mut from = 64;
    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        let through = 64 << stage;
        for block in 0..blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            y = net.bottleneck(y, &format!("layer{}.{block}", stage + 1), [from, through], stride)?;
            from = 4 * through;
        }
    }
    let y = net.op("MeanExt", [y.into(), list(&[2, 3]), false.into()])?;
    let y = net.dense(y, "fc", [1000, 2048])?;
    Ok(net.finish(y))
}

fn bert_base(tokens: usize) -> Result<(Model, Vec<(String, Tensor)>), OpError> {
    let mut net = Net::new("bert_base");
    let ids = net.input("ids", DType::I32, &[tokens]);
    let table = net.param("word.weight".into(), &[30522, 768], 0.0, 1.0)?;
    let place = net.param("position".into(), &[tokens, 768], 0.0, 0.1)?;
    let y = net.op("Gather", [table, ids.into(), 0i64.into(), 0i64.into()])?;
    let y = net.op("Add", [y.into(), place])?;
    let mut y = net.layer_norm(y, "norm", 768)?;
    for layer in 0..12 {
        y = net.encoder(y, &format!("layers.{layer}"), tokens)?;
    }
    Ok(net.finish(y))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: networks FOLDER")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (name, made) in [("resnet50", resnet50()?), ("bert_base", bert_base(128)?)] {
        let (model, params) = made;
        mindir::export(&model, folder.join(format!("{name}.mindir")), &ExportOptions::default())?;
        npy::write_npz(folder.join(format!("{name}.npz")), &params)?;
        println!("{name}: {} parameters", params.len());
    }
    Ok(())
}
