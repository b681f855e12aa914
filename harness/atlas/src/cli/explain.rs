//! `atlas explain`.

use super::Failure;
use super::compiler::{CompilerChoice, subject};
use crate::cli::out::{say, sayln};
use crate::explain::call::Asked;
use crate::explain::{Explained, Subject, text};
use crate::sweep::example::Example;
use atlas_model::bpf;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["file", "example"]))]
pub(super) struct Args {
    /// A filter as the kernel takes it, an OCI or Docker profile, or a policy
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A built-in filter
    #[arg(long, value_enum)]
    example: Option<Example>,
    /// Calls to explain [default: the whole filter]
    #[arg(long = "call", short, allow_hyphen_values = true, value_name = "[ABI:]NAME[(A,B,…)]")]
    calls: Vec<Asked>,
    /// Who makes the filter of a policy [default: linear]
    #[arg(long, value_enum, conflicts_with = "example")]
    compiler: Option<CompilerChoice>,
    /// The program alone, disassembled
    #[arg(long, conflicts_with_all = ["calls", "json"])]
    disassemble: bool,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  atlas explain profile.json                           what a profile lets through, and what to know
  atlas explain my.bpf --call openat                   what becomes of a call, and why
  atlas explain my.bpf --call 'clone(0x10000000)'      of a call with these arguments
  atlas explain my.bpf -c i386:open -c x32:ptrace -c 1023
  atlas explain profile.json --compiler libseccomp --disassemble
  atlas explain my.bpf --call ioctl --json | jq '.calls[].ways[] | {action, conditions}'

No kernel is asked: `atlas sweep` and `atlas check` hold kernels against the same answers.

Exit status: 0, or 2 for usage and environment.";

pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    let subject = match (&args.file, args.example) {
        (Some(path), _) => subject(path, args.compiler)?,
        (None, example) => {
            let filter = example.unwrap_or(Example::Toy).filter()?;
            Subject { name: "the example".into(), filter, compiler: None, policy: None, notes: vec![] }
        }
    };
    if args.disassemble {
        say!("{}", bpf::disassemble(&subject.filter));
        return Ok(ExitCode::SUCCESS);
    }
    let explained: Vec<Explained> = args.calls.iter().map(|asked| subject.explain(asked)).collect();
    let map = explained.is_empty().then(|| subject.map());
    if args.json {
        let json = text::to_json(&subject, &explained, map.as_ref());
        sayln!("{}", serde_json::to_string_pretty(&json)?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", text::head(&subject));
    for explained in &explained {
        say!("\n{}", text::call(&subject, explained));
    }
    if let Some(map) = map {
        say!("{}", text::whole(&subject, &map));
    }
    Ok(ExitCode::SUCCESS)
}
