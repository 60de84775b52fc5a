//! How pixels become numbers.

/// How pixels become numbers: `(pixel · scale − mean) / std`.
///
/// ```
/// use mindir::picture::{self, Options};
/// use mindir::preprocess::Picture;
/// use mindir::{DType, Spec};
///
/// let picture = Picture::new(4, 6, 3, vec![51; 4 * 6 * 3])?;
/// let options = Options { mean: vec![0.2], std: vec![0.5], resize: true, ..Options::default() };
/// let x = picture::tensor(&picture, &options, &Spec::fixed(DType::F32, &[1, 3, 8, 8]))?;
/// assert_eq!(x.shape(), [1, 3, 8, 8]);
/// assert!(x.view::<f32>()?[0].abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Factor for pixels of 0 to 255; without one it is 1/255 for float inputs and 1 for others.
    pub scale: Option<f32>,
    /// What is subtracted after scaling: nothing, one number, or one per channel in the input's order.
    pub mean: Vec<f32>,
    /// What divides after subtracting: nothing, one number, or one per channel in the input's order.
    pub std: Vec<f32>,
    /// Whether pictures of another size are resized: bilinear, half-pixel centres, no smoothing.
    pub resize: bool,
    /// The channels; without them, red first for three and luminance for one, as the input has it.
    pub channels: Option<Channels>,
    /// Order of the input's dimensions; without it, what its shape suggests, else [`Layout::Nchw`].
    pub layout: Option<Layout>,
}

/// Channels of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luminance, by ITU-R BT.709.
    Gray,
}

impl Channels {
    /// Their number.
    pub(super) fn count(self) -> usize {
        if self == Channels::Gray { 1 } else { 3 }
    }
}

/// Where the channels of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Before height and width.
    Nchw,
    /// Last.
    Nhwc,
}
