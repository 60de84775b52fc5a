#!/usr/bin/env bash
# Builds what `run.py` needs on a machine with a GPU and without Rust, into target/device: the command, the suite, the
# tests of the devices, and the program that makes the networks. Stripped; they need a C library as new as this machine's.
set -euo pipefail
cd "$(dirname "$0")/../.."
packed=target/device
rm -rf "$packed"
mkdir -p "$packed"
features=mindir-cli/wgpu,mindir-kernels/wgpu,mindir-tests/wgpu,mindir-cli/cuda,mindir-kernels/cuda,mindir-tests/cuda
build() { cargo "$1" --release --workspace --features "$features" --message-format=json-render-diagnostics "${@:2}"; }

# The files that the build made: NAME PATH for each.
executables() { python3 -c '
import json, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable"):
        print(made["target"]["name"], made["executable"])
'; }

{
  build build --bin mindir --example networks
  build test --no-run --test suite --test cuda --test wgpu -p mindir-tests -p mindir-kernels
} | executables | while read -r name path; do
  # Tests of the kernels and of the runtime on wgpu have one name.
  to=$packed/$name
  [[ ! -e $to ]] || to=$packed/$name-2
  strip -o "$to" "$path"
done
pwd >"$packed/root"
ls -lh "$packed"
