//! Pictures as tensors.

use std::path::Path;

use clap::{Args, ValueEnum};
use mindir::preprocess::{Picture, Pixels, Preprocess};
use mindir::{DType, Dim, OpError, Port, Tensor, picture};

use crate::failure::Failure;
use crate::print::name;

/// How pictures become numbers: (pixel × scale − mean) / std, batch of 1.
#[derive(Args, Debug, Default)]
pub struct ImageArgs {
    /// Factor for pixels of 0 to 255 [default: 1/255 for float inputs, 1 for integer inputs]
    #[arg(long, value_name = "FACTOR", value_parser = factor, help_heading = "Pictures")]
    pub scale: Option<f32>,
    /// Subtracted after scaling: one number, or one per channel in the model's channel order
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', value_parser = finite, allow_negative_numbers = true, help_heading = "Pictures")]
    pub mean: Vec<f32>,
    /// Divides after subtracting: one number, or one per channel in the model's channel order
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', value_parser = divisor, help_heading = "Pictures")]
    pub std: Vec<f32>,
    /// Resize to the input's height and width: bilinear, half-pixel centres, no smoothing
    #[arg(long, help_heading = "Pictures")]
    pub resize: bool,
    /// Three channels, red first [default for inputs of three channels]
    #[arg(long, group = "channels", help_heading = "Pictures")]
    pub rgb: bool,
    /// Three channels, blue first
    #[arg(long, group = "channels", help_heading = "Pictures")]
    pub bgr: bool,
    /// One channel, luminance [default for inputs of one channel]
    #[arg(long, group = "channels", help_heading = "Pictures")]
    pub gray: bool,
    /// Order of the input's dimensions [default: what its shape suggests, else nchw]
    #[arg(long, value_enum, help_heading = "Pictures")]
    pub layout: Option<Layout>,
}

impl ImageArgs {
    /// Whether nothing is said about pictures, so that what the model records holds.
    pub fn is_empty(&self) -> bool {
        let Self { scale, mean, std, resize, rgb, bgr, gray, layout } = self;
        scale.is_none() && mean.is_empty() && std.is_empty() && !(*resize || *rgb || *bgr || *gray) && layout.is_none()
    }
}

/// A picture as the model's first input, prepared as the model records it.
pub fn prepared(path: &Path, recorded: &Preprocess) -> Result<Tensor, Failure> {
    let picture = picture::read(path).map_err(Failure::file(path))?;
    recorded.run(picture).map_err(|e| match e {
        OpError::Unsupported(what) => Failure::Usage(format!("{what}; give --scale, --mean, … or an array instead")),
        other => Failure::Usage(format!("{}: {other}", path.display())),
    })
}

/// Where the channels of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Channels before height and width.
    Nchw,
    /// Channels last.
    Nhwc,
}

fn divisor(text: &str) -> Result<f32, String> {
    factor(text).and_then(|x| if x == 0.0 { Err("nothing can be divided by 0".into()) } else { Ok(x) })
}

fn factor(text: &str) -> Result<f32, String> {
    match text.split_once('/') {
        Some((a, b)) => Some(finite(a)? / finite(b)?).filter(|x| x.is_finite()).ok_or_else(|| unfit(text)),
        None => finite(text),
    }
}

fn finite(text: &str) -> Result<f32, String> {
    text.trim().parse().ok().filter(|x: &f32| x.is_finite()).ok_or_else(|| unfit(text))
}

fn unfit(text: &str) -> String {
    format!("expected a finite number, found {text:?}")
}

/// What a model's input wants of a picture.
struct Target {
    layout: Layout,
    batched: bool,
    channels: usize,
    height: Option<usize>,
    width: Option<usize>,
}

