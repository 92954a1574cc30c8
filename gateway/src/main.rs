//! The command line of `health-gateway`.

fn main() {}
