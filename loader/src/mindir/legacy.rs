//! The split layout of the first releases: the graph lists no weights, and every file of a folder is a graph of weights only.

use mindir_proto::mindir::GraphProto;

use super::schema::GRAPH;
use super::source::contents;
use super::wire;
use crate::crypto::Decryption;
use crate::error::{FileFault, LoadError};
use crate::files::{DataFiles, check_location};
use crate::limits::Limits;
use crate::report::LoadReport;

/// Adds the weights of all parameter files to `graph`, which has none. Returns whether there were such files.
pub(super) fn gather(
    name: &str,
    graph: &mut GraphProto,
    files: &dyn DataFiles,
    decryption: Option<&Decryption>,
    limits: &Limits,
    report: &mut LoadReport,
) -> Result<bool, LoadError> {
    let fail = |location: &str, fault| {
        let (file, location) = (name.to_string(), location.to_string());
        LoadError::DataFile { file, location, fault }
    };
    let locations = files.parameter_files().map_err(|fault| fail("*", fault))?;
    if locations.len() > limits.max_data_files {
        return Err(fail("*", FileFault::TooMany(limits.max_data_files)));
    }
    for location in &locations {
        let bytes =
            check_location(location).and_then(|()| files.open(location)).map_err(|fault| fail(location, fault))?;
        let bytes = contents(location, bytes, decryption)?;
        let mut part: GraphProto = wire::decode(location, &bytes, &GRAPH, limits, report)?;
        graph.parameter.append(&mut part.parameter);
        if (GraphProto { name: None, ..part }) != GraphProto::default() {
            let what = "a file of weights holds more than weights".to_string();
            return Err(LoadError::Structure { file: location.clone(), what });
        }
    }
    Ok(!locations.is_empty())
}
