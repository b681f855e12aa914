//! What each of many calls must show behind the same filters, each made as if it were the first.

use super::Value;
use super::machine::{Came, Machine};
use crate::Filter;
use crate::action::errno;
use crate::experiment::{Call, Disposition, Experiment, Install, Program, Via};
use crate::observation::End;
use crate::sweep::Answer;
use crate::traits::Traits;

/// What must be seen of one call of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The answer.
    pub answer: Expected,
    /// What decided, for people: a filter's instruction, or that the call is exempt.
    pub why: String,
}

/// An answer as far as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// This and nothing else.
    Exactly(Answer),
    /// One of these values.
    OneOf(&'static [i64]),
    /// No filter stops it: it runs, and no answer is right for that.
    Runs,
}

impl Expected {
    /// Whether an answer is what must be seen.
    #[must_use]
    pub fn takes(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Exactly(wanted), answer) => wanted == answer,
            (Self::OneOf(values), Answer::Value(value)) => values.contains(value),
            (Self::OneOf(_) | Self::Runs, _) => false,
        }
    }
}

/// What a kernel with these traits must answer to each of these calls by a privileged process behind
/// these filters, the oldest first, that has a handler for SIGSYS.
///
/// # Errors
/// The errno, negated, with which the kernel refuses one of the filters.
///
/// ```
/// use atlas_model::expect::{Expected, behind};
/// use atlas_model::sweep::{self, Answer};
/// use atlas_model::{Action, Filter, Traits, bpf};
/// let filter = Filter(vec![bpf::ld(0), bpf::jeq(1, 0, 1), bpf::ret(Action::Allow), bpf::ret(Action::KillProcess)]);
/// let calls = sweep::calls([0; 6]);
/// let seen = behind(&[sweep::marker(4000), filter], &calls[..2], &Traits::newest()).unwrap();
/// assert_eq!(seen[0].answer, Expected::Exactly(Answer::Killed(31)));
/// assert_eq!(seen[1].answer, Expected::Exactly(Answer::Value(-4000)));
/// ```
pub fn behind(filters: &[Filter], calls: &[Call], traits: &Traits) -> Result<Vec<Foreseen>, i64> {
    let from: Vec<(Call, u64)> = calls.iter().map(|call| (*call, call.address())).collect();
    behind_from(filters, &from, traits)
}

/// As [`behind`], for calls of a program's own: each with its instruction pointer as filters see it. The
/// address in a [`Sigsys`](crate::observation::Sigsys) is that of the stub all the same.
///
/// # Errors
/// As [`behind`].
pub fn behind_from(filters: &[Filter], calls: &[(Call, u64)], traits: &Traits) -> Result<Vec<Foreseen>, i64> {
    let nothing = Experiment::default();
    let mut machine = Machine::new(&nothing, traits);
    for filter in filters {
        let install = Install { via: Via::Prctl, program: Program::Filter(filter.clone()) };
        match machine.install(0, &install) {
            Value::Exactly(0) => {}
            Value::Exactly(refused) => return Err(refused),
            _ => return Err(-errno::EINVAL),
        }
    }
    machine.process_mut(0).sigsys.set(Disposition::Record);
    Ok(calls.iter().map(|(call, ip)| foresee(&mut machine, call, *ip)).collect())
}

fn foresee(machine: &mut Machine<'_>, call: &Call, ip: u64) -> Foreseen {
    machine.step = Default::default();
    let came = machine.call_from(0, call, ip);
    let step = std::mem::take(&mut machine.step);
    let answer = match (step.traps.into_iter().next(), came) {
        // What its handler does then is the sweep's own affair: it never returns.
        (Some(trap), _) => Expected::Exactly(Answer::Trap(trap)),
        (None, Came::Back(Value::Exactly(value))) => Expected::Exactly(Answer::Value(value)),
        (None, Came::Back(Value::OneOf(values))) => Expected::OneOf(values),
        (
            None,
            Came::ThreadEnds(End::Signaled { signal, .. }) | Came::ProcessEnds(End::Signaled { signal, .. }),
        ) => Expected::Exactly(Answer::Killed(signal)),
        (None, _) => Expected::Runs,
    };
    Foreseen { answer, why: step.why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traits::Quirk;
    use crate::{Abi, Action, bpf, sweep};

    fn seen(filter: Vec<bpf::Insn>, abi: Abi, nr: u32, traits: &Traits) -> Expected {
        let call = Call { abi, nr: nr.into(), args: [0; 6] };
        behind(&[sweep::marker(4000), filter.into()], &[call], traits).unwrap()[0].answer.clone()
    }

    fn value(value: i64) -> Expected {
        Expected::Exactly(Answer::Value(value))
    }

    #[test]
    fn the_marker_shows_what_is_let_through() {
        let newest = Traits::newest();
        for (action, wanted) in [
            (Action::Allow, value(-4000)),
            (Action::Log, value(-4000)),
            (Action::Trace(1), value(-4000)),
            (Action::UserNotif, value(-4000)),
            (Action::Errno(0), value(0)),
            (Action::Errno(5), value(-5)),
            (Action::KillThread, Expected::Exactly(Answer::Killed(31))),
        ] {
            for abi in [Abi::X86_64, Abi::I386] {
                assert_eq!(seen(vec![bpf::ret(action)], abi, 1, &newest), wanted, "{action} {abi}");
            }
        }
        let trapped = seen(vec![bpf::ret(Action::Trap(7))], Abi::X86_64, 1, &newest);
        assert!(matches!(trapped, Expected::Exactly(Answer::Trap(trap)) if trap.errno == 7));
    }

    #[test]
    fn exempt_calls_are_not_the_markers() {
        let newest = Traits::newest();
        let kills = || vec![bpf::ret(Action::KillProcess)];
        assert_eq!(seen(kills(), Abi::X86_64, 335, &newest), Expected::Exactly(Answer::Killed(4)));
        let uprobe = seen(kills(), Abi::X86_64, 336, &newest);
        assert!(uprobe.takes(&Answer::Value(-6)) && !uprobe.takes(&Answer::Value(-4000)));
        assert_eq!(seen(kills(), Abi::I386, 336, &newest), Expected::Exactly(Answer::Killed(31)));
        let older = newest.without(Quirk::UretprobeExempt);
        assert_eq!(seen(kills(), Abi::X86_64, 335, &older), Expected::Exactly(Answer::Killed(31)));
    }

    #[test]
    fn a_filter_that_the_kernel_refuses_is_said() {
        assert_eq!(behind(&[Filter::default()], &[], &Traits::newest()), Err(-errno::EINVAL));
    }

    #[test]
    fn nothing_answers_a_call_that_runs() {
        let call = Call { abi: Abi::X86_64, nr: 2, args: [0; 6] };
        let seen = behind(&[], &[call], &Traits::newest()).unwrap();
        assert!(!seen[0].answer.takes(&Answer::Value(0)) && seen[0].answer == Expected::Runs);
    }
}
