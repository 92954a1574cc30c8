//! The project's tasks, called through `cargo xtask`.

fn main() {}