/// Reads a picture as the tensor that `port` wants; `dims` replace the port's shape.
pub fn read(path: &Path, port: &Port, dims: Option<&[usize]>, args: &ImageArgs) -> Result<Tensor, Failure> {
    let dims: Option<Vec<Dim>> = match dims {
        Some(d) => Some(d.iter().map(|&n| Dim::Known(n)).collect()),
        None => port.spec.dims.as_ref().map(|d| d.to_vec()),
    };
    let target = target(port, dims.as_deref(), args)?;
    let picture = picture::read(path).map_err(Failure::file(path))?;
    let (mut w, mut h) = (picture.w, picture.h);
    let mut pixels = channels(&picture, target.channels, args.bgr);
    let (height, width) = (target.height.unwrap_or(h), target.width.unwrap_or(w));
    if (h, w) != (height, width) {
        if !args.resize {
            let text = format!("the picture is {w}×{h}, input {} takes {width}×{height}", name(&port.name));
            return Err(Failure::Usage(format!("{}: {text}; add --resize", path.display())));
        }
        pixels = bilinear(&pixels, (h, w), (height, width), target.channels);
        (h, w) = (height, width);
    }
    let dtype = port.spec.dtype.unwrap_or(DType::F32);
    normalize(&mut pixels, target.channels, dtype, args)?;
    tensor(&pixels, &target, (h, w), dtype)
}

fn target(port: &Port, dims: Option<&[Dim]>, args: &ImageArgs) -> Result<Target, Failure> {
    let refuse = |what: &str| Failure::Usage(format!("input {} {}: {what}", name(&port.name), port.spec));
    let (batched, dims) = match dims {
        Some([Dim::Known(1) | Dim::Unknown, rest @ ..]) if rest.len() == 3 => (true, rest),
        Some(rest) if rest.len() == 3 => (false, rest),
        Some(_) => return Err(refuse("a picture fills [1,C,H,W], [1,H,W,C] or one of these without the 1")),
        None => return Err(refuse("give --shape for a picture")),
    };
    let size = |d: Dim| if let Dim::Known(n) = d { Some(n) } else { None };
    let few = |d: Dim| matches!(d, Dim::Known(1 | 3));
    let guess = if !few(dims[0]) && few(dims[2]) { Layout::Nhwc } else { Layout::Nchw };
    let layout = args.layout.unwrap_or(guess);
    let [c, h, w] = if layout == Layout::Nchw { [0, 1, 2] } else { [2, 0, 1] };
    let asked = if args.gray { Some(1) } else { (args.rgb || args.bgr).then_some(3) };
    match (size(dims[c]), asked) {
        (Some(n), Some(m)) if n != m => Err(refuse(&format!("it has {n} channels, {m} were asked for"))),
        (None, None) => Err(refuse("the number of channels is not known; add --rgb, --bgr or --gray")),
        (Some(n), _) if n != 1 && n != 3 => Err(refuse(&format!("a picture has 1 or 3 channels, the input {n}"))),
        (n, m) => {
            Ok(Target { layout, batched, channels: n.or(m).unwrap_or(3), height: size(dims[h]), width: size(dims[w]) })
        }
    }
}

/// Numbers of 0 to 255, channels last: luminance (ITU-R BT.709) for one channel.
fn channels(picture: &Picture, count: usize, bgr: bool) -> Vec<f32> {
    let mut pixels: Vec<f32> = match &picture.pixels {
        Pixels::Bytes(p) => p.iter().copied().map(f32::from).collect(),
        Pixels::Floats(p) => p.clone(),
    };
    if count == 1 {
        return pixels.chunks_exact(3).map(|p| (0.2126 * p[0] + 0.7152 * p[1] + 0.0722 * p[2]).round()).collect();
    }
    if bgr {
        pixels.chunks_exact_mut(3).for_each(|p| p.swap(0, 2));
    }
    pixels
}

/// Position and weight of the two pixels between which position `i` of `to` falls when `from` pixels are stretched over it.
fn between(i: usize, from: usize, to: usize) -> (usize, usize, f32) {
    let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
    let low = at as usize;
    (low, (low + 1).min(from - 1), at - low as f32)
}

fn bilinear(pixels: &[f32], (h, w): (usize, usize), (height, width): (usize, usize), c: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(height.saturating_mul(width).saturating_mul(c).min(1 << 28));
    for y in 0..height {
        let (y0, y1, fy) = between(y, h, height);
        for x in 0..width {
            let (x0, x1, fx) = between(x, w, width);
            for k in 0..c {
                let p = |y: usize, x: usize| pixels[(y * w + x) * c + k];
                let top = p(y0, x0) + (p(y0, x1) - p(y0, x0)) * fx;
                let bottom = p(y1, x0) + (p(y1, x1) - p(y1, x0)) * fx;
                out.push(top + (bottom - top) * fy);
            }
        }
    }
    out
}

