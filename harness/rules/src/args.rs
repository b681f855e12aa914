//! The command line.

use atlas_rules::{Error, Options, Tenant};
use clap::Parser;
use mruby_runner::Policy;
use std::path::PathBuf;
use std::time::Duration;

/// Every tenant's untrusted Ruby rule decides on every event; no rule can hurt another's decisions.
///
/// Events are JSON objects, one a line. A rule is a Ruby file with `def decide(event)`, which returns
/// :accept, :reject, [:tag, "name"] or {change: event}. Verdicts go to standard output as JSON lines, in
/// the order of events and of tenants; the summary goes to standard error.
#[derive(Debug, Parser)]
#[command(name = "rules", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A tenant and the file with its rule; once for each tenant.
    #[arg(long = "tenant", value_name = "NAME=FILE.rb", required = true)]
    tenants: Vec<String>,
    /// Where the events are; - is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) events: PathBuf,
    /// Strikes until a tenant is quarantined.
    #[arg(long, value_name = "N", default_value_t = 3)]
    strikes: u32,
    /// Events in one evaluation, at most; 1 makes a rule's state exact.
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch: usize,
    /// Bytes of a line, at most, and of a changed event.
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = size)]
    line: usize,
    /// Wall-clock time for one event.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    wall: Duration,
    /// Processor time for one event.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    cpu: Duration,
    /// Memory of a rule's interpreter.
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = size)]
    memory: usize,
    /// Bytes that a rule may print for one event (they are dropped), and bytes of its answer.
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = size)]
    output: usize,
    /// Instructions of the interpreter for one event.
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000)]
    instructions: u64,
    /// Nested Ruby calls.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    depth: usize,
    /// The rules' filter: strict, or diagnose, which names forbidden calls.
    #[arg(long, default_value = "strict", value_parser = policy)]
    policy: Policy,
    /// Write the summary as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  rules --tenant acme=acme.rb --events events.jsonl
  tail -f app.log | rules --tenant acme=acme.rb --tenant bolt=bolt.rb --wall 50ms --strikes 5
  rules --tenant acme=acme.rb --policy diagnose --json < events.jsonl > verdicts.jsonl

Times are such as 50ms, 2s or \"1s 500ms\"; sizes such as 4096, 64K or 16MiB.

Exit status: 0 all tenants are in good standing, 1 some tenant was quarantined, 2 wrong usage, or the
engine could not work.";

impl Args {
    /// The options. What is out of range is the engine's to refuse.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        (options.strikes, options.batch, options.line) = (self.strikes, self.batch, self.line);
        options.policy = self.policy;
        let limits = &mut options.limits;
        (limits.wall, limits.cpu, limits.memory) = (self.wall, self.cpu, self.memory);
        (limits.output, limits.instructions, limits.depth) = (self.output, self.instructions, self.depth);
        // A long line and a full batch both have room.
        limits.code = limits.code.max(self.line.saturating_mul(2));
        options
    }

    /// The tenants, their rules read.
    pub(crate) fn tenants(&self) -> Result<Vec<Tenant>, String> {
        let tenant = |given: &String| {
            let (name, file) =
                given.split_once('=').ok_or_else(|| format!("--tenant {given}: NAME=FILE.rb is wanted"))?;
            let code =
                std::fs::read_to_string(file).map_err(|error| format!("tenant {name}: {file}: {error}"))?;
            Tenant::new(name, code).map_err(|error: Error| error.to_string())
        };
        self.tenants.iter().map(tenant).collect()
    }
}

fn policy(name: &str) -> Result<Policy, String> {
    match name.parse() {
        Ok(policy @ (Policy::Strict | Policy::Diagnose)) => Ok(policy),
        _ => Err("strict or diagnose".into()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; a time is such as 50ms or 2s"))
}

fn size(text: &str) -> Result<usize, String> {
    let bytes = parse_size::Config::new().with_binary().parse_size(text);
    let bytes = bytes.map_err(|error| format!("{error}; a size is such as 4096, 64K or 16M"))?;
    usize::try_from(bytes).map_err(|_| "that is too large".into())
}
