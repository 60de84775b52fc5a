//! `docs/from-mindspore.md`: its commands print what stands there, and its Rust is the Rust below, which runs.
#![cfg(unix)]

use std::error::Error;
use std::path::Path;
use std::process::Command;

use mindir::ckpt::{self, CheckpointConfig, CheckpointManager, LoadOptions, Progress, ReadOptions, WriteOptions};
use mindir::crypto::{Decryption, Key};
use mindir::metrics::Classification;
use mindir::{Access, GraphCell, Options, Source, Tensor, npy, picture};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Blocks of the page between fences that name this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    let inside = |text: &str| text.split_once("\n```").map(|(block, _)| format!("{block}\n"));
    page.split(&start).skip(1).filter_map(inside).collect()
}

/// Whether what was printed is what stands there, where `…` is any word; numbers may be rounded in another way.
fn agree(printed: &str, stated: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
    let (printed, stated) = (words(printed), words(stated));
    let near = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-5 * b.abs(),
        _ => false,
    };
    printed.len() == stated.len() && printed.iter().zip(&stated).all(|(a, b)| b == "…" || a == b || near(a, b))
}

/// Runs the commands of a block in the current folder.
fn run(block: &str) {
    for example in format!("\n{block}").split("\n$ ").skip(1) {
        let (command, stated) = example.split_once('\n').unwrap_or((example, ""));
        let bin = Path::new(env!("CARGO_BIN_EXE_mindir")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let ended = Command::new("sh").args(["-c", command]).env("PATH", path).output().unwrap();
        let printed = String::from_utf8(ended.stdout).unwrap();
        assert!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
        assert!(agree(&printed, stated), "{command} prints\n{printed}\nand not\n{stated}");
    }
}

fn load_and_run() -> Result<(), Box<dyn Error>> {
    let cell = GraphCell::new(mindir::load("examples/digits/lenet5_dynamic_batch.mindir")?, Options::default())?;
    let picture = picture::read_upright("examples/digits/seven.png")?;
    let x = picture::tensor(&picture, &picture::Options::default(), &cell.inputs()[0].spec)?;
    let scores = cell.run(&[x])?[0].to_f64s()?;
    let best = (0..10).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    assert_eq!(best, Some(7));
    Ok(())
}

fn save_and_load() -> Result<GraphCell, Box<dyn Error>> {
    let mut cell = GraphCell::new(mindir::load("examples/digits/lenet5_dynamic_batch.mindir")?, Options::default())?;
    ckpt::write("lenet.ckpt", &cell.checkpoint(), &WriteOptions::default())?;
    let values = ckpt::read("lenet.ckpt", &ReadOptions::default())?;
    let loaded = cell.load_param_into_net(&values, LoadOptions::default())?;
    assert!(loaded.param_not_load.is_empty() && loaded.ckpt_not_load.is_empty());
    Ok(cell)
}

fn decrypt() -> Result<(), Box<dyn Error>> {
    let key = Key::new(b"0123456789ABCDEF")?;
    let source = Source::open("secret.mindir", Access::Map)?.with_decryption(Decryption::new(key));
    let secret = GraphCell::new(mindir::load_source(source)?.model, Options::default())?;
    assert_eq!(secret.inputs().len(), 1);
    Ok(())
}

fn evaluate(cell: &GraphCell) -> Result<(), Box<dyn Error>> {
    let images = npy::read("examples/digits/test_images.npy")?;
    let labels = npy::read("examples/digits/test_labels.npy")?.to_i64s()?;
    let pixels: Vec<f32> = images.view::<u8>()?.iter().map(|&x| f32::from(x) / 255.0).collect();
    let labels: Vec<usize> = labels.into_iter().map(|label| label as usize).collect();
    let mut counts = Classification::new(5);
    let scores = cell.run(&[Tensor::from_vec(images.shape(), pixels)?])?;
    counts.update(&scores[0], &labels)?;
    assert_eq!((counts.right(), counts.samples()), (353, 360));
    Ok(())
}

fn train(images: Tensor, labels: Tensor) -> Result<(), Box<dyn Error>> {
    let mut manager = CheckpointManager::new("own", "kept", CheckpointConfig::default())?;
    let step = GraphCell::new(mindir::load("examples/digits/train_step.mindir")?, Options::default())?;
    let mut run = manager.run(|| step.checkpoint());
    for at in 1..=2 {
        let loss = step.run(&[images.clone(), labels.clone()])?[0].to_f64s()?;
        println!("step {at}  loss {}", loss[0]);
        run.step_end(Progress::new(at, 2))?;
    }
    run.finish()?;
    Ok(())
}

#[test]
fn everything_on_the_page_runs() {
    let page = std::fs::read_to_string(root().join("docs/from-mindspore.md")).unwrap();
    let (commands, rust) = (blocks(&page, "text"), blocks(&page, "rust"));
    assert!(commands.len() >= 6 && rust.len() >= 5, "{} and {}", commands.len(), rust.len());
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("examples"), folder.path().join("examples")).unwrap();
    std::env::set_current_dir(&folder).unwrap();
    commands.iter().for_each(|block| run(block));

    load_and_run().unwrap();
    let cell = save_and_load().unwrap();
    decrypt().unwrap();
    evaluate(&cell).unwrap();
    train(Tensor::zeros(mindir::DType::F32, &[32, 1, 32, 32]).unwrap(), Tensor::vector(&[0i32; 32])).unwrap();
    assert!(Path::new("kept/own-1_2.ckpt").exists());

    let lines = |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let here = lines(include_str!("page.rs"));
    for block in rust {
        assert!(here.contains(&lines(&block)), "cli/tests/page.rs does not run\n{block}");
    }
}
