//! Operands in a kernel's own layout, and how they are kept from one process to the next.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use mindir_graph::bounds;
use mindir_graph::{Tensor, TensorError};
use smallvec::SmallVec;

use super::Isa;
use super::gang::Gang;
use super::kernel::Failed;
use super::memory::Block;
use crate::device::{Refused, Shelf, Weights};

/// The constants among the operands of a kernel, to be packed.
pub struct Constants<'a> {
    /// For each operand, its contents if they are known.
    pub known: &'a [Option<Tensor>],
    /// Where packed forms are shared and kept.
    pub weights: &'a Weights,
    /// Instruction set to pack with.
    pub isa: Isa,
    /// Threads to pack with.
    pub gang: &'a mut Gang,
}

impl Constants<'_> {
    /// `len` numbers that `pack` makes of an `f32` operand and of those `with` it; once for all kernels that say `layout`.
    ///
    /// # Errors
    /// [`Refused`] if there is no memory, the thread has to stop, or a tensor is not of `f32`.
    pub fn pack(
        &mut self,
        of: &Tensor,
        layout: &str,
        with: &[&Tensor],
        len: usize,
        pack: impl FnOnce(&[f32], &[&[f32]], &mut [f32], &mut Gang),
    ) -> Result<Arc<Numbers>, Refused> {
        let (gang, isa, shelf) = (&mut *self.gang, self.isa, self.weights.shelf().filter(|_| len >= LEAST));
        self.weights.get(of, layout, with, || {
            let place =
                shelf.map(|shelf| Place::new(shelf, &format!("{isa} {layout}"), len, of, with, gang)).transpose()?;
            if let Some(kept) = place.as_ref().and_then(|place| place.find(len, gang)) {
                return Ok(Numbers::Kept(kept));
            }
            let mut out = Block::zeroed(len)?;
            let more = with.iter().map(|t| t.view()).collect::<Result<SmallVec<[&[f32]; 1]>, _>>()?;
            pack(&of.elements()?, &more, &mut out, gang);
            // What a gang did not finish is not kept.
            bounds::check()?;
            if let Some(place) = place {
                place.keep(&out, gang);
            }
            Ok(Numbers::Made(out))
        })
    }
}

/// Packed numbers.
pub enum Numbers {
    /// In memory.
    Made(Block<f32>),
    /// In a file. The bytes are those of aligned numbers.
    Kept(Bytes),
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Numbers::Made(block) => block,
            Numbers::Kept(bytes) => bytemuck::try_cast_slice(bytes).unwrap_or_default(),
        }
    }
}

/// Numbers below which packing takes no longer than opening a file.
const LEAST: usize = 64 << 10;
/// Bytes that a thread takes at a time.
const PIECE: usize = 1 << 20;
/// Bytes of a checksum.
const SUM: usize = size_of::<u32>();

/// Where packed numbers are kept: under a name that follows from everything that they are made of. A checksum of them and of the
/// name follows them.
struct Place<'a> {
    shelf: &'a dyn Shelf,
    name: String,
}

impl<'a> Place<'a> {
    fn new(
        shelf: &'a dyn Shelf,
        layout: &str,
        len: usize,
        of: &Tensor,
        with: &[&Tensor],
        gang: &mut Gang,
    ) -> Result<Place<'a>, TensorError> {
        let mut name = blake3::Hasher::new();
        let order = if cfg!(target_endian = "little") { "little" } else { "big" };
        for text in [env!("MINDIR_KERNELS"), order, layout, &len.to_string()] {
            name.update(&text.len().to_le_bytes()).update(text.as_bytes());
        }
        for t in [of].iter().chain(with) {
            name.update(format!("{};", t.fact()).as_bytes());
            name.update(pieces(t.bytes(), gang, |piece| *blake3::hash(piece).as_bytes()).as_flattened());
        }
        bounds::check()?;
        Ok(Place { shelf, name: format!("{}.packed", name.finalize().to_hex()) })
    }

    /// What is kept, if it is whole.
    fn find(&self, len: usize, gang: &mut Gang) -> Option<Bytes> {
        let size = len.checked_mul(size_of::<f32>())?;
        let kept = self.shelf.find(&self.name, size.checked_add(SUM)?)?;
        let (numbers, sum) = kept.split_at_checked(size)?;
        let whole = self.sum(numbers, gang) == *sum && bytemuck::try_cast_slice::<u8, f32>(numbers).is_ok();
        whole.then(|| kept.slice(..size))
    }

    fn keep(&self, numbers: &[f32], gang: &mut Gang) {
        let bytes: &[u8] = bytemuck::cast_slice(numbers);
        self.shelf.keep(&self.name, &[bytes, &self.sum(bytes, gang)]);
    }

    /// What follows `numbers` in the file of this name. Damage and files that changed places are seen by it; what is kept on purpose
    /// under a wrong name is a matter of who may write.
    fn sum(&self, numbers: &[u8], gang: &mut Gang) -> [u8; SUM] {
        let mut all = crc32fast::Hasher::new();
        all.update(self.name.as_bytes());
        all.update(pieces(numbers, gang, |piece| crc32fast::hash(piece).to_le_bytes()).as_flattened());
        all.finalize().to_le_bytes()
    }
}

/// What `f` makes of the pieces of `bytes`, in order.
fn pieces<const N: usize>(bytes: &[u8], gang: &mut Gang, f: impl Fn(&[u8]) -> [u8; N] + Sync) -> Vec<[u8; N]> {
    let mut made = vec![[0; N]; bytes.len().div_ceil(PIECE)];
    gang.parallel_pieces(&mut made, 1, |i, made| made.fill(f(bytes.chunks(PIECE).nth(i).unwrap_or_default())));
    made
}

/// An operand in a kernel's own layout.
pub enum Packed {
    /// It is known before the run, but not packed yet.
    Awaited,
    /// Made before the run.
    Made(Arc<Numbers>),
    /// Made in every run, as the operand is not known before.
    Each,
}

impl Packed {
    /// What stands for an operand that is known before the run or not.
    pub fn of(known: bool) -> Packed {
        if known { Packed::Awaited } else { Packed::Each }
    }

    /// What was made before the run, or `None` if that is to be made in every run.
    ///
    /// # Errors
    /// [`Failed`] if it should have been made and was not.
    pub fn made(&self) -> Result<Option<&[f32]>, Failed> {
        match self {
            Packed::Made(block) => Ok(Some(block)),
            Packed::Each => Ok(None),
            Packed::Awaited => Err(Failed::Data("the kernel's constants are not packed".into())),
        }
    }

    /// Scratch elements for `len` packed ones.
    pub fn scratch(&self, len: usize) -> usize {
        if let Packed::Each = self { len } else { 0 }
    }
}
