//! The first elements of lines, in order.
//!
//! An element becomes a key, an unsigned number of the same order, and a key with its position a pair, of which no two are equal.
//! A [`Block`] of pairs is sorted in workgroup memory; what is longer is sorted block by block, either keeping the first pairs of
//! each until one block holds all, or joining sorted runs by an [`Exchange`] of pairs that lie far apart and blocks again. A [`Select`]
//! looks at equal elements.

mod cuda;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;

use crate::copy::moved;
use crate::module::storage;
use crate::{Access, Module, Shader, Unsupported, Word, spread};

/// Pairs of a block.
pub const BLOCK: usize = 1024;

/// Parameters of [`Block`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct BlockParams {
    /// Number of lines.
    pub lines: u32,
    /// Elements of a line.
    pub axis: u32,
    /// Pairs that it starts with of a line, at least 1.
    pub len: u32,
    /// Elements between two of a line.
    pub inner: u32,
    /// Blocks of a line.
    pub blocks: u32,
    /// Pairs that a block gives, if it has as many.
    pub keep: u32,
    /// Pairs that a line gives.
    pub given: u32,
    /// The power of two that holds a block.
    pub extent: u32,
}

/// Parameters of [`Exchange`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct ExchangeParams {
    /// Number of lines.
    pub rows: u32,
    /// Exchanges of a line.
    pub cols: u32,
    /// Pairs of a line.
    pub len: u32,
    /// Places between the two of an exchange; in the first step, half the places of two runs.
    pub step: u32,
    /// Whether this is the first step of joining runs: 1 or 0.
    pub mirrored: u32,
}

/// Parameters of [`Select`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct SelectParams {
    /// Number of lines.
    pub lines: u32,
    /// Elements of a line.
    pub axis: u32,
    /// Elements between two of a line.
    pub inner: u32,
    /// Results of a line, fewer than `axis`.
    pub given: u32,
    /// Rounds of exchanges before what is left is sorted.
    pub rounds: u32,
}

/// What lines hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elements {
    /// Element type.
    pub dtype: DType,
    /// Whether the largest come first.
    pub descending: bool,
}

/// What is written of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results {
    /// Whether the elements are a result.
    pub values: bool,
    /// Element type of the positions.
    pub index: DType,
}

/// Blocks in order. Binds the operand, if it starts with elements or gives results; the keys and positions that it starts with
/// otherwise; then the results, or else the keys and positions that it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The elements.
    pub of: Elements,
    /// Whether it starts with pairs.
    pub pairs: bool,
    /// Whether only the last round of joining is left.
    pub merges: bool,
    /// Gives these results, or pairs.
    pub results: Option<Results>,
}

/// Pairs that lie far apart in order; binds keys and positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Element type.
    pub dtype: DType,
    /// Columns of a workgroup.
    pub width: u32,
}

/// Results with equal elements as `mindir_graph::order::select` leaves them. Binds the operand, the keys and positions of the
/// first pairs, two words for each element of a line, and the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select {
    /// The elements.
    pub of: Elements,
    /// What is written.
    pub results: Results,
}

/// A module as it is put together.
struct Text {
    source: String,
    bindings: Vec<Access>,
}

impl Text {
    fn bind(&mut self, name: &str, element: &str, access: Access) {
        self.bindings.push(access);
        self.source += &storage(self.bindings.len(), name, element, access);
    }

    /// `give`, which writes a result, in the bindings of results.
    fn results(&mut self, results: Results, stored: &str, key: &str) -> Result<(), Unsupported> {
        let index = Word::of(results.index)?;
        if results.values {
            self.bind("values", stored, Access::Write);
        }
        self.bind("positions", index.stored(), Access::Write);
        let value = if results.values { "    values[to] = x[element_of(line, place)];\n" } else { "" };
        let place = if index.is_wide() { "vec2<u32>(place, 0u)" } else { "i32(place)" };
        self.source += &format!(
            "\nfn give(line: u32, at: u32{key}, place: u32) {{\n    \
             let to = (line / params.inner * params.given + at) * params.inner + line % params.inner;\n{value}    \
             positions[to] = {place};\n}}\n"
        );
        Ok(())
    }

    fn module(self, invocations: u32, shared: u32) -> Module {
        Module { source: self.source, bindings: self.bindings, constants: Vec::new(), invocations, shared }
    }
}

/// The type `Key` and the function `before`, and whether a key is two words.
fn keys(dtype: DType) -> Result<(&'static str, bool), Unsupported> {
    Ok(if Word::of(dtype)?.is_wide() {
        (
            "alias Key = vec2<u32>;\n\nfn before(a: Key, b: Key) -> bool {\n    \
             return a.y < b.y || (a.y == b.y && a.x < b.x);\n}\n\n",
            true,
        )
    } else {
        ("alias Key = u32;\n\nfn before(a: Key, b: Key) -> bool {\n    return a < b;\n}\n\n", false)
    })
}

