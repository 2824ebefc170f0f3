//! The command line of attractor.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
