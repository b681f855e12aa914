//! Policies by libseccomp.

use crate::solve::overlap;
use crate::{Compiler, Error, Limit, live};
use atlas_model::abi::syscalls;
use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Action, Filter};
use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use std::collections::BTreeMap;
use std::io::{Read, Seek};

/// The most rules and conditions that are handed over. A condition is three nodes at most, a node at
/// most four instructions, and the library counts 65535 of these.
const MOST: usize = 4096;

/// What i386 makes by socketcall(2), and by ipc(2) (src/arch-x86.c of libseccomp 2.5, `x86_syscall_rewrite`).
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];
const IPC: [&str; 12] = [
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
];

/// What the library would take and get wrong.
pub(crate) fn check(compiler: Compiler, policy: &Policy) -> Result<(), Error> {
    let unsupported = |what, rule| Err(Error::Unsupported { compiler, what, rule: Some(rule) });
    for abi in Abi::ALL {
        for (index, rule) in live::by_number(policy, abi).into_values().flatten() {
            if let Some(condition) = rule.conditions.iter().find(|it| abi == Abi::X32 && asks_upper_half(it))
            {
                return unsupported(Limit::UpperHalf(condition.arg), index);
            }
        }
        for rules in live::by_number(policy, abi).into_values() {
            for (at, &(index, rule)) in rules.iter().enumerate() {
                let other = rules[..at].iter().find(|(_, it)| it.action != rule.action && overlap(it, rule));
                if let Some(&(other, _)) = other {
                    return unsupported(Limit::Overlaps(other), index);
                }
            }
            if let Some((first, second)) = merged(&rules, |_| true) {
                return unsupported(Limit::Merged(first), second);
            }
        }
    }
    Ok(())
}

/// Two rules of these of one number, if the library's tree of them may go wrong, whose conditions are those that count.
fn merged(rules: &[(usize, &Rule)], counts: fn(&Condition) -> bool) -> Option<(usize, usize)> {
    let equal = |it: &Condition| matches!(it.comparison, Comparison::Equal | Comparison::Masked(_));
    let mut counting = rules.iter().flat_map(|(_, rule)| &rule.conditions).filter(|it| counts(it));
    match rules {
        [(first, _), (second, _), ..] if !counting.all(equal) => Some((*first, *second)),
        _ => None,
    }
}

/// Whether the upper half of the argument counts.
fn asks_upper_half(condition: &Condition) -> bool {
    !matches!(condition.comparison, Comparison::Masked(mask) if mask >> 32 == 0)
}

/// What it makes of a policy.
pub(crate) fn compile(compiler: Compiler, policy: &Policy) -> Result<Filter, Error> {
    let library = Library { compiler, policy };
    let size: usize = live::rules(policy).iter().map(|(_, rule)| 1 + rule.conditions.len()).sum();
    if size > MOST {
        return library.unsupported(Limit::Size(size), None);
    }
    // A number is translated into the architectures of a context by the call's name, so every ABI has
    // a context of its own until its rules are in.
    let mut contexts = Vec::new();
    for &abi in &policy.abis {
        contexts.push(library.context(abi)?);
    }
    let refused = |error| library.refused(&error, None);
    let mut contexts = contexts.into_iter();
    let Some(mut whole) = contexts.next() else { return library.unsupported(Limit::NoAbi, None) };
    for context in contexts {
        whole.merge(context).map_err(refused)?;
    }
    library.exported(&whole)
}

