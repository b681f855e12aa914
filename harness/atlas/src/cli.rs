//! The command line. Errors are one paragraph on standard error; exit statuses are 0 when nothing
//! deviates, 1 when something does, 2 for usage and environment.

mod bench;
mod check;
mod compiler;
mod diff;
mod each;
mod exit;
mod explain;
mod fuzz;
mod interrupt;
mod kernels;
mod out;
mod outputs;
mod place;
mod report;
mod resume;
mod run;
mod sweep;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit status when something deviates, crashed, hung or was not run.
const DEVIATES: u8 = 1;
/// Exit status for usage and environment.
const ENVIRONMENT: u8 = 2;

/// How Linux seccomp behaves on real kernels.
#[derive(Debug, Parser)]
#[command(name = "atlas", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  atlas kernels fetch                     fetch and boot the default kernels, once
  atlas run                               every case on every kernel, JIT on and off
  atlas run --kernel 6.12 --case errno    one theme on one kernel
  atlas sweep --example toy               a filter's map: every number, every ABI
  atlas explain profile.json              what a policy lets through, and why
  atlas check profile.json -- ./server    your policy and program, on every kernel
  atlas fuzz --for 10m                    random filters and calls against the model
  atlas report --html report.html         a page of the last run
  atlas diff old.json new.json            what changed between two runs

Exit status: 0 nothing deviates, 1 something deviates, crashed, hung or was not run, 2 usage or
environment.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the matrix: cases × kernels × JIT × ABI.
    Run(run::Args),
    /// Show what becomes of every number in every ABI behind one filter.
    Sweep(sweep::Args),
    /// Say what a filter lets through, and which instruction decides about a call.
    Explain(explain::Args),
    /// Hold a filter or policy of your own, and a program behind it, against the model on every kernel.
    Check(check::Args),
    /// Try properties on kernels: generated filters and calls against the model.
    Fuzz(fuzz::Args),
    /// Show the results of a run.
    Report(report::Args),
    /// Show what differs between two reports, or two kernels of one.
    Diff(diff::Args),
    /// Count the instructions that filters cost.
    Bench(bench::Args),
    /// List, fetch, verify, add and remove kernels.
    #[command(subcommand)]
    Kernels(kernels::Command),
}

/// Any failure, as a person reads it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::main(args),
        Command::Sweep(args) => sweep::main(&args),
        Command::Explain(args) => explain::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Fuzz(args) => fuzz::main(args),
        Command::Report(args) => report::main(args),
        Command::Diff(args) => diff::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Kernels(command) => kernels::main(command),
    };
    match done {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("atlas: {failure}");
            ExitCode::from(ENVIRONMENT)
        }
    }
}
