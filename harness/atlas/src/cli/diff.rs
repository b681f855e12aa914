//! `atlas diff`.

use super::{DEVIATES, Failure};
use crate::cli::out::{say, sayln};
use crate::diff::{Diff, VerdictChange, diff, only};
use crate::read::read;
use crate::results::Report;
use crate::results::Row;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The first report: JSON, or a directory of results
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The second report
    #[arg(value_name = "B", required_unless_present = "kernels")]
    b: Option<PathBuf>,
    /// Two kernels of one report instead of two reports
    #[arg(long, value_name = "KERNEL", num_args = 2, conflicts_with = "b")]
    kernels: Vec<String>,
    /// Write JSON to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  atlas diff old.json new.json                        two runs
  atlas diff old.json atlas-results --json            a file and a directory of results
  atlas diff new.json --kernels 6.12 7.3              two kernels of one run

Exit status: 0 nothing differs, 1 something does, 2 usage and environment.";

pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    let first = read(&args.a)?;
    let (a, b) = match (&args.b, args.kernels.as_slice()) {
        (Some(b), _) => (first, read(b)?),
        (None, [one, other]) => {
            let name = format!("{one} → {other}");
            (kernel(&first, one, &name)?, kernel(&first, other, &name)?)
        }
        (None, _) => return Err("give two reports, or one and --kernels".into()),
    };
    let found = diff(&a, &b);
    if args.json {
        sayln!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        say!("{}", text(&found));
    }
    Ok(if found.same() { ExitCode::SUCCESS } else { ExitCode::from(DEVIATES) })
}

fn kernel(report: &Report, kernel: &str, name: &str) -> Result<Report, Failure> {
    only(report, kernel, name).ok_or_else(|| {
        let names: Vec<&str> = report.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        format!("the report has no kernel {kernel}; it has {}", names.join(", ")).into()
    })
}

/// What differs, for people: a paragraph a kind.
fn text(diff: &Diff) -> String {
    if diff.same() {
        return "nothing differs\n".into();
    }
    let row = |row: &Row| row.to_string();
    let verdict = |change: &VerdictChange| {
        let side = |verdict: crate::results::Verdict, quirks: &[String]| match quirks {
            [] => verdict.name().to_owned(),
            quirks => format!("{} by {}", verdict.name(), quirks.join(", ")),
        };
        let (from, to) = (side(change.from, &change.from_quirks), side(change.to, &change.to_quirks));
        format!("{}: {from} → {to}", change.row)
    };
    let probe = |change: &crate::diff::ProbeChange| {
        let side = |answer| match answer {
            Some(true) => "there",
            Some(false) => "not there",
            None => "no answer",
        };
        format!("{} on {}: {} → {}", change.feature, change.kernel, side(change.from), side(change.to))
    };
    let parts = [
        ("Kernels of the first alone", diff.kernels_gone.clone()),
        ("Kernels of the second alone", diff.kernels_new.clone()),
        ("Results of the first alone", diff.rows_gone.iter().map(row).collect()),
        ("Results of the second alone", diff.rows_new.iter().map(row).collect()),
        ("Verdicts", diff.verdicts.iter().map(verdict).collect()),
        ("Features and quirks", diff.probes.iter().map(probe).collect()),
    ];
    let parts = parts.iter().filter(|(_, lines)| !lines.is_empty()).map(|(title, lines)| {
        let lines: String =
            lines.iter().map(|line| format!("  {}\n", crate::report::safe::visible(line))).collect();
        format!("{title} ({})\n{lines}", lines_of(&lines))
    });
    parts.collect::<Vec<_>>().join("\n")
}

fn lines_of(lines: &str) -> usize {
    lines.lines().count()
}
