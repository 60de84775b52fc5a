use super::statistic::{Maxima, Pooling, Statistic};
use crate::op::{ArgValue, Case, Const, FromArg, Ints, Operand, Operator, Rule, ints};
use crate::ops::conv::grouped::{extent, last_dims};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode, Window, pads, spatial};
use crate::{DType, OpError, ensure, op};

/// Windows of MindSpore's classic pooling operators.
pub(super) fn classic<const N: usize>(
    x: &Operand,
    kernel: &[i64],
    stride: &[i64],
    mode: PadMode,
    pad: &[i64],
    format: Format,
    ceil: bool,
) -> Result<[Window; N], OpError> {
    let extent = extent(x, format)?;
    let kernel = spatial(kernel, format, "kernel_size")?;
    let stride = spatial(stride, format, "strides")?;
    let windows = Window::over(ceil, mode, extent, kernel, stride, [1; N], pads(pad, "pad_list")?)?;
    windows.iter().try_for_each(check_pads)?;
    Ok(windows)
}

/// Maxima over images by the classic arguments.
pub(super) fn maxima(
    x: &Operand,
    kernel: &[i64],
    strides: &[i64],
    mode: PadMode,
    format: Format,
) -> Result<Pooling<2>, OpError> {
    let windows = classic(x, kernel, strides, mode, &[], format, false)?;
    Ok(Pooling { x: x.clone(), windows, statistic: Statistic::Max, format, ceil: false })
}

/// Maxima over volumes by the classic arguments.
pub(super) fn volume_maxima(
    x: &Operand,
    kernel: &[i64],
    strides: &[i64],
    mode: PadMode,
    pads: &[i64],
    format: Format,
) -> Result<Pooling<3>, OpError> {
    let windows = classic(x, kernel, strides, mode, pads, format, false)?;
    Ok(Pooling { x: x.clone(), windows, statistic: Statistic::Max, format, ceil: false })
}

/// Checks that no window lies in the padding alone.
fn check_pads(w: &Window) -> Result<(), OpError> {
    let reach = w.reach();
    ensure!(w.before < reach && w.after < reach, "padding {} and {} for windows of {reach}", w.before, w.after);
    Ok(())
}

/// Windows of operators with PyTorch's arguments: an empty stride is the kernel.
pub(super) fn torch<const N: usize>(
    x: &Operand,
    kernel: &[i64],
    stride: Option<&Ints>,
    padding: &[i64],
    dilation: &[i64],
    ceil: bool,
) -> Result<[Window; N], OpError> {
    let extent = last_dims(x)?;
    let kernel = spatial(kernel, Format::Nchw, "kernel_size")?;
    let stride = match stride {
        Some(s) if !s.is_empty() => spatial(s, Format::Nchw, "stride")?,
        _ => kernel,
    };
    ensure!(padding.len() <= N, "padding: expected 1 or {N} numbers, found {}", padding.len());
    let pads = pads::<N>(padding, "padding")?;
    let dilation = spatial(dilation, Format::Nchw, "dilation")?;
    for ([pad, _], kernel) in pads.into_iter().zip(kernel) {
        ensure!(2 * pad <= kernel, "padding {pad} is over half of the kernel {kernel}");
    }
    Window::over(ceil, PadMode::Pad, extent, kernel, stride, dilation, pads)
}

op! {
    /// Maximum of each window of an image.
    ///
    /// `x`: `[n, c, h, w]`, or `[n, h, w, c]` for format `NHWC`, of a float type. `pad_mode` `same` gives `⌈size / stride⌉`
    /// windows. Padding does not take part.
    classic MaxPool {
        x ["input"]: Operand,
        kernel_size ["ksize"]: Ints as Whole(2) = ints(&[1]),
        strides ["stride"]: Ints as Whole(2) = ints(&[1]),
        pad_mode ["padding"]: PadMode = PadMode::Valid,
        format ["data_format"]: Format = Format::Nchw,
    }
}

impl Operator for MaxPool {
    fn rule(&self) -> Result<impl Rule, OpError> {
        maxima(&self.x, &self.kernel_size, &self.strides, self.pad_mode, self.format)
    }

    fn cases() -> Vec<Case> {
        classic_cases()
    }
}

