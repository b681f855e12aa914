//! The property: a filter means what its policy means.

use crate::Compiler;
use crate::show::Shown;
use atlas_model::abi::{SeccompData, syscalls};
use atlas_model::bpf::{Dialect, Ran, disassemble, run};
use atlas_model::policy::Policy;
use atlas_model::{Action, Filter};
use std::fmt;

/// A call of which a filter and its policy do not say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The policy.
    pub policy: Policy,
    /// The filter that was made of it.
    pub filter: Filter,
    /// The call.
    pub call: SeccompData,
    /// What was to become of it.
    pub expected: Action,
    /// What the filter said, and where.
    pub ran: Ran,
}

/// Whether a filter says of every call what its policy says ([`Policy::decide`]). It is run as the
/// newest kernels run it.
///
/// # Errors
/// The first call of which it does not.
///
/// ```
/// use atlas_model::policy::{Comparison, Condition, Policy, Rule};
/// use atlas_model::{Abi, Action, Filter, bpf};
/// use atlas_policy::{Compiler, agrees, calls_mixed, calls_near};
/// let seek = Condition { arg: 1, comparison: Comparison::Less, value: 0x1_0000_0000 };
/// let rule = Rule { abi: Abi::X86_64, nr: 8, conditions: vec![seek], action: Action::Allow };
/// let policy = Policy {
///     abis: vec![Abi::X86_64],
///     foreign: Action::KillProcess,
///     default: Action::Errno(27),
///     rules: vec![rule],
/// };
/// let calls = || calls_near(&policy).into_iter().chain(calls_mixed(&policy, 1).take(1000));
/// assert_eq!(agrees(&policy, &Compiler::Linear.compile(&policy)?, calls()), Ok(()));
///
/// let other = Filter(vec![bpf::ret(Action::Allow)]);
/// let disagreement = agrees(&policy, &other, calls()).unwrap_err();
/// assert_eq!(disagreement.expected, Action::Errno(27));
/// # Ok::<(), atlas_policy::Error>(())
/// ```
pub fn agrees(
    policy: &Policy,
    filter: &Filter,
    calls: impl IntoIterator<Item = SeccompData>,
) -> Result<(), Box<Disagreement>> {
    let dialect = Dialect::default();
    agrees_by(policy, filter, calls, |call| policy.decide(call), |call| run(filter, call, &dialect))
}

/// [`agrees`] but for what the compiler is known to say otherwise: [`Compiler::decide`].
///
/// # Errors
/// The first call of which the filter says neither.
pub fn agrees_as(
    compiler: Compiler,
    policy: &Policy,
    filter: &Filter,
    calls: impl IntoIterator<Item = SeccompData>,
) -> Result<(), Box<Disagreement>> {
    let dialect = Dialect::default();
    agrees_by(policy, filter, calls, |call| compiler.decide(policy, call), |call| run(filter, call, &dialect))
}

/// [`agrees`] by another definition or another way of running filters, as a kernel or a cache may be.
///
/// # Errors
/// The first call of which the two do not say the same.
pub fn agrees_by(
    policy: &Policy,
    filter: &Filter,
    calls: impl IntoIterator<Item = SeccompData>,
    decide: impl Fn(&SeccompData) -> Action,
    run: impl Fn(&SeccompData) -> Ran,
) -> Result<(), Box<Disagreement>> {
    for call in calls {
        let (expected, ran) = (decide(&call), run(&call));
        if Action::from_word(expected.word()) != Action::from_word(ran.word) {
            let (policy, filter) = (policy.clone(), filter.clone());
            return Err(Box::new(Disagreement { policy, filter, call, expected, ran }));
        }
    }
    Ok(())
}

impl std::error::Error for Disagreement {}

/// The call, what was to become of it and what did, the policy, and the program with the deciding
/// instruction marked.
impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, filter, call, expected, ran } = self;
        let [a, b, c, d, e, g] = call.args;
        let abi = Policy::abi_of(call);
        match abi {
            Some(abi) => write!(f, "{abi} ")?,
            None => write!(f, "arch {:#x} ", call.arch)?,
        }
        match abi.and_then(|abi| syscalls::name(abi, call.nr)) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{:#x}", call.nr)?,
        }
        writeln!(f, "({a:#x}, {b:#x}, {c:#x}, {d:#x}, {e:#x}, {g:#x})")?;
        let said = Action::from_word(ran.word);
        writeln!(f, "the policy says {expected}, the filter {said} by instruction {}", ran.decided_at)?;
        write!(f, "{}", Shown(policy))?;
        for (line, text) in disassemble(filter).lines().enumerate() {
            // Two lines of heading come first.
            let mark = if line == ran.decided_at + 2 { '>' } else { ' ' };
            writeln!(f, "{mark}{text}")?;
        }
        Ok(())
    }
}
