//! What an evaluation came to.

use crate::{Limit, Steps, policy::Policy};
use atlas_model::{Abi, abi::syscalls};
use serde::Serialize;
use std::time::Duration;

/// What an evaluation came to, what it printed, and what it used. Everything but the figures of the
/// kernel is the worker's claim, and the worker is not trusted: it is bounded, typed, and no more.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What it printed up to then.
    #[serde(serialize_with = "lossy")]
    pub stdout: Vec<u8>,
    /// What it used.
    pub usage: Usage,
}

fn lossy<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

impl Outcome {
    /// The value as text, where there is one.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match &self.ending {
            Ending::Value { inspect, .. } => Some(inspect),
            _ => None,
        }
    }

    /// The value as plain data, where it is that.
    #[must_use]
    pub fn json(&self) -> Option<&serde_json::Value> {
        match &self.ending {
            Ending::Value { json, .. } => json.as_ref(),
            _ => None,
        }
    }

    /// What it printed, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// How an evaluation ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ending {
    /// The code ran to its end.
    Value {
        /// The last expression's value by `inspect`.
        inspect: String,
        /// The same as JSON, where it is plain data: nil, booleans, integers that are not bignums, finite
        /// floats, UTF-8 strings, symbols, and arrays and hashes (keys: strings or symbols) of these,
        /// up to 64 levels.
        json: Option<serde_json::Value>,
    },
    /// An exception that nobody rescued.
    Exception {
        /// Its class.
        class: String,
        /// Its message.
        message: String,
        /// Where it came from, innermost first, such as `main.rb:3:in half`.
        backtrace: Vec<String>,
    },
    /// The code is not Ruby.
    Syntax {
        /// The line, from 1.
        line: u32,
        /// The column, from 0, as mruby counts them.
        column: u32,
        /// What mruby says.
        message: String,
    },
    /// The worker made a system call that the filter forbids, and was ended.
    Forbidden {
        /// Which one: known under [`Policy::Diagnose`] only. Under the others the kernel ends the
        /// worker and tells nobody what the call was.
        call: Option<ForbiddenCall>,
    },
    /// A limit was reached.
    Limit {
        /// Which one.
        limit: Limit,
        /// Its value: nanoseconds, bytes or a count.
        value: u64,
    },
    /// A signal ended the worker that is neither a limit's nor the filter's.
    Crashed {
        /// Its number.
        signal: i32,
    },
    /// The worker did not keep to the protocol: it ended without an answer, or wrote what is none.
    Broken {
        /// In what way.
        why: String,
    },
}

impl Ending {
    /// The variant's name, as in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Value { .. } => "value",
            Self::Exception { .. } => "exception",
            Self::Syntax { .. } => "syntax",
            Self::Forbidden { .. } => "forbidden",
            Self::Limit { .. } => "limit",
            Self::Crashed { .. } => "crashed",
            Self::Broken { .. } => "broken",
        }
    }
}

/// A call that the filter forbade, as the worker's SIGSYS handler saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForbiddenCall {
    /// Its number, as the kernel reports it in `si_syscall`.
    pub number: i32,
    /// Its name, where the ABI has one for the number.
    pub name: Option<&'static str>,
    /// The ABI by which it was made.
    pub abi: &'static str,
    /// `AUDIT_ARCH_*`, as the kernel reports it in `si_arch`.
    pub arch: u32,
    /// Its six arguments.
    pub args: [u64; 6],
    /// The address behind the instruction that made it.
    pub ip: u64,
    /// The Ruby line at which the interpreter stood, from 1; 0 where it stood at none.
    pub line: u32,
}

impl ForbiddenCall {
    pub(crate) fn new(number: i32, arch: u32, args: [u64; 6], ip: u64, line: u32) -> Self {
        let known = [Abi::X86_64, Abi::X32, Abi::I386].into_iter().find(|abi| {
            abi.audit_arch() == arch && (*abi == Abi::X32) == (number & X32_BIT != 0 && number != -1)
        });
        Self {
            number,
            name: known.and_then(|abi| syscalls::name(abi, number as u32)),
            abi: known.map_or("unknown", Abi::name),
            arch,
            args,
            ip,
            line,
        }
    }
}

/// `__X32_SYSCALL_BIT` (arch/x86/include/uapi/asm/unistd.h).
const X32_BIT: i32 = 0x4000_0000;

/// What an evaluation used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Wall-clock time, from asking for the worker to the end of its answer, by the master's clock.
    pub wall: Duration,
    /// Processor time, user and system, by the kernel's count.
    pub cpu: Duration,
    /// The worker's largest resident set in bytes, by the kernel's count; it holds what the worker
    /// shares with the zygote. 0 in a session that goes on.
    pub resident: u64,
    /// The most bytes the interpreter had in use, by its own count; 0 where it did not come to say.
    pub memory: u64,
    /// Instructions the interpreter carried out, by its own count; 0 where it did not come to say.
    pub instructions: u64,
    /// Bytes of standard output.
    pub output: u64,
    /// What each step took, where [`Builder::time_steps`](crate::Builder::time_steps) asked for it, the
    /// worker was a fresh one, and its answer came whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Steps>,
}

/// The signal by which a policy's kernel ends the worker.
pub(crate) const fn killer(policy: Policy) -> i32 {
    match policy {
        Policy::Mode1 => libc::SIGKILL,
        _ => libc::SIGSYS,
    }
}