/// Cases of the classic operators.
fn classic_cases() -> Vec<Case> {
    let one = |x: &[usize], kernel: &[i64], strides: &[i64], mode, name| {
        sample().tensor(DType::F32, x).ints(kernel).ints(strides).text(mode).text("NCHW").case(name)
    };
    let last = sample().tensor(DType::F32, &[1, 4, 5, 3]).ints(&[1, 3, 2, 1]).ints(&[1, 2, 1, 1]);
    vec![
        one(&[2, 3, 4, 5], &[1, 1, 3, 3], &[1, 1, 2, 2], "SAME", "same"),
        one(&[1, 2, 3, 3], &[2, 2], &[1, 1], "same", "same, even window"),
        one(&[1, 2, 6, 7], &[1, 1, 2, 3], &[1, 1, 2, 1], "VALID", "valid"),
        last.text("SAME").text("NHWC").case("channels last"),
        sample().tensor(DType::F16, &[1, 1, 5, 5]).ints(&[5]).case("one window, f16"),
    ]
}

op! {
    /// Mean of each window of an image, without the padding.
    ///
    /// `x`: `[n, c, h, w]`, or `[n, h, w, c]` for format `NHWC`, of a float type. `pad_mode` `same` gives `⌈size / stride⌉`
    /// windows.
    AvgPool {
        x ["input"]: Operand,
        kernel_size ["ksize"]: Ints as Spatial(2) = ints(&[1]),
        strides ["stride"]: Ints as Spatial(2) = ints(&[1]),
        pad_mode ["padding"]: PadMode = PadMode::Valid,
        data_format ["format"]: Format = Format::Nchw,
    }
}

impl Operator for AvgPool {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, format) = (&self.x, self.data_format);
        let windows = classic::<2>(x, &self.kernel_size, &self.strides, self.pad_mode, &[], format, false)?;
        let statistic = Statistic::Mean { pads: false, divisor: None };
        Ok(Pooling { x: x.clone(), windows, statistic, format, ceil: false })
    }

    fn cases() -> Vec<Case> {
        classic_cases()
    }
}

op! {
    /// Maximum of each window of a volume `[n, c, d, h, w]`. Padding does not take part. `ceil_mode` also keeps a last window
    /// that reaches beyond the padding.
    classic MaxPool3D {
        x ["input"]: Operand,
        kernel_size: Ints as Whole(3) = ints(&[1]),
        strides: Ints as Whole(3) = ints(&[1]),
        pad_mode: PadMode = PadMode::Valid,
        pad_list: Ints as Sides(3) = ints(&[0]),
        ceil_mode: bool = false,
        format ["data_format"]: Format = Format::Ncdhw,
    }
}

impl Operator for MaxPool3D {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (kernel, stride, pads) = (&self.kernel_size, &self.strides, &self.pad_list);
        let windows = classic::<3>(&self.x, kernel, stride, self.pad_mode, pads, self.format, self.ceil_mode)?;
        let (x, statistic) = (self.x.clone(), Statistic::Max);
        Ok(Pooling { x, windows, statistic, format: self.format, ceil: self.ceil_mode })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[1, 2, 3, 4, 3]).ints(&[2]).ints(&[2]);
        vec![x.clone().text("SAME").exact("same"), x.text("PAD").ints(&[1]).flag(true).exact("padding, ceil")]
    }
}

op! {
    /// Mean of each window of a volume `[n, c, d, h, w]`, with the padding if `count_include_pad`, or the sum divided by
    /// `divisor_override` unless that is 0.
    classic AvgPool3D {
        input ["x"]: Operand,
        kernel_size: Ints as Whole(3) = ints(&[1]),
        strides: Ints as Whole(3) = ints(&[1]),
        pad_mode: PadMode = PadMode::Valid,
        pad_list ["pad"]: Ints as Sides(3) = ints(&[0]),
        ceil_mode: bool = false,
        count_include_pad: bool = true,
        divisor_override: i64 = 0,
        format ["data_format"]: Format = Format::Ncdhw,
    }
}

