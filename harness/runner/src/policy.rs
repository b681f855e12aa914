//! The filters a worker may run behind, and the reason of every rule.

use crate::Error;
use atlas_model::bpf::{Filter, disassemble};
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use serde::Serialize;
use std::io::{Read, Seek, SeekFrom};

/// The worker's end of the pipe by which code comes.
pub(crate) const FD_IN: i32 = 0;
/// The worker's end of the pipe by which answers go.
pub(crate) const FD_OUT: i32 = 1;
/// What the canary call must answer: no getppid(2) returns an error of its own.
pub(crate) const CANARY: i32 = libc::ENOANO;

/// What happens to a call that the worker must not make, and which those are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// `read` and `write` on the worker's two pipes, and `exit`; everything else ends the worker by
    /// `SECCOMP_RET_KILL_PROCESS` (before Linux 4.14, where there is none, by `KILL_THREAD`: the
    /// worker has one thread).
    #[default]
    Strict,
    /// The same calls; any other is trapped (`SECCOMP_RET_TRAP`), and a handler in the worker names
    /// it, its arguments and the Ruby line, and ends the worker.
    Diagnose,
    /// Strict mode, seccomp's mode 1: `read`, `write`, `exit` and `sigreturn`, on any descriptor.
    Mode1,
    /// The first sample of the 2013 tutorial: a filter without rules, behind which nothing runs.
    Base,
    /// The second one: a few calls, and `read` and `write` on given descriptors only.
    Sample,
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The call.
    pub call: &'static str,
    /// With which arguments, in words; empty for any.
    pub only: &'static str,
    /// What the filter answers.
    pub action: &'static str,
    /// Why.
    pub why: &'static str,
    #[serde(skip)]
    compare: Option<(u32, u64)>,
}

const fn rule(
    call: &'static str,
    only: &'static str,
    why: &'static str,
    compare: Option<(u32, u64)>,
) -> Rule {
    Rule { call, only, action: "allow", why, compare }
}

const READ: Rule = rule(
    "read",
    "fd == 0",
    "the code comes by this pipe, after the filter is there",
    Some((0, FD_IN as u64)),
);
const WRITE: Rule = rule("write", "fd == 1", "output and answers go by this pipe", Some((0, FD_OUT as u64)));
const EXIT: Rule = rule("exit", "", "the worker's end", None);
const SIGRETURN: Rule = rule("rt_sigreturn", "", "as in the tutorial; nothing here returns by it", None);
const BRK: Rule = rule("brk", "", "as in the tutorial; the interpreter's memory is mapped beforehand", None);

