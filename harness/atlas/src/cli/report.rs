//! `atlas report`.

use super::Failure;
use super::outputs::{Outputs, write};
use crate::cli::out::say;
use crate::merge::{Leg, merge};
use crate::report::{Format, Renderer as _, TerminalTimeline, render};
use crate::results::Report;
use crate::store;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where results are kept when nobody says otherwise.
pub(super) const RESULTS: &str = "atlas-results";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Directory that keeps the results
    #[arg(long, value_name = "DIR", default_value = RESULTS)]
    from: PathBuf,
    /// Merge the reports of legs instead: JSON reports, or directories that keep results
    #[arg(long, value_name = "REPORT", num_args = 1.., conflicts_with = "from")]
    merge: Vec<PathBuf>,
    /// Write one self-contained HTML page; - is standard output, here and below
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write JSON, of the schema in docs/report.schema.json
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write JUnit XML, one suite a kernel
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write KTAP, the format of the kernel's own tests
    #[arg(long, value_name = "FILE")]
    ktap: Option<PathBuf>,
    /// Print the timeline: feature × kernel, what happens without, what to do
    #[arg(long)]
    timeline: bool,
    #[command(flatten)]
    exit: super::exit::ExitArgs,
}

const EXAMPLES: &str = "\
Examples:
  atlas report                             summary of the last run, for the terminal
  atlas report --timeline                  what each kernel lacks, and what to do
  atlas report --html report.html          a page to look at
  atlas report --json - | jq .complete     for machines
  atlas report --markdown summary.md --junit junit.xml
  atlas report --merge leg-*.json --html report.html
                                           one page of several runs
  atlas report --fail-on known-bug         the bugs that are still there, by name

The exit status is that of the run, but for what --fail-on says; of several, 0 when nothing deviates
and no shard is missing.";

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let judge = args.exit.judge()?;
    let mut report = if args.merge.is_empty() { store::load(&args.from)? } else { merged(&args.merge)? };
    let status = judge.put(&mut report);
    let outputs = [
        (&args.html, Format::Html),
        (&args.markdown, Format::Markdown),
        (&args.json, Format::Json),
        (&args.junit, Format::Junit),
        (&args.ktap, Format::Ktap),
    ];
    if outputs.iter().filter(|(path, _)| path.as_deref() == Some(Path::new("-"))).count() > 1 {
        return Err("standard output takes one report: give the others files".into());
    }
    let _outputs = Outputs::open(outputs.iter().filter_map(|(path, _)| path.as_ref()))?;
    let mut wanted =
        outputs.into_iter().filter_map(|(path, format)| Some((path.as_deref()?, format))).peekable();
    if args.timeline {
        say!("{}", TerminalTimeline { color: true }.render(&report)?);
    } else if wanted.peek().is_none() {
        say!("{}", render(&report, Format::Terminal)?);
    }
    for (path, format) in wanted {
        write(path, &render(&report, format)?)?;
    }
    Ok(status)
}

/// One report of several; what it lacks is said on standard error.
fn merged(paths: &[PathBuf]) -> Result<Report, Failure> {
    let legs: Result<Vec<Leg>, _> = paths.iter().map(|path| Leg::read(path)).collect();
    let merged = merge(legs?)?;
    for lack in &merged.missing {
        eprintln!("atlas: {lack}");
    }
    Ok(merged.report)
}