const ELEMENT_OF: &str = "fn element_of(line: u32, place: u32) -> u32 {
    return (line / params.inner * params.axis + place) * params.inner + line % params.inner;
}
";

impl Elements {
    /// What `x` is an array of: elements as they are.
    fn stored(self) -> Result<&'static str, Unsupported> {
        moved(self.dtype)
    }

    /// The function `key` of a stored element.
    fn key(self) -> Result<String, Unsupported> {
        let key = match Word::of(self.dtype)? {
            Word::F32 => FLOAT_KEY,
            Word::I32 => "x ^ 0x80000000u",
            Word::U32 | Word::Bool | Word::U64 => "x",
            Word::I64 => "vec2<u32>(x.x, x.y ^ 0x80000000u)",
        };
        let flip = if self.descending { "~" } else { "" };
        let (stored, word) = match self.dtype {
            DType::F16 => ("Half", "bitcast<u32>(f32(element))"),
            _ => ("Key", "element"),
        };
        Ok(format!("\nfn key(element: {stored}) -> Key {{\n    let x = {word};\n    return {flip}({key});\n}}\n"))
    }
}

/// NaN is the largest key, and zeros have one.
const FLOAT_KEY: &str = "select(select(~x, x | 0x80000000u, (x & 0x80000000u) == 0u), \
    select(0x80000000u, 0xffffffffu, (x & 0x7fffffffu) != 0u), \
    (x & 0x7fffffffu) == 0u || (x & 0x7fffffffu) > 0x7f800000u)";

impl Shader for Block {
    type Params = BlockParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let (text, wide) = keys(self.of.dtype)?;
        let stored = self.of.stored()?;
        let source = format!("const MERGES: bool = {};\n\n{text}{}\n", self.merges, include_str!("block.wgsl"));
        let mut text = Text { source, bindings: Vec::new() };
        let reads = !self.pairs || self.results.is_some_and(|r| r.values);
        if reads {
            text.bind("x", stored, Access::Read);
        }
        if self.pairs {
            text.bind("from_keys", "Key", Access::Read);
            text.bind("from_places", "u32", Access::Read);
            text.source += TAKE_PAIR;
        } else {
            text.source += &format!("{}\n{TAKE_ELEMENT}", self.of.key()?);
        }
        match self.results {
            Some(results) => text.results(results, stored, ", key: Key")?,
            None => {
                text.bind("to_keys", "Key", Access::Write);
                text.bind("to_places", "u32", Access::Write);
                text.source += GIVE_PAIR;
            }
        }
        if reads {
            text.source += &format!("\n{ELEMENT_OF}");
        }
        Ok(text.module(256, BLOCK as u32 * if wide { 12 } else { 8 }))
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::block(self)
    }
}

const TAKE_PAIR: &str = "
fn take(line: u32, place: u32, to: u32) {
    keys[to] = from_keys[line * params.len + place];
    places[to] = from_places[line * params.len + place];
}

";

const TAKE_ELEMENT: &str = "fn take(line: u32, place: u32, to: u32) {
    keys[to] = key(x[element_of(line, place)]);
    places[to] = place;
}

";

const GIVE_PAIR: &str = "
fn give(line: u32, at: u32, key: Key, place: u32) {
    to_keys[line * params.given + at] = key;
    to_places[line * params.given + at] = place;
}
";

impl Shader for Exchange {
    type Params = ExchangeParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let (text, _) = keys(self.dtype)?;
        let mut text = Text { source: format!("{text}{}\n", include_str!("exchange.wgsl")), bindings: Vec::new() };
        text.bind("keys", "Key", Access::Write);
        text.bind("places", "u32", Access::Write);
        text.source += &format!("\n{}", spread::wgsl(self.width));
        Ok(text.module(spread::INVOCATIONS, 0))
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        Ok(cuda::exchange(self))
    }
}

impl Shader for Select {
    type Params = SelectParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let (text, _) = keys(self.of.dtype)?;
        let stored = self.of.stored()?;
        let mut text = Text { source: format!("{text}{}\n", include_str!("select.wgsl")), bindings: Vec::new() };
        text.bind("x", stored, Access::Read);
        text.bind("keys", "Key", Access::Read);
        text.bind("sorted", "u32", Access::Read);
        text.bind("work", "u32", Access::Write);
        text.results(self.results, stored, "")?;
        text.source += &format!("{}\n{ELEMENT_OF}\n{KEY_AT}", self.of.key()?);
        Ok(text.module(256, 4))
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::select(self)
    }
}

const KEY_AT: &str = "fn key_at(line: u32, place: u32) -> Key {
    return key(x[element_of(line, place)]);
}
";
