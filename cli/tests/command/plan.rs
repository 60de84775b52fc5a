use std::fs;

use mindir::builder::Builder;
use mindir::{DType, Spec};

use super::{digits, mindir, model, written};

#[test]
fn steps_name_kernels_and_places() {
    mindir(["plan", &digits("lenet5.mindir")]).with(0).says(&[
        "stage 0 on cpu",
        "kernel",
        "Conv2D",
        "scratch",
        "result",
    ]);
}

#[test]
fn passes_explain_themselves() {
    let text = mindir(["plan", &digits("lenet5.mindir"), "--why"]).with(0).stdout;
    assert!(text.contains("applied"), "{text}");
}

#[test]
fn less_precision_is_a_pass() {
    let lenet = digits("lenet5.mindir");
    let f32 = mindir(["plan", &lenet, "--why"]).with(0).stdout;
    assert!(!f32.contains("bf16"), "{f32}");
    let said = mindir(["plan", &lenet, "--why", "--precision", "bf16"]).with(0);
    said.says(&["operands are rounded to bf16", "Conv2D+ReLU", "Cast", "-bf16-"]);
}

#[test]
fn json_has_steps_and_notes() {
    let json = mindir(["plan", &digits("lenet5.mindir"), "--json"]).with(0).json();
    let steps = json["stages"][0]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|s| s["family"] == "conv"), "{json:#}");
    assert_eq!(json["inputs"][0], "f32 [1, 1, 32, 32]");
    assert!(!json["notes"].as_array().unwrap().is_empty());
    let flops: u64 = steps.iter().map(|s| s["flops"].as_u64().unwrap()).sum();
    assert_eq!(json["flops"].as_u64().unwrap(), flops);
}

#[test]
fn open_shapes_must_be_given() {
    mindir(["plan", &model("cnn_dynamic")]).with(2).complains(&["--shape"]);
    mindir(["plan", &model("cnn_dynamic"), "--shape", "2,3,16,16"]).with(0).says(&["f32 [2,"]);
}

#[test]
fn plans_say_where_they_stop() {
    mindir(["plan", &model("cf_while")]).with(0).says(&["planned 0 of 1 nodes: Call ", "calls a graph"]);
    let json = mindir(["plan", &model("cf_while"), "--json"]).with(0).json();
    assert_eq!(json["stops"]["nodes"], 1);
}

/// The page that is written for a model.
fn page(model: &str, more: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.html");
    let args = ["plan", model, "--html", path.to_str().unwrap()].into_iter().chain(more.iter().copied());
    mindir(args).with(0).says(&["wrote", "out.html"]);
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_page_shows_graph_modules_memory_and_passes() {
    let html = page(&digits("lenet5.mindir"), &[]);
    for part in [
        "<!DOCTYPE html>",
        "<h2>Graph</h2>",
        "<h2>Modules</h2>",
        "<h2>Memory</h2>",
        "<h2>What the passes did</h2>",
        "conv1-Conv2d",
        "Conv2D+ReLU",
        "igemm",
        "240 kFLOP",
        "0..18816",
        "applied",
    ] {
        assert!(html.contains(part), "no {part:?} in {html}");
    }
    // Nothing comes from elsewhere, and nothing runs.
    let text = html.replace("http://www.w3.org/2000/svg", "");
    for part in ["http:", "https:", "<script", "src=", "@import", "url("] {
        assert!(!text.contains(part), "{part:?} in {html}");
    }
    // Every step of the second on reads the one before.
    assert_eq!(html.matches("class=\"edge\"").count(), 7, "{html}");
    for tag in ["svg", "details", "table", "g", "summary"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        let opened =
            html.match_indices(&open).filter(|(at, _)| !html[at + open.len()..].starts_with(char::is_alphanumeric));
        assert_eq!(opened.count(), html.matches(&close).count(), "{tag}");
    }
}

#[test]
fn a_page_has_what_was_measured() {
    let html = page(&digits("lenet5.mindir"), &["--measure"]);
    for part in ["a run; this machine reaches", "% of peak", "% of arithmetic", "GFLOP/s", "of the time"] {
        assert!(html.contains(part), "no {part:?} in {html}");
    }
    mindir(["plan", &digits("lenet5.mindir"), "--measure"]).with(2).complains(&["--html"]);
    page(&model("cf_while"), &[]);
}

#[test]
fn names_cannot_break_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut b = Builder::new("net");
    let x = b.input("<script>alert('x')</script>&\"", Spec::fixed(DType::F32, &[2]));
    let y = b.op("Exp", [x.into()]).unwrap();
    let html = page(&written(&dir, &b.finish(&[y])), &[]);
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{html}");
}
