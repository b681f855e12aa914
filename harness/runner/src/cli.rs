//! The command line: arguments in, an evaluation, its outcome on the two streams and in the status.

mod forbidden;
mod person;
mod source;
mod status;
#[cfg(feature = "raw-syscall")]
mod syscall;
mod units;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Parser};
use mruby_runner::{Error, Limits, Outcome, Policy, Request, Sandbox};
use status::Status;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Run untrusted Ruby behind a seccomp filter.
///
/// What the code printed goes to standard output first, as it is; then, on a line of its own, its last
/// expression's value by `inspect`. All else is said on standard error.
#[derive(Debug, Parser)]
#[command(name = "mruby-runner", version, max_term_width = 100)]
#[command(after_help = status::HELP, after_long_help = status::LONG_HELP)]
#[command(group(ArgGroup::new("code-from").args(["file", "execute"])))]
struct Cli {
    /// The code; `-`, and no FILE and no -e, for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Code; several are joined by newlines
    #[arg(short = 'e', value_name = "CODE", allow_hyphen_values = true)]
    execute: Vec<OsString>,
    /// A JSON value that the code finds in INPUT
    #[arg(long, value_name = "JSON", conflicts_with = "input_file", allow_hyphen_values = true)]
    input: Option<String>,
    /// A file with that value; `-` for standard input
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,
    /// Makes random numbers repeatable: 0 to 2^62 - 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 62))]
    seed: Option<u64>,

    /// Which calls the worker may make, and what becomes of it at any other
    #[arg(long, default_value = "strict", value_parser = policies())]
    policy: Policy,
    /// Print the policy: its rules with their reasons, and its program. Nothing is run
    #[arg(long, conflicts_with_all = ["code-from", "json", "input", "input_file"])]
    explain: bool,
    /// Give the code `syscall(number, ...)`, which makes a system call in the worker: it returns what the
    /// kernel does, or an errno negated. For trying a policy
    #[cfg(feature = "raw-syscall")]
    #[arg(long, hide = true)]
    syscall: bool,

    /// Print the whole outcome as one JSON object, or {"error": "..."} where nothing was run
    #[arg(long)]
    json: bool,
    /// Do not print the value
    #[arg(long, visible_alias = "quiet-value", conflicts_with = "json")]
    no_value: bool,

    #[command(flatten)]
    limits: LimitArgs,
}

/// What the evaluation may use.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Wall-clock time: 1ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::wall)]
    wall: Duration,
    /// Processor time: 1ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::cpu)]
    cpu: Duration,
    /// Memory of the interpreter: 2M to 4G
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = units::memory)]
    memory: usize,
    /// Output, and as much each for the value, its JSON and an exception: 0 to 1G
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = units::output)]
    output: usize,
    /// Code and input together: 1 to 64M
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = units::code)]
    code: usize,
    /// Instructions of the interpreter: 1 to 2^63
    #[arg(long, value_name = "COUNT", default_value = "1e9", value_parser = units::instructions)]
    instructions: u64,
    /// Nested calls: 1 to 1e6
    #[arg(long, value_name = "COUNT", default_value = "10000", value_parser = units::depth)]
    depth: usize,
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        let Self { wall, cpu, memory, output, code, instructions, depth } = *self;
        let mut limits = Limits::default();
        (limits.wall, limits.cpu, limits.memory, limits.output) = (wall, cpu, memory, output);
        (limits.code, limits.instructions, limits.depth) = (code, instructions, depth);
        limits
    }
}

fn policies() -> impl TypedValueParser<Value = Policy> {
    let known = Policy::ALL.map(|policy| {
        PossibleValue::new(policy.name()).help(match policy {
            Policy::Strict => "read and write on the worker's two pipes, and exit; any other call ends it",
            Policy::Diagnose => "the same calls; any other is named, and then ends it",
            Policy::Mode1 => "seccomp's strict mode: read, write, exit and sigreturn",
            Policy::Base => "the first sample of the 2013 tutorial, behind which nothing runs",
            Policy::Sample => "the second one: a few calls, read and write on given descriptors",
        })
    });
    PossibleValuesParser::new(known).try_map(|name| name.parse::<Policy>())
}

