//! Dependencies are as `deny.toml` has them, and none needs a newer Rust than the workspace promises.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};

/// All that the lock file has, with all features, on all platforms.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    let told = cargo.args(["metadata", "--locked", "--all-features", "--format-version=1"]).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    told["packages"].as_array().unwrap().clone()
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

fn policy() -> toml::Table {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deny.toml");
    std::fs::read_to_string(file).unwrap().parse().unwrap()
}

#[test]
fn licences_are_allowed() {
    let policy = policy();
    let allowed = policy["licenses"]["allow"].as_array().unwrap();
    for package in packages() {
        let stated = Expression::parse_mode(text(&package, "license"), ParseMode::LAX);
        let stated = stated.unwrap_or_else(|e| panic!("{}: {e}", text(&package, "name")));
        let has = |id: &str| allowed.iter().any(|known| known.as_str() == Some(id));
        let holds = stated.evaluate(|wanted| has(&wanted.to_string()));
        assert!(holds, "{}: {stated}", text(&package, "name"));
    }
}

#[test]
fn all_come_from_one_registry() {
    let packages = packages();
    let sources: BTreeSet<&str> = packages.iter().map(|package| text(package, "source")).collect();
    let others: Vec<&&str> = sources.iter().filter(|source| !source.is_empty()).collect();
    assert!(others.len() == 1 && others[0].starts_with("registry+"), "{others:?}");
}

#[test]
fn there_is_one_version_of_each_but_for_those_that_are_listed() {
    let policy = policy();
    let skipped = policy["bans"]["skip"].as_array().unwrap();
    let skips = |name: &str, version: &str| {
        skipped.iter().any(|skip| {
            skip["name"].as_str() == Some(name)
                && version.starts_with(&format!("{}.", skip["version"].as_str().unwrap()))
        })
    };
    let mut versions = BTreeMap::<String, Vec<String>>::new();
    for package in packages() {
        versions.entry(text(&package, "name").into()).or_default().push(text(&package, "version").into());
    }
    let (one, more): (Vec<_>, Vec<_>) = versions.iter().partition(|(_, all)| all.len() == 1);
    for (name, all) in &more {
        assert!(all.iter().filter(|version| !skips(name, version)).count() == 1, "{name}: {all:?}");
    }
    assert!(one.iter().all(|(name, all)| !skips(name, &all[0])), "deny.toml skips what stands once");
    let names: BTreeSet<_> = skipped.iter().map(|skip| skip["name"].as_str()).collect();
    assert_eq!(more.len(), names.len(), "{more:?}");
}

#[test]
fn none_needs_a_newer_rust() {
    let release =
        |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).chain([0]).take(3).collect() };
    let promised = release(env!("CARGO_PKG_RUST_VERSION"));
    for package in packages() {
        let Some(needed) = package["rust_version"].as_str() else { continue };
        assert!(release(needed) <= promised, "{} needs Rust {needed}", text(&package, "name"));
    }
}
