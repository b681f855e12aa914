//! What an evaluation may use.

use crate::Error;
use serde::Serialize;
use std::time::Duration;

/// What one evaluation may use. The kernel or the master enforces each; only `instructions` and
/// `depth` are counted by the interpreter itself, for answers that do not depend on the machine, and
/// the others stand behind them.
///
/// Not adjustable, and always there: no descriptor can be opened (`RLIMIT_NOFILE` 0), no process made
/// (`RLIMIT_NPROC` 0), no file written (`RLIMIT_FSIZE` 0), no core dumped (`RLIMIT_CORE` 0), no
/// memory locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Limits {
    /// Wall-clock time, from the asking for a worker, or of one that a session has, to the answer's end; the
    /// master kills. 1 ms to 1 h, 1 s by default.
    pub wall: Duration,
    /// Processor time of the worker; the master watches its clock (`clock_getcpuclockid`), and
    /// `RLIMIT_CPU` stands behind it. 1 ms to 1 h, 1 s by default.
    pub cpu: Duration,
    /// Bytes of the interpreter's memory: one mapping, made before the filter, which then lets no
    /// other be made. 2 MiB to 4 GiB, 16 MiB by default; the bare interpreter takes about 150 kB.
    pub memory: usize,
    /// Bytes of standard output, and as many each for the value, its JSON and the exception; the
    /// master counts. 0 to 1 GiB, 1 MiB by default.
    pub output: usize,
    /// Bytes of code and input together; the master refuses more. 1 B to 64 MiB, 1 MiB by default.
    pub code: usize,
    /// Instructions of the interpreter. 1 to 2⁶³, 10⁹ by default.
    pub instructions: u64,
    /// Nested Ruby calls. 1 to 10⁶, 10,000 by default.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(1),
            cpu: Duration::from_secs(1),
            memory: 16 << 20,
            output: 1 << 20,
            code: 1 << 20,
            instructions: 1_000_000_000,
            depth: 10_000,
        }
    }
}

impl Limits {
    /// Whether each is in its range.
    ///
    /// # Errors
    /// [`Error::Limit`] for the first that is not.
    pub fn check(&self) -> Result<(), Error> {
        let time = 1_000_000..=3_600_000_000_000;
        let ranges = [
            ("wall", nanos(self.wall), time.clone(), "1 ms to 1 h"),
            ("cpu", nanos(self.cpu), time, "1 ms to 1 h"),
            ("memory", self.memory as u64, 2 << 20..=4 << 30, "2 MiB to 4 GiB"),
            ("output", self.output as u64, 0..=1 << 30, "0 B to 1 GiB"),
            ("code", self.code as u64, 1..=64 << 20, "1 B to 64 MiB"),
            ("instructions", self.instructions, 1..=1 << 63, "1 to 2^63"),
            ("depth", self.depth as u64, 1..=1_000_000, "1 to 1000000"),
        ];
        match ranges.into_iter().find(|(_, value, range, _)| !range.contains(value)) {
            Some((name, _, _, range)) => Err(Error::Limit { name, range }),
            None => Ok(()),
        }
    }

    /// A limit's value, in its unit: nanoseconds, bytes or a count.
    #[must_use]
    pub fn value(&self, limit: Limit) -> u64 {
        match limit {
            Limit::Wall => nanos(self.wall),
            Limit::Cpu => nanos(self.cpu),
            Limit::Memory => self.memory as u64,
            Limit::Output => self.output as u64,
            Limit::Code => self.code as u64,
            Limit::Instructions => self.instructions,
            Limit::Depth => self.depth as u64,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// [`Limits::wall`].
    Wall,
    /// [`Limits::cpu`].
    Cpu,
    /// [`Limits::memory`]: an uncaught `NoMemoryError`.
    Memory,
    /// [`Limits::output`].
    Output,
    /// [`Limits::code`].
    Code,
    /// [`Limits::instructions`].
    Instructions,
    /// [`Limits::depth`], an uncaught `SystemStackError`, or the end of the worker's machine stack.
    Depth,
}

impl Limit {
    /// Its name, as in the field of [`Limits`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wall => "wall",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Code => "code",
            Self::Instructions => "instructions",
            Self::Depth => "depth",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_zero_or_absurd_is_not() {
        assert!(Limits::default().check().is_ok());
        let with = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().unwrap_err().to_string()
        };
        assert!(with(|limits| limits.wall = Duration::ZERO).contains("wall"));
        assert!(with(|limits| limits.cpu = Duration::MAX).contains("cpu"));
        assert!(with(|limits| limits.memory = 0).contains("memory"));
        assert!(with(|limits| limits.memory = usize::MAX).contains("memory"));
        assert!(with(|limits| limits.output = usize::MAX).contains("output"));
        assert!(with(|limits| limits.code = 0).contains("code"));
        assert!(with(|limits| limits.instructions = 0).contains("instructions"));
        assert!(with(|limits| limits.depth = 0).contains("depth"));
    }
}
