//! The options that say what makes an exit status 1: for `run` and `report` alike.

use super::Failure;
use crate::exit::{FailOn, exit};
use crate::read::read;
use crate::results::Exit;
use crate::results::Report;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct ExitArgs {
    /// What makes the exit status 1; may be given several times [default: deviates]
    #[arg(long, value_enum, value_name = "WHAT")]
    fail_on: Vec<FailOn>,
    /// The report that new deviations are told by: JSON, or a directory of results
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

/// [`ExitArgs`] with the baseline read.
pub(super) struct Judge {
    fail_on: Vec<FailOn>,
    baseline: Option<Report>,
}

impl ExitArgs {
    /// Reads the baseline: to be done before the work starts, so that a bad path fails at once.
    pub(super) fn judge(self) -> Result<Judge, Failure> {
        let wanted = self.fail_on.contains(&FailOn::NewDeviation);
        match (&self.baseline, wanted) {
            (None, true) => {
                let why = "--fail-on new-deviation needs a report to tell what is new: give --baseline FILE";
                return Err(why.into());
            }
            (Some(_), false) => {
                return Err("--baseline changes nothing without --fail-on new-deviation".into());
            }
            _ => {}
        }
        let baseline = self.baseline.as_deref().map(read).transpose();
        let baseline = baseline.map_err(|error| format!("no baseline: {error}"))?;
        Ok(Judge { fail_on: self.fail_on, baseline })
    }
}

impl Judge {
    /// The exit status of a report, put into it.
    pub(super) fn put(&self, report: &mut Report) -> ExitCode {
        let found: Exit = exit(report, &self.fail_on, self.baseline.as_ref());
        let status = found.status;
        report.exit = Some(found);
        ExitCode::from(status)
    }
}
