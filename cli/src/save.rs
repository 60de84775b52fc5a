//! Files that a command writes: for real or not, with a bar where it takes long.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use mindir::store::{Disk, DryRun, Layer, Options, Watch};

/// From this many bytes on, a bar is shown.
const LONG: u64 = 64 << 20;

/// How a command writes and tells of it.
#[derive(Args, Debug, Clone)]
pub struct SaveArgs {
    /// Say what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl SaveArgs {
    /// Lets `save` write about `size` bytes.
    pub fn save<T>(&self, size: u64, save: impl FnOnce(Options) -> T) -> T {
        let bar = bar(size);
        let told = bar.clone();
        let layer: Arc<dyn Layer> = if self.dry_run { Arc::new(DryRun) } else { Arc::new(Disk) };
        let saved = save(Options { mode: None, layer, watch: Some(Watch(Arc::new(move |bytes| told.inc(bytes)))) });
        bar.finish_and_clear();
        saved
    }

    /// What was done to a file.
    pub fn verb(&self) -> &'static str {
        if self.dry_run { "would write" } else { "wrote" }
    }
}

fn bar(size: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() || size < LONG {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
