//! What the wgpu device declines. That it computes the right thing is the suite's business.
//!
//! Without an adapter the tests print why and pass, unless `MINDIR_REQUIRE` names `wgpu`.
#![cfg(feature = "wgpu")]

use mindir::{Error, Fact, Fallback, GraphCell, Options};
use mindir_tests::golden::{self, Golden};

/// A cell on wgpu; `None` if there is no adapter and none is required.
fn cell(golden: &Golden, fallback: Fallback) -> Option<GraphCell> {
    let model = mindir::load(&golden.graph).expect("the golden loads");
    let options = Options { fallback, ..Options::default() }.on("wgpu");
    match options.and_then(|options| GraphCell::new(model, options)) {
        Ok(cell) => Some(cell),
        Err(e @ Error::NoDevice { .. }) => {
            let required = std::env::var("MINDIR_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|r| r == "wgpu"), "{e}");
            println!("skipped: {e}");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

fn golden(name: &str) -> Golden {
    golden::read(&golden::folder().join(name))
}

fn facts(golden: &Golden) -> Vec<Fact> {
    golden.runs[0].inputs.iter().map(mindir::Tensor::fact).collect()
}

#[test]
fn copies_and_refusals_are_visible() {
    let g = golden("lenet5");
    let Some(cell) = cell(&g, Fallback::Allow) else { return };
    let plan = cell.plan(&facts(&g)).expect("LeNet-5 plans");
    let stages = plan.stages();
    let on = |device: &str| stages.iter().filter(|s| s.device == device).count();
    assert!(on("wgpu") > 0 && on("cpu") > 0, "{stages:?}");
    assert!(stages.iter().filter(|s| s.device == "wgpu").all(|s| s.upload > 0 && s.download > 0));
    let convolutions = stages.iter().flat_map(|s| &s.steps).filter(|s| s.family == "conv");
    for step in convolutions {
        let reason = &step.declined.first().expect("wgpu was asked first").reason;
        assert!(reason.contains("convolution"), "{reason}");
    }
}

#[test]
fn deny_names_every_declined_node() {
    let g = golden("lenet5");
    let Some(cell) = cell(&g, Fallback::Deny) else { return };
    let error = cell.run(&g.runs[0].inputs).expect_err("LeNet-5 has convolutions");
    let text = error.to_string();
    assert_eq!(text.matches("Conv2D").count() / 2, 2, "{text}");
    assert!(text.contains("there is no shader of convolutions"), "{text}");
}