fn normalize(pixels: &mut [f32], c: usize, dtype: DType, args: &ImageArgs) -> Result<(), Failure> {
    let scale = args.scale.unwrap_or(if dtype.is_float() { 1.0 / 255.0 } else { 1.0 });
    let each = |given: &[f32], default: f32, flag: &str| match given {
        [] => Ok(vec![default; c]),
        [one] => Ok(vec![*one; c]),
        many if many.len() == c => Ok(many.to_vec()),
        many => Err(Failure::Usage(format!("{flag} has {} numbers for {c} channels", many.len()))),
    };
    let (mean, std) = (each(&args.mean, 0.0, "--mean")?, each(&args.std, 1.0, "--std")?);
    for p in pixels.chunks_exact_mut(c) {
        for k in 0..c {
            p[k] = (p[k] * scale - mean[k]) / std[k];
        }
    }
    Ok(())
}

fn tensor(pixels: &[f32], target: &Target, (h, w): (usize, usize), dtype: DType) -> Result<Tensor, Failure> {
    let c = target.channels;
    let (mut dims, values) = match target.layout {
        Layout::Nhwc => (vec![h, w, c], pixels.to_vec()),
        Layout::Nchw => {
            let planes = (0..c).flat_map(|k| pixels.iter().skip(k).step_by(c).copied());
            (vec![c, h, w], planes.collect())
        }
    };
    if target.batched {
        dims.insert(0, 1);
    }
    let rounded = |x: f32| if dtype.is_float() { x } else { x.round() };
    let values: Vec<f32> = values.into_iter().map(rounded).collect();
    Ok(Tensor::from_vec(&dims, values)?.cast(dtype)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mindir::Spec;

    fn port(dims: &[usize]) -> Port {
        Port { name: "x".into(), spec: Spec::fixed(DType::F32, dims) }
    }

    fn picture() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.png");
        let pixel = |x: u32, y: u32| ::image::Rgb([10 * (x as u8 + 2 * y as u8), 255, 0]);
        ::image::RgbImage::from_fn(2, 2, pixel).save(&path).unwrap();
        (dir, path)
    }

    #[test]
    fn layouts_and_channels() {
        let (_dir, path) = picture();
        let args = ImageArgs { scale: Some(1.0), ..ImageArgs::default() };
        let planes = read(&path, &port(&[1, 3, 2, 2]), None, &args).unwrap();
        assert_eq!(planes.to_f64s().unwrap()[..5], [0.0, 10.0, 20.0, 30.0, 255.0]);
        let last = read(&path, &port(&[2, 2, 3]), None, &args).unwrap();
        assert_eq!(last.shape(), [2, 2, 3]);
        assert_eq!(last.to_f64s().unwrap()[..6], [0.0, 255.0, 0.0, 10.0, 255.0, 0.0]);
        let bgr = ImageArgs { bgr: true, ..args };
        assert_eq!(read(&path, &port(&[1, 2, 2, 3]), None, &bgr).unwrap().to_f64s().unwrap()[..3], [0.0, 255.0, 0.0]);
        let gray = read(&path, &port(&[1, 1, 2, 2]), None, &ImageArgs::default()).unwrap();
        assert_eq!(gray.shape(), [1, 1, 2, 2]);
    }

    #[test]
    fn sizes_must_agree_or_be_resized() {
        let (_dir, path) = picture();
        assert!(matches!(read(&path, &port(&[1, 3, 4, 4]), None, &ImageArgs::default()), Err(Failure::Usage(_))));
        let args = ImageArgs { scale: Some(1.0), resize: true, ..ImageArgs::default() };
        let big = read(&path, &port(&[1, 3, 4, 4]), None, &args).unwrap();
        assert_eq!(big.to_f64s().unwrap()[..4], [0.0, 2.5, 7.5, 10.0]);
    }

    #[test]
    fn mean_and_deviation_are_per_channel() {
        let (_dir, path) = picture();
        let args = ImageArgs { mean: vec![0.0, 0.5, 0.0], std: vec![1.0, 0.25, 1.0], ..ImageArgs::default() };
        let t = read(&path, &port(&[1, 2, 2, 3]), None, &args).unwrap();
        assert_eq!(t.to_f64s().unwrap()[1], 2.0);
        let wrong = ImageArgs { mean: vec![0.0, 0.5], ..ImageArgs::default() };
        assert!(matches!(read(&path, &port(&[1, 2, 2, 3]), None, &wrong), Err(Failure::Usage(_))));
    }
}
