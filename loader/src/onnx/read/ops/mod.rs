//! What ONNX's operators are in MindSpore's: one function for each, in tables by kind.

mod einsum;
mod element;
mod image;
mod layer;
mod recurrent;
mod reduce;
mod select;
mod shape;

use super::import::{Call, Import, Steps};

/// Builds the nodes of one operator and gives its results.
pub(super) type Build = fn(&mut Import, &Call) -> Steps;

/// An operator's name and how it is built.
type Row = (&'static str, Build);

const TABLES: [&[Row]; 8] =
    [einsum::OPS, element::OPS, image::OPS, layer::OPS, recurrent::OPS, reduce::OPS, select::OPS, shape::OPS];

/// How to build the operator `op` of a domain.
pub(super) fn find(domain: &str, op: &str) -> Option<Build> {
    // ONNX Runtime writes a few of ONNX's own operators into its own domain.
    let own = matches!(domain, "" | "ai.onnx") || (domain == "com.microsoft" && matches!(op, "Gelu"));
    let row = TABLES.iter().flat_map(|t| t.iter()).find(|row| row.0 == op)?;
    own.then_some(row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_listed_once_and_in_order() {
        let mut seen = std::collections::HashSet::new();
        for table in TABLES {
            assert!(table.iter().all(|row| seen.insert(row.0)));
            assert!(table.is_sorted_by_key(|row| row.0), "{:?}", table.iter().map(|r| r.0).collect::<Vec<_>>());
        }
        assert!(find("", "Conv").is_some() && find("ai.onnx.ml", "Conv").is_none() && find("", "Nothing").is_none());
    }
}
