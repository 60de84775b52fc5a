//! README's examples print what stands there.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

/// Instruction sets, which a machine has or has not.
const MACHINE: [&str; 3] = ["avx2", "avx512", "neon"];

/// A command of README and what it prints there.
struct Example {
    command: String,
    output: String,
}

fn examples(text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```text" && !inside;
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            found.push(Example { command: command.into(), output: String::new() });
        } else if let Some(example) = found.last_mut().filter(|_| inside) {
            example.output.push_str(line);
            example.output.push('\n');
        }
    }
    found.into_iter().filter(|example| example.command.starts_with("mindir ")).collect()
}

/// Whether texts are equal, but for the last digits of fractions, which processors round each in their way.
fn agree(printed: &str, stated: &str) -> bool {
    let words = |text: &str| text.split([' ', ',', '[', ']']).map(str::to_string).collect::<Vec<_>>();
    let (printed, stated) = (words(printed), words(stated));
    let fraction = |word: &str| word.contains('.').then(|| word.trim().parse::<f64>().ok()).flatten();
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-5 * b.abs();
    printed.len() == stated.len()
        && printed
            .iter()
            .zip(&stated)
            .all(|(a, b)| a == b || fraction(a).zip(fraction(b)).is_some_and(|(a, b)| near(a, b)))
}

#[test]
fn examples_print_what_stands_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["examples", "tests", "loader"] {
        std::os::unix::fs::symlink(root.join(name), folder.path().join(name)).unwrap();
    }
    let examples = examples(&std::fs::read_to_string(root.join("README.md")).unwrap());
    assert!(examples.len() > 10, "{} examples", examples.len());
    for Example { command, output } in examples {
        let args = command.split(' ').skip(1);
        let ended = Command::new(env!("CARGO_BIN_EXE_mindir")).args(args).current_dir(folder.path()).output().unwrap();
        let printed = String::from_utf8(ended.stdout).unwrap();
        let code = match output.as_str() {
            output if output.contains("\"exit_code\": 2") => 2,
            output if output.contains("differ") => 1,
            _ => 0,
        };
        assert_eq!(ended.status.code(), Some(code), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
        if !MACHINE.iter().any(|isa| output.contains(isa)) {
            assert!(agree(&printed, &output), "{command} prints\n{printed}\nand not\n{output}");
        }
    }
}
