//! `atlas report`.

use super::{Failure, run};
use crate::report::{Format, render};
use crate::store;
use std::io::Write;
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
}

const EXAMPLES: &str = "\
Examples:
  atlas report                             summary of the last run, for the terminal
  atlas report --html report.html          a page to look at
  atlas report --json - | jq .complete     for machines
  atlas report --markdown summary.md --junit junit.xml

The exit status is that of the run.";

pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    let report = store::load(&args.from)?;
    let outputs = [
        (&args.html, Format::Html),
        (&args.markdown, Format::Markdown),
        (&args.json, Format::Json),
        (&args.junit, Format::Junit),
    ];
    let mut wanted =
        outputs.into_iter().filter_map(|(path, format)| Some((path.as_deref()?, format))).peekable();
    if wanted.peek().is_none() {
        anstream::print!("{}", render(&report, Format::Terminal)?);
    }
    for (path, format) in wanted {
        write(path, &render(&report, format)?)?;
    }
    Ok(run::status(&report))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path == Path::new("-") {
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
