//! The `mindir` command.

fn main() {}
