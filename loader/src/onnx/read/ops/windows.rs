//! Windows over the dimensions behind the channels, and images of other ranks for them.

use crate::onnx::read::import::{Call, Import, In, Step, Val};

/// Windows over the dimensions behind the channels.
pub(super) struct Windows {
    pub kernel: Vec<i64>,
    pub stride: Vec<i64>,
    pub dilation: Vec<i64>,
    /// Elements added before and after each dimension.
    pub pads: Vec<[i64; 2]>,
    /// Dimensions are open, and each is padded for `⌈size / stride⌉` windows.
    pub same: Option<Same>,
}

/// Which side an odd element is added to.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Same {
    Upper,
    Lower,
}

impl Windows {
    /// Those that the node states, without what `auto_pad` adds.
    pub fn over(c: &Call, x: &Val, kernel: Vec<i64>) -> Result<Windows, String> {
        let n = x.rank()?.checked_sub(2).ok_or("expected rank 3 or more")?;
        if kernel.len() != n || n == 0 {
            return Err(format!("{} kernel dimensions for rank {}", kernel.len(), n + 2));
        }
        let list = |name: &str| c.ints(name).filter(|v| v.len() == n).unwrap_or_else(|| vec![1; n]);
        let (stride, dilation) = (list("strides"), list("dilations"));
        let pads = match (c.text("auto_pad", "NOTSET").as_str(), c.ints("pads")) {
            ("NOTSET", Some(pads)) => pairs(&pads, n)?,
            _ => vec![[0; 2]; n],
        };
        Ok(Windows { kernel, stride, dilation, pads, same: None })
    }

    pub fn of(c: &Call, x: &Val, kernel: Vec<i64>) -> Result<Windows, String> {
        let win = Windows::over(c, x, kernel)?;
        let side = match c.text("auto_pad", "NOTSET").as_str() {
            "NOTSET" | "VALID" => return Ok(win),
            "SAME_UPPER" => Same::Upper,
            "SAME_LOWER" => Same::Lower,
            other => return Err(format!("auto_pad {other} is not supported")),
        };
        let Windows { kernel, stride, dilation, pads: none, .. } = win;
        if let Some(pads) = same(x, &kernel, &stride, &dilation, side)? {
            return Ok(Windows { kernel, stride, dilation, pads, same: None });
        }
        Ok(Windows { kernel, stride, dilation, pads: none, same: Some(side) })
    }

    /// Whether there may be elements between windows, so that padding depends on the size from whichever side one looks.
    pub fn leave_gaps(&self) -> bool {
        (0..self.kernel.len()).any(|d| self.reach(d) < self.stride.get(d).copied().unwrap_or(1))
    }

    /// Elements from the first to the last of a window.
    pub fn reach(&self, d: usize) -> i64 {
        let get = |v: &[i64]| v.get(d).copied().unwrap_or(1);
        get(&self.kernel).saturating_sub(1).saturating_mul(get(&self.dilation)).saturating_add(1)
    }

    /// For MindSpore, images have two spatial dimensions or three: what `line` adds for sequences.
    pub fn widen(&mut self) {
        self.kernel.insert(0, 1);
        self.stride.insert(0, 1);
        self.dilation.insert(0, 1);
        self.pads.insert(0, [0; 2]);
    }

    pub fn flat_pads(&self) -> Vec<i64> {
        self.pads.iter().flatten().copied().collect()
    }

    pub fn padded(&self) -> bool {
        self.flat_pads().iter().any(|&p| p != 0)
    }
}

fn pairs(pads: &[i64], n: usize) -> Result<Vec<[i64; 2]>, String> {
    let pair = |d: usize| Some([*pads.get(d)?, *pads.get(d + n)?]);
    (0..n).map(pair).collect::<Option<Vec<_>>>().ok_or_else(|| format!("{} paddings for {n} dimensions", pads.len()))
}

/// The padding for `⌈size / stride⌉` windows; `None` if it depends on a size that is open.
fn same(
    x: &Val,
    kernel: &[i64],
    stride: &[i64],
    dilation: &[i64],
    side: Same,
) -> Result<Option<Vec<[i64; 2]>>, String> {
    let mut out = Vec::new();
    for (d, ((&k, &s), &l)) in kernel.iter().zip(stride).zip(dilation).enumerate() {
        if s < 1 {
            return Err(format!("a stride of {s}"));
        }
        let reach = k.checked_sub(1).and_then(|k| k.checked_mul(l)).and_then(|r| r.checked_add(1));
        let reach = reach.ok_or("the windows are too large")?;
        // How far windows go beyond their strides is the same for every size if the stride is 1.
        let behind = match x.dim(d + 2) {
            Ok(size) => (size - 1).rem_euclid(s) + 1,
            Err(_) if s == 1 => 1,
            Err(_) => return Ok(None),
        };
        let missing = reach.saturating_sub(behind).max(0);
        let (small, large) = (missing / 2, missing - missing / 2);
        out.push(if side == Same::Lower { [large, small] } else { [small, large] });
    }
    Ok(Some(out))
}

/// `x` from back to front along every dimension behind the channels: padding at the start becomes padding at the end.
pub(super) fn flipped(m: &mut Import, x: Val, same: Option<Same>) -> Step {
    if same != Some(Same::Lower) {
        return Ok(x);
    }
    let axes: Vec<i64> = (2..x.rank()? as i64).collect();
    m.op("ReverseV2", vec![x.into(), axes.into()])
}

/// `x` with a dimension of 1 in place `at`.
pub(super) fn expanded(m: &mut Import, x: Val, at: i64) -> Step {
    m.op("ExpandDims", vec![x.into(), at.into()])
}

pub(super) fn squeezed(m: &mut Import, x: Val, at: i64) -> Step {
    m.op("Squeeze", vec![x.into(), vec![at].into()])
}

/// One for each of the four or five dimensions.
pub(super) fn full(values: &[i64]) -> In {
    [1, 1].iter().chain(values).copied().collect::<Vec<i64>>().into()
}
