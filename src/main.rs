//! The command line of attractor.

fn main() {}
