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
            assert_eq!(printed, output, "{command}");
        }
    }
}