/// What it makes of a policy's rules by the names of their calls, and the names that it does not know.
pub(crate) fn compile_by_name(
    compiler: Compiler,
    policy: &Policy,
) -> Result<(Filter, Vec<&'static str>), Error> {
    let library = Library { compiler, policy };
    // What other ABIs say alike is one rule of the name.
    let mut rules: Vec<(&'static str, usize, &Rule)> = Vec::new();
    let mut of_names: BTreeMap<&str, Vec<(usize, &Rule)>> = BTreeMap::new();
    for (index, rule) in live::rules(policy) {
        let Some(name) = syscalls::name(rule.abi, rule.nr) else {
            return library.unsupported(Limit::Number(rule.nr), Some(index));
        };
        let of_name = of_names.entry(name).or_default();
        let alike = |(_, it): &(usize, &Rule)| it.action == rule.action && it.conditions == rule.conditions;
        if !of_name.iter().any(alike) {
            of_name.push((index, rule));
            rules.push((name, index, rule));
        }
    }
    // Each is a rule in every ABI, and a second one in those that have a call for several.
    let size: usize = rules.iter().map(|(_, _, rule)| 1 + rule.conditions.len()).sum();
    let size = 2 * policy.abis.len() * size;
    if size > MOST {
        return library.unsupported(Limit::Size(size), None);
    }
    if let Some((first, second)) = of_names.values().find_map(|rules| merged(rules, |_| true)) {
        return library.unsupported(Limit::Merged(first), Some(second));
    }
    if policy.abis.contains(&Abi::I386) {
        for carried in [&SOCKETCALL[..], &IPC[..]] {
            let rules = rules.iter().filter(|(name, ..)| carried.contains(name));
            let rules: Vec<(usize, &Rule)> = rules.map(|&(_, index, rule)| (index, rule)).collect();
            // The first argument is the call's number there, whatever the rule says of it.
            if let Some((first, second)) = merged(&rules, |it| it.arg > 0) {
                return library.unsupported(Limit::Merged(first), Some(second));
            }
        }
    }
    let mut context = library.begun()?;
    for &abi in policy.abis.iter().filter(|&&abi| abi != Abi::X86_64) {
        context.add_arch(arch(abi)).map_err(|error| library.refused(&error, None))?;
    }
    let mut unknown = Vec::new();
    for (name, index, rule) in rules {
        let Ok(call) = ScmpSyscall::from_name(name) else {
            unknown.push(name);
            continue;
        };
        let compares: Vec<_> = rule.conditions.iter().map(compare).collect();
        let action = library.action(rule.action, Some(index))?;
        context
            .add_rule_conditional(action, call, &compares)
            .map_err(|error| library.refused(&error, Some(index)))?;
    }
    Ok((library.exported(&context)?, unknown))
}

struct Library<'a> {
    compiler: Compiler,
    policy: &'a Policy,
}

