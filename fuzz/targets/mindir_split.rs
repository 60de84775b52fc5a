//! A model with one file that serves as data file and as file of weights. The first two bytes give the size of the model.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mindir_loader::{
    DataFiles, FileFault, Limits,
    mindir::{Source, WireModel},
};

struct OneFile(Bytes);

impl DataFiles for OneFile {
    fn open(&self, _location: &str) -> Result<Bytes, FileFault> {
        Ok(self.0.clone())
    }

    fn parameter_files(&self) -> Result<Vec<String>, FileFault> {
        Ok(vec!["net_variables/data_1".to_string()])
    }
}

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(input: &[u8]) {
    let Some((size, rest)) = input.split_first_chunk::<2>() else { return };
    let size = usize::from(u16::from_le_bytes(*size)).min(rest.len());
    let (graph, data) = rest.split_at(size);
    let source = Source::from_bytes("fuzz", graph.to_vec()).with_files(OneFile(data.to_vec().into()));
    let _ = WireModel::read(source, &Limits::default()).map_err(|e| e.to_string());
}
