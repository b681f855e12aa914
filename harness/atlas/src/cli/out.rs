//! Standard output, which may be a full disk or a reader who has left.

use super::ENVIRONMENT;
use std::fmt;
use std::io::{ErrorKind, Write as _};

/// Writes to standard output, with colours where they are wanted. Nobody is told that a reader has left: the exit
/// status still says how it went. Anything else that goes wrong ends the command, for its result is lost.
pub(super) fn put(text: fmt::Arguments<'_>) {
    let mut out = anstream::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("atlas: cannot write to standard output: {error}");
            std::process::exit(ENVIRONMENT.into());
        }
        _ => {}
    }
}

/// As `print!`, by [`put`].
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::out::put(format_args!($($text)*)) };
}

/// As `println!`, by [`put`].
macro_rules! sayln {
    ($($text:tt)*) => { $crate::cli::out::put(format_args!("{}\n", format_args!($($text)*))) };
}

pub(super) use {say, sayln};