impl Operator for AvgPool3D {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (kernel, stride, pads) = (&self.kernel_size, &self.strides, &self.pad_list);
        let windows = classic::<3>(&self.input, kernel, stride, self.pad_mode, pads, self.format, self.ceil_mode)?;
        let divisor = (self.divisor_override != 0).then_some(self.divisor_override as f64);
        let statistic = Statistic::Mean { pads: self.count_include_pad, divisor };
        Ok(Pooling { x: self.input.clone(), windows, statistic, format: self.format, ceil: self.ceil_mode })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[1, 2, 3, 4, 3]).ints(&[2]).ints(&[1]);
        vec![
            x.clone().text("SAME").case("same"),
            x.clone().text("PAD").ints(&[1]).flag(false).flag(false).case("without padding"),
            x.text("VALID").skip().skip().skip().int(3).case("divisor"),
        ]
    }
}

/// Pooling with PyTorch's arguments over `$n` dimensions.
macro_rules! mean_op {
    ($(#[doc = $doc:literal])+ $name:ident $n:literal [$($divisor:ident)?] $shape:expr) => {
        op! {
            $(#[doc = $doc])+
            $name {
                input: Operand,
                kernel_size: Ints,
                stride: Option<Ints> = None,
                padding: Ints = ints(&[0]),
                ceil_mode: bool = false,
                count_include_pad: bool = true
                $(, $divisor: Option<i64> = None)?
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, stride, ceil) = (&self.input, self.stride.as_ref(), self.ceil_mode);
                let windows = torch::<$n>(x, &self.kernel_size, stride, &self.padding, &[1], ceil)?;
                let divisor = None$(.or(self.$divisor))?;
                ensure!(divisor != Some(0), "expected a divisor_override other than 0");
                let statistic = Statistic::Mean { pads: self.count_include_pad, divisor: divisor.map(|d| d as f64) };
                Ok(Pooling { x: x.clone(), windows, statistic, format: Format::Nchw, ceil })
            }

            fn cases() -> Vec<Case> {
                let x = sample().tensor(DType::F32, $shape).ints(&[3]);
                vec![
                    x.clone().ints(&[2]).ints(&[1]).flag(false).flag(true).case("with padding"),
                    x.clone().ints(&[2]).ints(&[1]).flag(true).flag(false).case("ceil, without padding"),
                    x.none().case("stride of the kernel"),
                ]
            }
        }
    };
}

mean_op! {
    /// Mean of each window of sequences `[n, c, l]` or `[c, l]`; an empty `stride` is `kernel_size`. `ceil_mode` also keeps a
    /// last window that reaches beyond the padding, `count_include_pad` counts padding in the divisor.
    AvgPool1D 1 [] &[2, 3, 8]
}

mean_op! {
    /// Mean of each window of images `[n, c, h, w]` or `[c, h, w]`; an empty `stride` is `kernel_size`. `ceil_mode` also keeps
    /// last windows that reach beyond the padding, `count_include_pad` counts padding in the divisor, `divisor_override`
    /// replaces it.
    AvgPool2D 2 [divisor_override] &[2, 3, 6, 7]
}

mean_op! {
    /// Mean of each window of volumes `[n, c, d, h, w]` or `[c, d, h, w]`; arguments as for `AvgPool2D`.
    AvgPool3DExt 3 [divisor_override] &[1, 2, 4, 5, 3]
}

/// The element type of positions: 3 for `i32` and 4 for `i64`, or a type.
#[derive(Clone, Copy, Debug)]
pub struct Positions(DType);

impl FromArg for Positions {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        Ok(match arg {
            ArgValue::Const(Const::Int(3)) => Some(Positions(DType::I32)),
            ArgValue::Const(Const::Int(4)) => Some(Positions(DType::I64)),
            other => DType::from_arg(other)?.map(Positions),
        })
    }

    fn into_const(self) -> Option<Const> {
        self.0.into_const()
    }
}

/// The spatial ones of numbers that may also be there for batch and channels.
fn last<const N: usize>(values: &Ints) -> Ints {
    match values.as_slice() {
        [_, _, last @ ..] if last.len() == N => Ints::from_slice(last),
        _ => values.clone(),
    }
}

