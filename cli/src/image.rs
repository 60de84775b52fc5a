//! Flags about pictures.

use std::io;

use clap::{Args, ValueEnum};
use mindir::picture::{self, Channels, Options, PictureError};
use mindir::preprocess::{Picture, Preprocess};
use mindir::{OpError, Spec, Tensor};

use crate::args::LimitArgs;
use crate::failure::Failure;
use crate::print::{name, quoted};

/// How pictures become numbers: (pixel × scale − mean) / std.
#[derive(Args, Clone, Debug, Default)]
pub struct ImageArgs {
    /// Factor for pixels of 0 to 255 [default: 1/255 for float inputs, 1 for integer inputs]
    #[arg(long, value_name = "FACTOR", value_parser = factor, allow_hyphen_values = true, help_heading = "Pictures")]
    pub scale: Option<f32>,
    /// Subtracted after scaling: one number, or one per channel in the model's channel order
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', value_parser = finite, allow_hyphen_values = true, help_heading = "Pictures")]
    pub mean: Vec<f32>,
    /// Divides after subtracting: one number, or one per channel in the model's channel order
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', value_parser = divisor, allow_hyphen_values = true, help_heading = "Pictures")]
    pub std: Vec<f32>,
    /// Resize to the input's height and width, or to those of the first picture: bilinear, half-pixel centres, no smoothing
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

/// Where the channels of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Channels before height and width.
    Nchw,
    /// Channels last.
    Nhwc,
}

impl ImageArgs {
    /// A flag about pictures that is given. If there is none, what the model records holds.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--scale", self.scale.is_some()),
            ("--mean", !self.mean.is_empty()),
            ("--std", !self.std.is_empty()),
            ("--resize", self.resize),
            ("--rgb", self.rgb),
            ("--bgr", self.bgr),
            ("--gray", self.gray),
            ("--layout", self.layout.is_some()),
        ];
        flags.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }

    /// The flags as the library's options.
    pub fn options(&self) -> Options {
        let channels = [(self.rgb, Channels::Rgb), (self.bgr, Channels::Bgr), (self.gray, Channels::Gray)];
        let layout = |l| if l == Layout::Nchw { picture::Layout::Nchw } else { picture::Layout::Nhwc };
        Options {
            scale: self.scale,
            mean: self.mean.clone(),
            std: self.std.clone(),
            resize: self.resize,
            channels: channels.into_iter().find(|(is_given, _)| *is_given).map(|(_, channels)| channels),
            layout: self.layout.map(layout),
        }
    }
}

/// An input that pictures become.
pub struct Target<'a> {
    /// Its name.
    pub input: &'a str,
    pub flags: &'a ImageArgs,
    /// What the model does to a picture, if no flag is given.
    pub recorded: Option<&'a Preprocess>,
    pub limits: &'a LimitArgs,
}

impl Target<'_> {
    /// Pictures from these files as a batch of this kind.
    pub fn tensor(&self, spec: &Spec, paths: &[String], pictures: Vec<Picture>) -> Result<Tensor, Failure> {
        let made = match self.recorded {
            Some(recorded) => picture::prepare(recorded, pictures, spec),
            None => {
                let options = self.flags.options();
                let fact = picture::fact(&pictures, &options, spec).map_err(|e| self.explain(paths, &e))?;
                self.limits.fits(&fact)?;
                picture::batch(&pictures, &options, spec)
            }
        };
        let tensor = made.map_err(|e| self.explain(paths, &e))?;
        self.limits.fits(&tensor.fact())?;
        Ok(tensor)
    }

    /// Why pictures are no input, and which flag helps.
    fn explain(&self, paths: &[String], e: &PictureError) -> Failure {
        let input = name(self.input);
        let path = |picture: &usize| paths.get(*picture).map_or(String::new(), |p| format!("{}: ", name(p)));
        if let PictureError::TooLarge { .. } = e {
            return Failure::file(paths.join(", ").as_ref())(io::Error::new(io::ErrorKind::Unsupported, e.to_string()));
        }
        Failure::Usage(match e {
            PictureError::Size { picture, .. } => format!("{}{e} for input {input}; add --resize", path(picture)),
            PictureError::Unlike { picture, .. } => format!("{}{e}, for input {input}", path(picture)),
            PictureError::NoShape(_) => format!("input {input}: {e}; give --shape"),
            PictureError::NoChannels(_) => format!("input {input}: {e}; add --rgb, --bgr or --gray"),
            PictureError::Numbers { what, .. } => format!("input {input}: {e}; see --{what}"),
            PictureError::Transform(OpError::Unsupported(what)) => {
                format!("{what}; give --scale, --mean, … or an array instead")
            }
            PictureError::Transform(other) => format!("{}{other}", path(&0)),
            other => format!("input {input}: {other}"),
        })
    }
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
    format!("expected a finite number, found {}", quoted(text))
}