/// The interpreter needs no call of its own: its memory is one mapping made beforehand, its clock and
/// entropy are the master's. What is allowed is the pipe's two ends and the way out.
const NEEDED: &[Rule] = &[
    READ,
    WRITE,
    EXIT,
    Rule {
        call: "getppid",
        only: "",
        action: "ENOANO",
        why: "the canary: this answer, which no kernel gives, shows that the filter judges",
        compare: None,
    },
];

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 5] = [Self::Strict, Self::Diagnose, Self::Mode1, Self::Base, Self::Sample];

    /// Its name, as the command takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Diagnose => "diagnose",
            Self::Mode1 => "mode1",
            Self::Base => "base",
            Self::Sample => "sample",
        }
    }

    /// Its rules, in order. None for [`Policy::Mode1`], whose calls the kernel fixes
    /// (kernel/seccomp.c `mode1_syscalls`).
    #[must_use]
    pub const fn rules(self) -> &'static [Rule] {
        match self {
            Self::Strict | Self::Diagnose => NEEDED,
            Self::Mode1 | Self::Base => &[],
            Self::Sample => &[SIGRETURN, EXIT, BRK, READ, WRITE],
        }
    }

    /// What happens to every other call, and to every call by another ABI.
    #[must_use]
    pub const fn otherwise(self) -> &'static str {
        match self {
            Self::Strict | Self::Base | Self::Sample => "kill the process",
            Self::Diagnose => "trap: name the call, then end",
            Self::Mode1 => "kill by SIGKILL",
        }
    }

    /// Whether the canary call shows that the filter is there. Where it does not, the master looks at
    /// `/proc/PID/status`.
    pub(crate) const fn has_canary(self) -> bool {
        matches!(self, Self::Strict | Self::Diagnose)
    }

    /// The filter, for the running kernel; `None` for [`Policy::Mode1`].
    ///
    /// # Errors
    /// [`Error::Filter`] where libseccomp cannot make it.
    pub(crate) fn filter(self) -> Result<Option<ScmpFilterContext>, Error> {
        let otherwise = match self {
            Self::Mode1 => return Ok(None),
            Self::Diagnose => ScmpAction::Trap,
            Self::Strict | Self::Base | Self::Sample => ScmpAction::KillProcess,
        };
        // Linux before 4.14 has no KILL_PROCESS, and libseccomp refuses what the kernel has not.
        let made = match self.compile(otherwise) {
            Err(_) if otherwise == ScmpAction::KillProcess => self.compile(ScmpAction::KillThread),
            made => made,
        };
        made.map(Some).map_err(|error| Error::Filter { policy: self.name(), why: error.to_string() })
    }

    fn compile(self, otherwise: ScmpAction) -> Result<ScmpFilterContext, libseccomp::error::SeccompError> {
        let mut filter = ScmpFilterContext::new(otherwise)?;
        filter.set_act_badarch(otherwise)?;
        debug_assert!(filter.is_arch_present(ScmpArch::Native)?);
        for rule in self.rules() {
            let call = ScmpSyscall::from_name(rule.call)?;
            let action = if rule.action == "allow" { ScmpAction::Allow } else { ScmpAction::Errno(CANARY) };
            match rule.compare {
                // The kernel takes a descriptor for 32 bits wide, the filter looks at all 64: a set
                // upper half is refused, which no honest caller has.
                Some((argument, value)) => filter.add_rule_conditional(
                    action,
                    call,
                    &[ScmpArgCompare::new(argument, ScmpCompareOp::Equal, value)],
                )?,
                None => filter.add_rule(action, call)?,
            };
        }
        Ok(filter)
    }

    /// The filter's program as libseccomp makes it here; `None` for [`Policy::Mode1`].
    ///
    /// # Errors
    /// [`Error::Filter`] where it cannot be made.
    pub fn program(self) -> Result<Option<Filter>, Error> {
        let Some(filter) = self.filter()? else { return Ok(None) };
        let fail = |why: String| Error::Filter { policy: self.name(), why };
        let name = c"filter";
        let file = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::empty());
        let mut file = std::fs::File::from(file.map_err(|errno| fail(errno.to_string()))?);
        filter.export_bpf(&file).map_err(|error| fail(error.to_string()))?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_end(&mut bytes))
            .map_err(|error| fail(error.to_string()))?;
        Filter::from_bytes(&bytes).map(Some).map_err(|error| fail(error.to_string()))
    }

    /// The policy as a person reads it: each rule with its reason, then the program.
    ///
    /// # Errors
    /// [`Error::Filter`] where the filter cannot be made.
    pub fn explain(self) -> Result<String, Error> {
        let mut text = format!("policy {}\n", self.name());
        for Rule { call, only, action, why, .. } in self.rules() {
            let called = if only.is_empty() { (*call).to_owned() } else { format!("{call} ({only})") };
            text.push_str(&format!("  {called:16} {action:8} {why}\n"));
        }
        let every = if self.rules().is_empty() { "every call" } else { "every other call" };
        match self.program()? {
            Some(filter) => {
                text.push_str(&format!("  {every}, and every other ABI: {}\n\n", self.otherwise()));
                text.push_str(&format!("program, {} instructions\n", filter.0.len()));
                text.push_str(&disassemble(&filter.0));
            }
            None => text.push_str(
                "  read, write, exit and sigreturn, by the kernel's own list, on any descriptor\n  \
                 every other call: kill by SIGKILL\n",
            ),
        }
        Ok(text)
    }
}

impl std::str::FromStr for Policy {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|policy| policy.name() == name).ok_or_else(|| Error::Policy(name.into()))
    }
}