op! {
    /// Maximum of each window of images `[n, c, h, w]`, and its position `row · width + column`. An empty stride is
    /// `kernel_size`. `ceil_mode` also keeps last windows that reach beyond the padding.
    MaxPoolWithIndices, aliases ["MaxPoolWithMask", classic "MaxPoolWithArgmaxV2"] {
        x ["input"]: Operand,
        kernel_size: Ints,
        strides ["stride"]: Option<Ints> = None,
        pads ["padding"]: Ints = ints(&[0]),
        dilation: Ints = ints(&[1]),
        ceil_mode: bool = false,
        argmax_type: Positions = Positions(DType::I64),
    }
}

impl Operator for MaxPoolWithIndices {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let [kernel, pads, dilation] = [&self.kernel_size, &self.pads, &self.dilation].map(last::<2>);
        let (stride, ceil) = (self.strides.as_ref().map(last::<2>), self.ceil_mode);
        let windows = torch::<2>(&self.x, &kernel, stride.as_ref(), &pads, &dilation, ceil)?;
        let (x, statistic, format) = (self.x.clone(), Statistic::Max, Format::Nchw);
        Maxima::in_images(Pooling { x, windows, statistic, format, ceil }, self.argmax_type.0)
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[1, 2, 5, 6]).ints(&[3, 3]);
        vec![
            x.clone().ints(&[2, 2]).ints(&[1, 1]).ints(&[1, 1]).flag(false).exact("padding"),
            x.clone().none().ints(&[0]).ints(&[1]).flag(true).exact("ceil"),
            x.none().ints(&[0]).ints(&[1]).flag(false).int(3).exact("i32"),
        ]
    }
}

op! {
    /// Maximum of each window of images `[n, c, h, w]`, and as `i32` its position `(channel · height + row) · width + column`.
    /// Arguments as for `MaxPool` with format `NCHW`, but that `h` and `w` of four numbers are those in the middle.
    classic MaxPoolWithArgmax {
        x ["input"]: Operand,
        kernel_size ["ksize"]: Ints as Middle(2) = ints(&[1]),
        strides ["stride"]: Ints as Middle(2) = ints(&[1]),
        pad_mode ["padding"]: PadMode = PadMode::Valid,
        format ["data_format"]: Format = Format::Nchw,
    }
}

impl Operator for MaxPoolWithArgmax {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.format == Format::Nchw, "expected format NCHW, found {:?}", self.format);
        ensure!(self.x.rank() == 4, "expected rank 4, found {}", self.x.fact);
        let middle = |v: &Ints| if let [_, h, w, _] = **v { ints(&[h, w]) } else { v.clone() };
        let (kernel, strides) = (middle(&self.kernel_size), middle(&self.strides));
        let pooling = maxima(&self.x, &kernel, &strides, self.pad_mode, self.format)?;
        Ok(Maxima { pooling, from: 1, place: DType::I32 })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 2, 5, 6]);
        vec![
            x.clone().ints(&[1, 2, 3, 1]).ints(&[1, 2, 1, 1]).text("SAME").exact("same"),
            x.ints(&[2]).ints(&[1, 2]).text("VALID").exact("short"),
        ]
    }
}

op! {
    /// Maximum of each window of volumes `[n, c, d, h, w]`, and its position counted plane by plane and row by row.
    classic MaxPool3DWithArgmax {
        x ["input"]: Operand,
        ksize ["kernel_size"]: Ints as Spatial(3),
        strides: Ints as Spatial(3),
        pads: Ints as Spatial(3) = ints(&[0]),
        dilation: Ints as Spatial(3) = ints(&[1]),
        ceil_mode: bool = false,
        format ["data_format"]: Format = Format::Ncdhw,
        argmax_type: DType = DType::I64,
    }
}

impl Operator for MaxPool3DWithArgmax {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let [kernel, stride] = [&self.ksize, &self.strides].map(last::<3>);
        let [pads, dilation] = [&self.pads, &self.dilation].map(last::<3>);
        let windows = torch::<3>(&self.x, &kernel, Some(&stride), &pads, &dilation, self.ceil_mode)?;
        let (x, statistic, format) = (self.x.clone(), Statistic::Max, Format::Nchw);
        Maxima::in_images(Pooling { x, windows, statistic, format, ceil: self.ceil_mode }, self.argmax_type)
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[1, 2, 3, 4, 5]).ints(&[2, 2, 2]).ints(&[1, 2, 2]);
        vec![x.ints(&[1, 0, 1]).exact("padding")]
    }
}
