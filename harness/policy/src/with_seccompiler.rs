//! Policies by seccompiler.

use crate::{Compiler, Error, Limit, live};
use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Action, Filter, Insn};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// What it gets wrong if it is not kept from it: other ABIs.
pub(crate) fn check(policy: &Policy) -> Result<(), Error> {
    let speaks_of = |abi| policy.abis.contains(&abi);
    if speaks_of(Abi::I386) {
        return unsupported(Limit::Abi(Abi::I386), None);
    }
    if policy.foreign != Action::KillProcess {
        return unsupported(Limit::Foreign(policy.foreign), None);
    }
    match (speaks_of(Abi::X86_64), speaks_of(Abi::X32)) {
        (false, false) => unsupported(Limit::NoAbi, None),
        (true, true) => Ok(()),
        // Numbers of the other one get the default action, so it has to be the same.
        _ if policy.default == policy.foreign => Ok(()),
        _ => unsupported(Limit::X32, None),
    }
}

/// What it makes of the rules of x86-64 and x32.
pub(crate) fn compile(policy: &Policy) -> Result<Filter, Error> {
    let rules: Vec<_> = live::rules(policy).into_iter().filter(|(_, rule)| rule.abi != Abi::I386).collect();
    let mut chains: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut always = Vec::new();
    for &(index, rule) in &rules {
        match rules[0] {
            (first, Rule { action, .. }) if *action != rule.action => {
                return unsupported(Limit::OneAction(first), Some(index));
            }
            _ if rule.action == policy.default => return unsupported(Limit::ActionIsDefault, Some(index)),
            _ => {}
        }
        let chain = chains.entry(rule.nr.into()).or_default();
        let conditions = rule.conditions.iter().map(condition).collect::<Result<Vec<_>, _>>();
        match conditions.map_err(|error| refused(&error, Some(index)))? {
            conditions if conditions.is_empty() => always.push(i64::from(rule.nr)),
            conditions => {
                chain.push(SeccompRule::new(conditions).map_err(|error| refused(&error, Some(index)))?);
            }
        }
    }
    // There "any arguments" is a chain without rules, and a chain is whole or empty.
    for nr in always {
        chains.insert(nr, Vec::new());
    }
    let default = action(policy.default, None)?;
    let matching = match rules.first() {
        Some(&(index, rule)) => action(rule.action, Some(index))?,
        // It wants an action for rules even where there are none, and another one than the default.
        None if default == SeccompAction::Allow => SeccompAction::KillProcess,
        None => SeccompAction::Allow,
    };
    let program =
        SeccompFilter::new(chains, default, matching, TargetArch::x86_64).and_then(BpfProgram::try_from);
    let program = program.map_err(|error| match error {
        // It refuses 4096 instructions as well, which kernels accept (src/backend/filter.rs,
        // `result.len() >= BPF_MAX_LEN`).
        BackendError::FilterTooLarge(len) => Error::TooLong { compiler: Compiler::Seccompiler, len },
        error => refused(&error, None),
    })?;
    let insn = |it: seccompiler::sock_filter| Insn { code: it.code, jt: it.jt, jf: it.jf, k: it.k };
    Ok(Filter(program.into_iter().map(insn).collect()))
}

fn condition(condition: &Condition) -> Result<SeccompCondition, BackendError> {
    let operator = match condition.comparison {
        Comparison::Equal => SeccompCmpOp::Eq,
        Comparison::NotEqual => SeccompCmpOp::Ne,
        Comparison::Less => SeccompCmpOp::Lt,
        Comparison::LessOrEqual => SeccompCmpOp::Le,
        Comparison::Greater => SeccompCmpOp::Gt,
        Comparison::GreaterOrEqual => SeccompCmpOp::Ge,
        Comparison::Masked(mask) => SeccompCmpOp::MaskedEq(mask),
    };
    SeccompCondition::new(condition.arg, SeccompCmpArgLen::Qword, operator, condition.value)
}

fn action(action: Action, rule: Option<usize>) -> Result<SeccompAction, Error> {
    Ok(match action {
        Action::KillProcess => SeccompAction::KillProcess,
        Action::KillThread => SeccompAction::KillThread,
        Action::Trap(0) => SeccompAction::Trap,
        Action::Errno(errno) => SeccompAction::Errno(errno.into()),
        Action::Trace(message) => SeccompAction::Trace(message.into()),
        Action::Log => SeccompAction::Log,
        Action::Allow => SeccompAction::Allow,
        Action::Trap(_) | Action::UserNotif | Action::Unknown(_) => {
            return unsupported(Limit::Action(action), rule);
        }
    })
}

fn unsupported<T>(what: Limit, rule: Option<usize>) -> Result<T, Error> {
    Err(Error::Unsupported { compiler: Compiler::Seccompiler, what, rule })
}

fn refused(error: &BackendError, rule: Option<usize>) -> Error {
    Error::Refused { compiler: Compiler::Seccompiler, why: error.to_string(), rule }
}
