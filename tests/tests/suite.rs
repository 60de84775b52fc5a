//! Every case of the suite with every runner; `mindir_tests::suite` explains.

use mindir_tests::suite::{Runner, check, on_cuda};

#[test]
fn reference() {
    check(Runner::named("reference"));
}

#[test]
fn plain() {
    check(Runner::named("plain"));
}

#[test]
fn cpu() {
    check(Runner::named("cpu"));
}

#[test]
fn mindir() {
    check(Runner::named("mindir"));
}

#[test]
fn onnx() {
    check(Runner::named("onnx"));
}

#[test]
fn onnx_of_the_oldest_set() {
    check(Runner::named("onnx-old"));
}

/// Without the feature `wgpu` or an adapter this prints why and passes, unless `MINDIR_REQUIRE` names `wgpu`.
#[test]
fn wgpu() {
    match mindir::Options::default().on("wgpu") {
        Ok(_) => check(Runner::named("wgpu")),
        Err(e) => {
            let required = std::env::var("MINDIR_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|r| r == "wgpu"), "{e}");
            println!("wgpu: no case is run: {e}");
        }
    }
}

/// Without the feature `cuda` or g++ this prints why and passes, unless `MINDIR_REQUIRE` names `cuda`.
#[test]
fn cuda() {
    match on_cuda() {
        Ok(_) => check(Runner::named("cuda")),
        Err(e) => {
            let required = std::env::var("MINDIR_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|r| r == "cuda"), "{e}");
            println!("cuda: no case is run: {e}");
        }
    }
}
