//! Slices replaced or added to by index.
//!
//! Updates are listed by the slices that they meet ([`Link`]), lists are brought in order ([`Sort`]), and then every element of
//! the result follows its slice's list ([`Apply`]): sums do not depend on who comes first.

mod cuda;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::ScatterKind;

use crate::copy::moved;
use crate::index::{indices, status};
use crate::module::storage;
use crate::number::{arithmetic, number};
use crate::program::library;
use crate::{Access, Module, Shader, Unsupported, spread};

/// Most coordinates of an update.
pub const AXES: usize = 32;

/// Parameters of [`Link`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct LinkParams {
    /// 1.
    pub rows: u32,
    /// Updates.
    pub cols: u32,
    /// Coordinates of an update.
    pub rank: u32,
    /// Unused.
    pub gap: u32,
    /// Lengths of the dimensions that the coordinates address.
    pub axes: [u32; AXES],
}

/// Parameters of [`Sort`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct SortParams {
    /// 1.
    pub rows: u32,
    /// Slices.
    pub cols: u32,
}

/// Parameters of [`Apply`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Slices.
    pub rows: u32,
    /// Elements of a slice.
    pub cols: u32,
    /// First element of the operand.
    pub x_first: u32,
    /// First element of the result.
    pub y_first: u32,
    /// First slice.
    pub first: u32,
}

/// For each slice the last of its updates, or a list of all; binds the indices, a word for each slice (0 before), a word for each
/// update, and the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What an update does.
    pub kind: ScatterKind,
    /// Element type of the indices.
    pub index: DType,
    /// Columns of a workgroup.
    pub width: u32,
}

/// Lists in order; binds the words of slices and of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Columns of a workgroup.
    pub width: u32,
}

/// The result; binds the operand, the updates, the result and the words of slices, and to add, those of updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apply {
    /// What an update does.
    pub kind: ScatterKind,
    /// Element type.
    pub dtype: DType,
    /// Columns of a workgroup.
    pub width: u32,
}

fn combining(kind: ScatterKind) -> Unsupported {
    Unsupported(format!("updates of the kind {kind:?}"))
}

fn module(mut text: String, width: u32, bindings: Vec<Access>) -> Module {
    text += &spread::wgsl(width);
    text += &library(&text);
    Module { source: text, bindings, constants: Vec::new(), invocations: spread::INVOCATIONS, shared: 0 }
}

impl Shader for Link {
    type Params = LinkParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut text = format!("const REPLACES: bool = {};\n\n", self.kind == ScatterKind::Replace);
        text += include_str!("link.wgsl");
        text += &format!("\n{}{}", indices(self.index, 1)?, status(4));
        Ok(module(text, self.width, vec![Access::Read, Access::Write, Access::Write, Access::Write]))
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::link(self)
    }
}

impl Shader for Sort {
    type Params = SortParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        Ok(module(format!("{}\n", include_str!("sort.wgsl")), self.width, vec![Access::Write; 2]))
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        Ok(cuda::sort(self))
    }
}

impl Shader for Apply {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut bindings = vec![Access::Read, Access::Read, Access::Write, Access::Read];
        let mut text = String::new();
        let update = match self.kind {
            ScatterKind::Replace => {
                text += &format!("alias Stored = {};\n\n", moved(self.dtype)?);
                REPLACE
            }
            ScatterKind::Mul | ScatterKind::Max | ScatterKind::Min => return Err(combining(self.kind)),
            ScatterKind::Add => {
                bindings.push(Access::Read);
                text += &storage(5, "nexts", "u32", Access::Read);
                text += &arithmetic(self.dtype, number(self.dtype)?)?;
                ADD
            }
        };
        text += &format!("{}\n{update}\n", include_str!("apply.wgsl"));
        Ok(module(text, self.width, bindings))
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::apply(self)
    }
}

const REPLACE: &str = "fn updated(x: Stored, list: u32, col: u32) -> Stored {
    if (list == 0u) {
        return x;
    }
    return u[(list - 1u) * params.cols + col];
}
";

const ADD: &str = "fn updated(x: Stored, list: u32, col: u32) -> Stored {
    var sum = load(x);
    for (var update = list; update != 0u; update = nexts[update - 1u]) {
        sum = plus(sum, load(u[(update - 1u) * params.cols + col]));
    }
    return store(sum);
}
";