impl Library<'_> {
    /// A context without rules, for the native ABI.
    fn begun(&self) -> Result<ScmpFilterContext, Error> {
        let default = self.action(self.policy.default, None)?;
        let foreign = self.action(self.policy.foreign, None)?;
        // The library says no to both of these for one reason only, the action.
        let mut context = ScmpFilterContext::new(default)
            .or_else(|_| self.unsupported(Limit::ApiLevel(self.policy.default), None))?;
        if context.set_act_badarch(foreign).is_err() {
            return self.unsupported(Limit::ApiLevel(self.policy.foreign), None);
        }
        if self.compiler == Compiler::LibseccompTree && context.set_ctl_optimize(2).is_err() {
            return self.unsupported(Limit::Tree, None);
        }
        Ok(context)
    }

    fn exported(&self, context: &ScmpFilterContext) -> Result<Filter, Error> {
        let file = nix::sys::memfd::memfd_create(c"filter", nix::sys::memfd::MFdFlags::MFD_CLOEXEC);
        let mut file = std::fs::File::from(file.map_err(std::io::Error::from)?);
        context.export_bpf(&file).map_err(|error| self.refused(&error, None))?;
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Filter::from_bytes(&bytes).map_err(|error| Error::Export(std::io::Error::other(error)))
    }

    fn context(&self, abi: Abi) -> Result<ScmpFilterContext, Error> {
        let refused = |error| self.refused(&error, None);
        let mut context = self.begun()?;
        if abi != Abi::X86_64 {
            context.add_arch(arch(abi)).map_err(refused)?;
            context.remove_arch(ScmpArch::X8664).map_err(refused)?;
        }
        for (index, rule) in live::by_number(self.policy, abi).into_values().flatten() {
            self.add(&mut context, rule, index)?;
        }
        Ok(context)
    }

    fn add(&self, context: &mut ScmpFilterContext, rule: &Rule, index: usize) -> Result<(), Error> {
        if rule.action == self.policy.default {
            return self.unsupported(Limit::ActionIsDefault, Some(index));
        }
        let mut arguments = rule.conditions.iter().enumerate();
        let repeated =
            arguments.find(|(at, it)| rule.conditions[..*at].iter().any(|other| other.arg == it.arg));
        if let Some((_, condition)) = repeated {
            return self.unsupported(Limit::SeveralConditions(condition.arg), Some(index));
        }
        let action = self.action(rule.action, Some(index))?;
        let call = self.call(rule, index)?;
        let compares: Vec<_> = rule.conditions.iter().map(compare).collect();
        match context.add_rule_conditional_exact(action, call, &compares) {
            Ok(_) => Ok(()),
            // The action is asked for first (src/api.c seccomp_rule_add_exact_array), and new filters
            // take it as their default where rules do.
            Err(_) if ScmpFilterContext::new(action).is_err() => {
                self.unsupported(Limit::ApiLevel(rule.action), Some(index))
            }
            Err(error) => Err(self.refused(&error, Some(index))),
        }
    }

    /// The call as the library takes it: for every ABI the number that the name has in the native one,
    /// negative where it has none.
    fn call(&self, rule: &Rule, index: usize) -> Result<ScmpSyscall, Error> {
        let number = ScmpSyscall::from_raw_syscall(rule.nr as i32);
        if rule.abi == Abi::X86_64 {
            return Ok(number);
        }
        let arch = arch(rule.abi);
        let call = number.get_name_by_arch(arch).and_then(|name| {
            let there = ScmpSyscall::from_name_by_arch(&name, arch)?;
            Ok((there, ScmpSyscall::from_name(&name)?))
        });
        match call {
            Ok((there, call)) if there == number => Ok(call),
            _ => self.unsupported(Limit::Number(rule.nr), Some(index)),
        }
    }

    fn action(&self, action: Action, rule: Option<usize>) -> Result<ScmpAction, Error> {
        Ok(match action {
            Action::KillProcess => ScmpAction::KillProcess,
            Action::KillThread => ScmpAction::KillThread,
            Action::Trap(0) => ScmpAction::Trap,
            // src/system.c MAX_ERRNO, which is excluded.
            Action::Errno(4095..) => return self.unsupported(Limit::Action(action), rule),
            Action::Errno(errno) => ScmpAction::Errno(errno.into()),
            Action::UserNotif => ScmpAction::Notify,
            Action::Trace(message) => ScmpAction::Trace(message),
            Action::Log => ScmpAction::Log,
            Action::Allow => ScmpAction::Allow,
            Action::Trap(_) | Action::Unknown(_) => return self.unsupported(Limit::Action(action), rule),
        })
    }

    fn unsupported<T>(&self, what: Limit, rule: Option<usize>) -> Result<T, Error> {
        Err(Error::Unsupported { compiler: self.compiler, what, rule })
    }

    fn refused(&self, error: &SeccompError, rule: Option<usize>) -> Error {
        Error::Refused { compiler: self.compiler, why: error.to_string(), rule }
    }
}

const fn arch(abi: Abi) -> ScmpArch {
    match abi {
        Abi::X86_64 => ScmpArch::X8664,
        Abi::I386 => ScmpArch::X86,
        Abi::X32 => ScmpArch::X32,
    }
}

fn compare(condition: &Condition) -> ScmpArgCompare {
    let operator = match condition.comparison {
        Comparison::Equal => ScmpCompareOp::Equal,
        Comparison::NotEqual => ScmpCompareOp::NotEqual,
        Comparison::Less => ScmpCompareOp::Less,
        Comparison::LessOrEqual => ScmpCompareOp::LessOrEqual,
        Comparison::Greater => ScmpCompareOp::Greater,
        Comparison::GreaterOrEqual => ScmpCompareOp::GreaterEqual,
        Comparison::Masked(mask) => ScmpCompareOp::MaskedEqual(mask),
    };
    ScmpArgCompare::new(condition.arg.into(), operator, condition.value)
}
