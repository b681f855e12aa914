//! Experiments written down for people.

use super::{CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_VM};
use super::{Call, Disposition, Experiment, Op, Program, Via};
use crate::abi::{Abi, syscalls};
use crate::bpf::disassemble;
use std::fmt::Write as _;

impl Experiment {
    /// The whole experiment, one line a step, each new filter disassembled below the step that
    /// attaches it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (offset, bytes) in &self.memory {
            let _ = writeln!(text, "scratch area, offset {offset:#x}: {} bytes {}", bytes.len(), hex(bytes));
        }
        if self.tracer {
            text.push_str("task 0 has a tracer that lets calls go on\n");
        }
        if self.watch {
            text.push_str("the world is watched\n");
        }
        let mut shown = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let _ = writeln!(text, "{index:3}  task {}  {}", step.task, step.op.to_text());
            let Op::Install(install) = &step.op else { continue };
            let (Program::Filter(filter) | Program::Length(filter, _)) = &install.program else { continue };
            if let Some(first) = shown.iter().position(|(_, other)| *other == filter) {
                let _ = writeln!(text, "         the filter of step {}", shown[first].0);
                continue;
            }
            shown.push((index, filter));
            for line in shortened(&disassemble(filter)) {
                let _ = writeln!(text, "        {line}");
            }
        }
        text
    }
}

/// Long disassemblies keep their beginning and end.
fn shortened(text: &str) -> Vec<String> {
    const KEEP: usize = 24;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() <= 2 * KEEP {
        return lines;
    }
    let left_out = format!("   … {} more …", lines.len() - 2 * KEEP);
    let (head, tail) = (&lines[..KEEP], &lines[lines.len() - KEEP..]);
    [head, &[left_out], tail].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}

impl Op {
    /// The step as one line.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Fork { child } => format!("make process {child} by clone"),
            Self::Thread { child } => format!("make thread {child} by clone"),
            Self::Clone { child, shares } => {
                let names =
                    [(CLONE_VM, "VM"), (CLONE_FS, "FS"), (CLONE_FILES, "FILES"), (CLONE_SIGHAND, "SIGHAND")];
                let shared = names.iter().filter(|(bit, _)| shares & bit != 0).map(|(_, name)| *name);
                match shared.collect::<Vec<_>>().join("|") {
                    shared if shared.is_empty() => format!("make process {child} by clone"),
                    shared => format!("make process {child} by clone, sharing {shared}"),
                }
            }
            Self::Exec => "execute the guest binary anew".into(),
            Self::Call(call) => call.to_text(),
            Self::Sigsys(Disposition::Default) => "SIGSYS: default".into(),
            Self::Sigsys(Disposition::Ignore) => "SIGSYS: ignored".into(),
            Self::Sigsys(Disposition::Record) => "SIGSYS: handler that records and returns".into(),
            Self::MaskSigsys { block: true } => "block SIGSYS".into(),
            Self::MaskSigsys { block: false } => "unblock SIGSYS".into(),
            Self::Rdtsc => "RDTSC".into(),
            Self::Install(install) => {
                let via = match install.via {
                    Via::Prctl => "prctl(PR_SET_SECCOMP)".to_owned(),
                    Via::Seccomp { flags: 0 } => "seccomp(2)".to_owned(),
                    Via::Seccomp { flags } => format!("seccomp(2) with flags {}", flag_names(flags)),
                };
                let what = match &install.program {
                    Program::Filter(filter) => format!("a filter of {} instructions", filter.len()),
                    Program::Length(filter, length) => {
                        format!("a filter of {} instructions as if it had {length}", filter.len())
                    }
                    Program::NullFprog => "a null sock_fprog".into(),
                    Program::BadFprog => "an unmapped sock_fprog".into(),
                    Program::NullInsns(length) => format!("{length} instructions at address 0"),
                    Program::BadInsns(length) => format!("{length} instructions at an unmapped address"),
                };
                format!("attach {what} by {via}")
            }
        }
    }
}

fn flag_names(flags: u32) -> String {
    const NAMES: [&str; 6] =
        ["TSYNC", "LOG", "SPEC_ALLOW", "NEW_LISTENER", "TSYNC_ESRCH", "WAIT_KILLABLE_RECV"];
    let name = |bit: u32| {
        NAMES.get(bit as usize).map_or_else(|| format!("{:#x}", 1_u64 << bit), |name| (*name).into())
    };
    (0..32).filter(|bit| flags & (1 << bit) != 0).map(name).collect::<Vec<_>>().join("|")
}

impl Call {
    /// The call as one line: name, number, arguments, and the ABI where it is not the native one.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.with_arguments(self.args.iter().rposition(|&arg| arg != 0).map_or(0, |last| last + 1))
    }

    /// As [`to_text`](Self::to_text), with the arguments that the call takes and no others, where that is known; but
    /// never with fewer than `least`.
    ///
    /// ```
    /// use atlas_model::{Abi, Call};
    /// let call = |abi, nr| Call { abi, nr, args: [16, 3, 0, 4, 5, 0] };
    /// assert_eq!(call(Abi::X86_64, 41).to_text_as_taken(0), "socket[41](16, 3, 0)");
    /// assert_eq!(call(Abi::X86_64, 41).to_text_as_taken(5), "socket[41](16, 3, 0, 4, 5)");
    /// assert_eq!(call(Abi::X86_64, 110).to_text_as_taken(0), "getppid[110]()");
    /// assert_eq!(call(Abi::I386, 359).to_text_as_taken(0), "socket[359](16, 3, 0, 4, 5) by i386");
    /// ```
    #[must_use]
    pub fn to_text_as_taken(&self, least: usize) -> String {
        let widths = syscalls::widths(self.abi, self.nr as u32);
        widths.map_or_else(|| self.to_text(), |widths| self.with_arguments(widths.len().max(least)))
    }

    fn with_arguments(&self, used: usize) -> String {
        let name = syscalls::name(self.abi, self.nr as u32).unwrap_or("unknown");
        let small = |arg: &u64| if *arg < 1000 { arg.to_string() } else { format!("{arg:#x}") };
        let args: Vec<String> = self.args[..used].iter().map(small).collect();
        let number = if self.nr < 100_000 { self.nr.to_string() } else { format!("{:#x}", self.nr) };
        let by = match self.abi {
            Abi::X86_64 => String::new(),
            other => format!(" by {other}"),
        };
        format!("{name}[{number}]({}){by}", args.join(", "))
    }
}
