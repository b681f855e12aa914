//! The compilers under one roof.

use crate::{Error, linear, with_libseccomp, with_seccompiler};
use atlas_model::abi::SeccompData;
use atlas_model::bpf::MAX_INSNS;
use atlas_model::policy::Policy;
use atlas_model::{Abi, Action, Filter};
use std::fmt;

/// Who makes the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compiler {
    /// This crate: a list of numbers, one after the other. It expresses every policy.
    Linear,
    /// libseccomp, with its rules in a list.
    LibseccompLinear,
    /// libseccomp, with its numbers in a binary tree (`SCMP_FLTATR_CTL_OPTIMIZE` = 2).
    LibseccompTree,
    /// seccompiler of rust-vmm, which Firecracker uses.
    Seccompiler,
}

impl Compiler {
    /// Every compiler.
    pub const ALL: [Self; 4] =
        [Self::Linear, Self::LibseccompLinear, Self::LibseccompTree, Self::Seccompiler];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::LibseccompLinear => "libseccomp",
            Self::LibseccompTree => "libseccomp-tree",
            Self::Seccompiler => "seccompiler",
        }
    }

    /// The filter for a policy.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what the library cannot express or is known to express wrongly;
    /// [`Error::TooLong`] where the filter is longer than 4096 instructions.
    ///
    /// ```
    /// use atlas_model::{Abi, Action};
    /// use atlas_model::policy::{Policy, Rule};
    /// use atlas_policy::{Compiler, Error, Limit};
    /// let kill = Rule { abi: Abi::X86_64, nr: 101, conditions: vec![], action: Action::KillProcess };
    /// let log = Rule { nr: 39, action: Action::Log, ..kill.clone() };
    /// let policy = Policy {
    ///     abis: vec![Abi::X86_64, Abi::X32],
    ///     foreign: Action::KillProcess,
    ///     default: Action::Allow,
    ///     rules: vec![kill, log],
    /// };
    /// assert_eq!(Compiler::Linear.compile(&policy)?.len(), 9);
    /// let error = Compiler::Seccompiler.compile(&policy).unwrap_err();
    /// assert!(matches!(error, Error::Unsupported { what: Limit::OneAction(0), rule: Some(1), .. }));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn compile(self, policy: &Policy) -> Result<Filter, Error> {
        self.check(policy)?;
        self.compile_as_is(policy)
    }

    /// What [`Compiler::compile`] refuses before the library is asked.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn check(self, policy: &Policy) -> Result<(), Error> {
        match self {
            Self::Linear => Ok(()),
            Self::LibseccompLinear | Self::LibseccompTree => with_libseccomp::check(self, policy),
            Self::Seccompiler => with_seccompiler::check(policy),
        }
    }

    /// What the library makes of a policy, also of one that [`Compiler::check`] refuses since the
    /// library would get it wrong. This is for those who look for a library's faults.
    ///
    /// # Errors
    /// What the library cannot be told, or itself refuses; [`Error::TooLong`].
    pub fn compile_as_is(self, policy: &Policy) -> Result<Filter, Error> {
        for (rule, condition) in policy
            .rules
            .iter()
            .enumerate()
            .flat_map(|(rule, it)| it.conditions.iter().map(move |c| (rule, c)))
        {
            if condition.arg > 5 {
                return Err(Error::Argument { rule, arg: condition.arg });
            }
        }
        let filter = match self {
            Self::Linear => linear::compile(policy),
            Self::LibseccompLinear | Self::LibseccompTree => with_libseccomp::compile(self, policy)?,
            Self::Seccompiler => with_seccompiler::compile(policy)?,
        };
        match filter.len() {
            len if len > MAX_INSNS => Err(Error::TooLong { compiler: self, len }),
            _ => Ok(filter),
        }
    }

    /// What libseccomp makes of a profile's rules where each call is given by its name, once for all ABIs, as container
    /// runtimes give it: and the names that it does not know, which they leave out. Its filter decides otherwise than
    /// the policy
    ///
    /// - about x32 calls whose rules ask for the upper half of an argument
    ///   (`docs/findings/libseccomp-x32-upper-halves.md`),
    /// - where rules with different actions match one call,
    /// - about i386's socketcall(2) and ipc(2), which have the rules of the calls that they carry, less what these say
    ///   of their first argument (src/arch-x86.c of libseccomp 2.5, `x86_rule_add`),
    /// - where a policy, other than a profile, says different things of ABIs or nothing of the native one.
    ///
    /// # Errors
    /// What the library cannot be told, refuses, may not return from ([`Limit::Merged`](crate::Limit::Merged)), or
    /// counts wrongly ([`Limit::Size`](crate::Limit::Size)).
    pub fn compile_by_name(self, policy: &Policy) -> Result<(Filter, Vec<&'static str>), Error> {
        let (filter, unknown) = with_libseccomp::compile_by_name(self, policy)?;
        match filter.len() {
            len if len > MAX_INSNS => Err(Error::TooLong { compiler: self, len }),
            _ => Ok((filter, unknown)),
        }
    }

    /// What the compiler's filter says of a call: what [`Policy::decide`] says, but for one call that
    /// libseccomp leaves out on purpose. Where a policy speaks of x86-64 and not of x32, the number
    /// 0xffffffff gets the default action and not that of other ABIs, so that tracers can skip a call
    /// by the number -1 (src/gen_bpf.c _gen_bpf_arch, "filter out x32"; seccomp(2), `RET_TRACE`).
    #[must_use]
    pub fn decide(self, policy: &Policy, call: &SeccompData) -> Action {
        let skipped = call.nr == u32::MAX && call.arch == Abi::X86_64.audit_arch();
        let told_apart = policy.abis.contains(&Abi::X86_64) && !policy.abis.contains(&Abi::X32);
        match self {
            Self::LibseccompLinear | Self::LibseccompTree if skipped && told_apart => policy.default,
            _ => policy.decide(call),
        }
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
