//! Tests of `openapi.json`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{DESCRIPTION, guarded, open};

#[test]
fn every_address_is_described_and_no_other() {
    let described: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let paths = described["paths"].as_object().unwrap();
    let verbs = |(path, methods): (&String, &Value)| {
        let path = path.clone();
        let methods: Vec<String> =
            methods.as_object().unwrap().keys().filter(|k| *k != "parameters").cloned().collect();
        methods.into_iter().map(move |method| (method, path.clone()))
    };
    let described: BTreeSet<(String, String)> = paths.iter().flat_map(verbs).collect();
    let place = |(method, path, _): &super::Place| (method.to_string(), path.to_string());
    let there: BTreeSet<(String, String)> = open().iter().chain(&guarded()).map(place).collect();
    assert_eq!(described, there);
}

#[test]
fn only_what_is_open_needs_no_token() {
    let described: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let needs_none: BTreeSet<&str> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, methods)| methods["get"]["security"] == serde_json::json!([]))
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(needs_none, open().iter().map(|(_, path, _)| *path).collect());
    assert_eq!(described["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_is_referred_to_is_there() {
    let described: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let mut waiting = vec![&described];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    assert!(described.pointer(to.trim_start_matches('#')).is_some(), "{to}");
                }
                waiting.extend(fields.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
}
