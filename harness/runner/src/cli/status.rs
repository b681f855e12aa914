//! Exit statuses, one for each way that it can end.

use mruby_runner::{Ending, Error};
use std::process::ExitCode;

/// The end of `-h`.
pub(super) const HELP: &str = "Examples and exit statuses: --help";

/// The end of `--help`.
pub(super) const LONG_HELP: &str = "\
Examples:
  mruby-runner script.rb                         run a file
  mruby-runner -e 'puts 1' -e '6 * 7'            run what stands here: 1, then 42
  echo '6 * 7' | mruby-runner                    run standard input
  mruby-runner --input '{\"a\": 1}' -e 'INPUT[\"a\"]'
  mruby-runner --wall 200ms --memory 4M --instructions 1e6 script.rb
  mruby-runner --json script.rb                  the whole outcome, for programs
  mruby-runner --explain --policy sample         what a policy lets through, and why
  mruby-runner --policy mode1 -e '6 * 7'          seccomp's first mode is enough for Ruby

Exit status:
  0  a value
  1  an exception that nobody rescued
  2  usage: arguments, files, limits out of range, code that is empty, no UTF-8 or has NUL bytes
  3  a syntax error
  4  a forbidden system call
  5  a limit reached
  6  the worker crashed
  7  the worker broke the protocol
  8  not tried: the kernel gives no seccomp filter, or set-up failed
  9  standard output could not be written

Sizes are bytes, or have K, M or G (of 1024). Times have a unit: ms, s, m. Counts may be 1e6 or 1M.
Colours obey NO_COLOR and CLICOLOR_FORCE.";

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Value = 0,
    Exception = 1,
    Usage = 2,
    Syntax = 3,
    Forbidden = 4,
    Limit = 5,
    Crashed = 6,
    Broken = 7,
    NotTried = 8,
    Unwritten = 9,
}

impl Status {
    pub(super) fn of_ending(ending: &Ending) -> Self {
        match ending {
            Ending::Value { .. } => Self::Value,
            Ending::Exception { .. } => Self::Exception,
            Ending::Syntax { .. } => Self::Syntax,
            Ending::Forbidden { .. } => Self::Forbidden,
            Ending::Limit { .. } => Self::Limit,
            Ending::Crashed { .. } => Self::Crashed,
            // An ending this command does not know is no better than a broken one.
            _ => Self::Broken,
        }
    }

    pub(super) fn of_error(error: &Error) -> Self {
        match error {
            Error::Limit { .. }
            | Error::Policy(_)
            | Error::Empty
            | Error::Nul(_)
            | Error::NotUtf8(_)
            | Error::Input(_) => Self::Usage,
            _ => Self::NotTried,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}
