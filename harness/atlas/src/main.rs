//! `atlas`: how Linux seccomp behaves on real kernels.

use std::process::ExitCode;

fn main() -> ExitCode {
    seccomp_atlas::cli::main()
}
