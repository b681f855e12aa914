//! `atlas sweep`.

use super::compiler::{CompilerChoice, subject};
use super::each::{interrupted, on_each, teller};
use super::place::{Place, Ready};
use super::{DEVIATES, Failure};
use crate::cli::out::{say, sayln};
use crate::explain::call::parse_number;
use crate::sweep::example::Example;
use crate::sweep::{Leg, Order, on_kernel, text};
use atlas_model::Filter;
use atlas_model::sweep::Calls;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["filter", "example", "policy"]))]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
    /// The filter as the kernel takes it: records of eight bytes, as libseccomp exports them
    #[arg(long, value_name = "FILE")]
    filter: Option<PathBuf>,
    /// A built-in filter
    #[arg(long, value_enum)]
    example: Option<Example>,
    /// A policy or an OCI profile as JSON, such as docs/examples/policy.json
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Who makes the filter of the policy [default: linear]
    #[arg(long, value_enum, requires = "policy")]
    compiler: Option<CompilerChoice>,
    /// The six argument registers of every call, separated by commas [default: all 0]
    #[arg(long, value_name = "A,B,C,D,E,F", value_delimiter = ',', value_parser = register)]
    args: Vec<u64>,
    /// Do without PTRACE_O_SUSPEND_SECCOMP: every process that is killed costs an installation
    #[arg(long)]
    no_suspend: bool,
    /// How long one sweep may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  atlas sweep --example toy                           a few rules, on every default kernel
  atlas sweep --example forgetful --kernel 6.12       what slips through without a look at the arch
  atlas sweep --filter my.bpf --kernel 5.10 --jit on  your own filter
  atlas sweep --filter my.bpf --args 0,0x541b         with arguments that its rules look at
  atlas sweep --policy policy.json --compiler libseccomp
                                                      what a compiler makes of a policy
  atlas sweep --example runner --json | jq '.sweeps[] | {kernel, agrees, seconds}'

Asked for are the numbers from 0 to 1023, the same with the x32 bit, and the edges, by the syscall
instruction and by int 0x80. No call is carried out.

Exit status: 0 every kernel answers as the model says, 1 one does not, 2 usage or environment.";

fn register(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a register's value: decimal, or hexadecimal with 0x");
    parse_number(text).ok_or_else(wrong)
}

pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    let filter = filter(args)?;
    let mut registers = [0; 6];
    if args.args.len() > registers.len() {
        return Err(format!("a call has 6 arguments, and {} were given", args.args.len()).into());
    }
    registers[..args.args.len()].copy_from_slice(&args.args);
    let Ready { kernels, guests, stop } = args.place.ready()?;
    let order = Order {
        filter,
        calls: Calls::Every(registers),
        suspend: !args.no_suspend,
        jit: args.place.jit,
        limit: Duration::from_secs(args.limit.into()),
    };
    let tell = teller(args.quiet, &stop);
    let legs = on_each(&kernels, &stop, |kernel| on_kernel(kernel, &guests, &order, &tell));
    if args.json {
        let mut json = text::to_json(&legs);
        json["complete"] = (!stop.load(SeqCst)).into();
        sayln!("{}", serde_json::to_string_pretty(&json)?);
    } else {
        say!("{}", text::render(&legs));
    }
    if stop.load(SeqCst) {
        return Ok(interrupted(legs.iter().map(|leg| &leg.kernel), kernels.len()));
    }
    Ok(if legs.iter().all(Leg::agrees) { ExitCode::SUCCESS } else { ExitCode::from(DEVIATES) })
}

/// The filter that was asked for; one that no kernel takes is refused here.
fn filter(args: &Args) -> Result<Filter, Failure> {
    match args.filter.as_ref().or(args.policy.as_ref()) {
        Some(path) => Ok(subject(path, args.compiler)?.filter),
        None => Ok(args.example.unwrap_or(Example::Toy).filter()?),
    }
}
