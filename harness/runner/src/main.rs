//! `mruby-runner`: untrusted Ruby behind a seccomp filter, from the command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
