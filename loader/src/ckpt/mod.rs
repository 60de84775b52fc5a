//! Checkpoints: the weights of a model and the state of its training, without the graph.
//!
//! [`Checkpoint`] is what a file holds, whatever its format: names in order, each with a tensor or a text. [`read()`] and
//! [`write()`] know the formats ([`Format`]); [`load_param_into_net`] puts the values into a model by MindSpore's rules.
//!
//! Reading maps the file and copies nothing: a tensor is copied when it is asked for ([`Array::tensor`]), and only if the
//! file does not keep it aligned in one piece. Writing goes through [`store`](crate::store), so a crash leaves the old file or
//! the new one.

mod apply;
mod background;
mod error;
mod file;
mod filter;
mod integrate;
mod manager;
mod messages;
mod names;
#[cfg(feature = "npy")]
mod npz;
mod safetensors;
mod shards;
mod text;
#[cfg(feature = "torch")]
mod torch;
mod value;

pub use apply::{Change, LoadOptions, Loaded, Misfit, Misfits, Source, Why, load_param_into_net};
pub use background::{SaveHandle, write_async};
pub use error::{CheckpointError, CrcFault, EntryFault};
pub use file::{Format, Kind, ReadOptions, WriteOptions, read, read_bytes, read_with_kind, write};
pub use filter::{Choice, Filter, NothingLeft};
pub use integrate::{IntegrateError, IntegrateFault};
pub use manager::{AppendInfo, CheckpointConfig, CheckpointManager, Choose, Clock, ConfigError, Progress, Run};
pub use names::{Names, NamesError, rename_norms};
pub use value::{Array, Checkpoint, OnSame, Value};
