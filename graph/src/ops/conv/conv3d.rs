use super::classic::{Classic, classic_convolution};
use crate::op::{Case, Ints, Operand, Operator, Rule, ints};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode};
use crate::{DType, OpError};

classic_convolution! {
    /// Three-dimensional cross-correlation of volumes with filters, in groups of channels. Arguments as for `Conv2D`, with a
    /// depth before rows and columns; `pad` is head, tail, top, bottom, left, right.
    Conv3D, copies [dilations = dilation, groups = group, strides = stride] {
        x: Operand,
        weight ["w"]: Operand,
        out_channel: Option<i64> as DimOf("weight", 0) = None,
        kernel_size: Ints as KernelOf("weight") = Ints::new(),
    } 3 Ncdhw Small
}

impl Operator for Conv3D {
    fn rule(&self) -> Result<impl Rule, OpError> {
        self.classic().over::<3>(&self.x, &self.weight)
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[1, 2, 3, 3, 4]).tensor(DType::F32, &[2, 2, 2, 2, 2]).skip();
        let two =
            sample().tensor(DType::F32, &[2, 4, 5, 4, 3]).tensor(DType::F32, &[6, 2, 3, 2, 2]).skip().skip().skip();
        vec![
            s.ints(&[2, 2, 2]).skip().text("same").case("same"),
            two.clone().skip().skip().skip().ints(&[1, 1, 2, 1, 2]).skip().int(2).case("stride, groups"),
            two.text("pad").ints(&[1, 2, 0, 1, 1, 0]).skip().skip().ints(&[2, 1, 1]).int(2).case("uneven padding"),
        ]
    }
}