/// What kept the code from being run.
#[derive(Debug)]
struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Self {
        Self { status: Status::Usage, message: message.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: Status::of_error(&error), message: error.to_string() }
    }
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let done = if cli.explain { explain(&cli) } else { run(&cli) };
    let status = done.unwrap_or_else(|failure| refuse(&failure, cli.json));
    status.into()
}

/// A command line that is none, or one that asks for help.
fn misused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if error.use_stderr() && json {
        let message = error.to_string();
        // What follows the first paragraph is advice for people.
        let first = message.split("\n\n").next().unwrap_or_default();
        return refuse(&Failure::usage(first.strip_prefix("error: ").unwrap_or(first)), true).into();
    }
    if !error.use_stderr() {
        let help = error.render().ansi().to_string();
        let mut stdout = anstream::stdout().lock();
        let written = stdout.write_all(help.as_bytes()).and_then(|()| stdout.flush());
        return told(written, Status::Value).into();
    }
    // Who does not hear it has the status.
    let _ = error.print();
    Status::Usage.into()
}

fn refuse(failure: &Failure, json: bool) -> Status {
    if json {
        let object = serde_json::json!({ "error": failure.message });
        return print(format!("{object}\n").as_bytes(), failure.status);
    }
    person::say(&person::refusal(&failure.message));
    failure.status
}

fn explain(cli: &Cli) -> Result<Status, Failure> {
    Ok(print(cli.policy.explain()?.as_bytes(), Status::Value))
}

fn run(cli: &Cli) -> Result<Status, Failure> {
    let limits = cli.limits.limits();
    let (code, input) = source::read(cli, limits.code)?;
    let builder = Sandbox::builder().policy(cli.policy).limits(limits.clone());
    #[cfg(feature = "raw-syscall")]
    let builder = if cli.syscall { builder.native("syscall", syscall::make) } else { builder };
    let mut request = Request::new(&code).input_text(input);
    if let Some(seed) = cli.seed {
        // The runner looks at the upper 62 bits.
        request = request.seed(seed << 2);
    }
    let outcome = builder.build()?.eval(request)?;
    let status = Status::of_ending(&outcome.ending);
    if cli.json {
        let json = serde_json::to_string(&outcome).map_err(|error| Failure::usage(error.to_string()))?;
        return Ok(print(format!("{json}\n").as_bytes(), status));
    }
    let status = print(&shown(&outcome, !cli.no_value), status);
    person::say(&person::diagnosis(&outcome.ending, cli.policy, &limits, &code));
    Ok(status)
}

/// What goes to standard output: the code's own output, then its value on a line of its own.
fn shown(outcome: &Outcome, value: bool) -> Vec<u8> {
    let mut bytes = outcome.stdout.clone();
    if let Some(inspect) = outcome.value().filter(|_| value) {
        if bytes.last().is_some_and(|last| *last != b'\n') {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(inspect.as_bytes());
        bytes.push(b'\n');
    }
    // A terminal obeys what it is shown, and shows what follows; a pipe gets the bytes as they are.
    if io::stdout().is_terminal() {
        if bytes.last().is_some_and(|last| *last != b'\n') {
            bytes.push(b'\n');
        }
        return person::plain(&String::from_utf8_lossy(&bytes)).into_bytes();
    }
    bytes
}

/// Writes to standard output. A reader that has gone away is no error.
fn print(bytes: &[u8], status: Status) -> Status {
    let mut stdout = io::stdout().lock();
    told(stdout.write_all(bytes).and_then(|()| stdout.flush()), status)
}

/// The status where this came of writing to standard output. A reader that has gone away wants no more.
fn told(written: io::Result<()>, status: Status) -> Status {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            person::say(&person::refusal(&format!("standard output: {error}")));
            Status::Unwritten
        }
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_in_order_and_the_defaults_are_the_librarys() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["mruby-runner"]).unwrap();
        assert_eq!(cli.limits.limits(), Limits::default());
        assert_eq!(cli.policy, Policy::default());
    }
}
