//! The sweep's twin: what the model says of every call, held against what a kernel answers.

use atlas_model::action::errno;
use atlas_model::expect::{Expected, Foreseen, behind, dialect};
use atlas_model::sweep::{self, Answer, Calls, Sweep};
use atlas_model::traits::Traits;
use atlas_model::{Action, Call, Filter, bpf};

/// Errnos that a marker may give. Beyond 4000 there are those that kernels cap at 4095, below 2000
/// those that have names.
const MARKERS: std::ops::RangeInclusive<u16> = 2000..=4000;

/// A sweep, and what the model says must come of it on a kernel with given traits.
pub struct Twin {
    /// What to ask the kernel.
    pub sweep: Sweep,
    /// The calls, in the order of the answers.
    pub calls: Vec<Call>,
    /// What must be seen, in the same order.
    pub foreseen: Vec<Foreseen>,
    /// What the filter gives without a marker below it, in the same order.
    pub words: Vec<u32>,
}

/// Why there is no twin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTwin {
    /// The kernel takes no such filter.
    #[error("the filter is refused with errno {}", named(*.0))]
    Refused(i64),
    /// Nothing is left to mark calls with.
    #[error("the filter gives every errno from {} to {}, so none is left for the marker", MARKERS.start(), MARKERS.end())]
    NoMarker,
}

fn named(value: i64) -> String {
    errno::name(value).map_or_else(|| value.to_string(), |name| format!("{value} {name}"))
}

/// One call that was answered otherwise than the model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The call.
    pub call: Call,
    /// What the model says.
    pub expected: Expected,
    /// What the kernel answered.
    pub observed: Answer,
    /// What decides by the model.
    pub why: String,
}

impl Twin {
    /// Works out what a kernel with these traits must answer.
    ///
    /// # Errors
    /// [`NoTwin`].
    pub fn of(filter: &Filter, which: &Calls, suspend: bool, traits: &Traits) -> Result<Self, NoTwin> {
        let calls = which.list();
        let alone = |call: &Call| bpf::run(filter, &call.data(), &dialect(traits)).word;
        let words: Vec<u32> = calls.iter().map(alone).collect();
        let given: std::collections::BTreeSet<u32> = words.iter().copied().collect();
        let free = |marker: &u16| !given.contains(&Action::Errno(*marker).word());
        let marker = MARKERS.rev().find(free).ok_or(NoTwin::NoMarker)?;
        let foreseen = behind(&[sweep::marker(marker), filter.clone()], &calls, traits)
            .map_err(|errno| NoTwin::Refused(-errno))?;
        Ok(Self {
            sweep: Sweep { filter: filter.clone(), marker, calls: which.clone(), suspend },
            calls,
            foreseen,
            words,
        })
    }

    /// The calls on which a kernel and the model differ. An answer that is missing differs.
    ///
    /// # Panics
    /// Where there is not one answer a call; `atlas_wire::decode_answer` lets no other through.
    #[must_use]
    pub fn differences(&self, answers: &[Answer]) -> Vec<Difference> {
        assert_eq!(answers.len(), self.calls.len(), "one answer a call");
        let all = self.calls.iter().zip(&self.foreseen).zip(answers);
        all.filter(|((_, foreseen), answer)| !foreseen.answer.takes(answer))
            .map(|((call, foreseen), answer)| Difference {
                call: *call,
                expected: foreseen.answer.clone(),
                observed: answer.clone(),
                why: foreseen.why.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::example::Example;
    use atlas_model::Abi;

    fn as_foreseen(twin: &Twin) -> Vec<Answer> {
        let answer = |foreseen: &Foreseen| match &foreseen.answer {
            Expected::Exactly(answer) => answer.clone(),
            Expected::OneOf(values) => Answer::Value(values[0]),
            Expected::Runs => panic!("nothing runs behind a marker"),
        };
        twin.foreseen.iter().map(answer).collect()
    }

    #[test]
    fn one_answer_altered_is_noticed_wherever_it_is() {
        let toy = Example::Toy.filter().unwrap();
        let twin = Twin::of(&toy, &Calls::default(), true, &Traits::newest()).unwrap();
        let right = as_foreseen(&twin);
        assert_eq!(twin.differences(&right), []);
        for index in 0..right.len() {
            let mut wrong = right.clone();
            wrong[index] = match &wrong[index] {
                Answer::Value(value) => Answer::Value(value - 1),
                Answer::Killed(_) => Answer::Value(-i64::from(twin.sweep.marker)),
                Answer::Trap(trap) => {
                    let mut other = trap.clone();
                    other.syscall += 1;
                    Answer::Trap(other)
                }
            };
            // Of uprobe's two errnos either is right.
            if matches!(twin.foreseen[index].answer, Expected::OneOf(_)) {
                wrong[index] = Answer::Value(-1);
            }
            let found = twin.differences(&wrong);
            assert_eq!(found.len(), 1, "{:?}", twin.calls[index]);
            assert_eq!((found[0].call, &found[0].observed), (twin.calls[index], &wrong[index]));
        }
    }

    #[test]
    fn the_marker_is_an_errno_that_the_filter_never_gives() {
        let traits = Traits::newest();
        let all =
            Twin::of(&vec![bpf::ret(Action::Errno(4000))].into(), &Calls::default(), true, &traits).unwrap();
        assert_eq!(all.sweep.marker, 3999);
        // Errno by number: 0 to 1023 and more, but not all of the markers.
        let by_number =
            vec![bpf::ld(0), bpf::alu(bpf::op::AND, 0xfff), bpf::alu(bpf::op::OR, 0x0005_0000), bpf::ret_a()];
        let twin = Twin::of(&by_number.into(), &Calls::default(), true, &traits).unwrap();
        assert_eq!(twin.sweep.marker, 4000);
        assert_eq!(twin.foreseen[77].answer, Expected::Exactly(Answer::Value(-77)));
    }

    #[test]
    fn a_filter_that_is_none_has_no_twin() {
        let refused = Twin::of(&Filter::default(), &Calls::default(), true, &Traits::newest()).err().unwrap();
        assert_eq!(refused.to_string(), "the filter is refused with errno 22 EINVAL");
    }

    #[test]
    fn arguments_and_entry_reach_the_filter() {
        use atlas_model::abi::offset;
        let filter = vec![
            bpf::ld(offset::arg_low(2)),
            bpf::jeq(5, 0, 3),
            bpf::ld(offset::ARCH),
            bpf::jeq(Abi::I386.audit_arch(), 0, 1),
            bpf::ret(Action::Errno(1)),
            bpf::ret(Action::Allow),
        ];
        let twin =
            Twin::of(&filter.clone().into(), &Calls::Every([0, 0, 5, 0, 0, 0]), true, &Traits::newest())
                .unwrap();
        for (call, foreseen) in twin.calls.iter().zip(&twin.foreseen) {
            let through = foreseen.answer == Expected::Exactly(Answer::Value(-i64::from(twin.sweep.marker)));
            let exempt = call.abi == Abi::X86_64 && matches!(call.nr, 335 | 336);
            assert_eq!(through, call.abi != Abi::I386 && !exempt, "{call:?}");
        }
        let other = Twin::of(&filter.into(), &Calls::default(), true, &Traits::newest()).unwrap();
        assert_ne!(other.foreseen, twin.foreseen);
    }
}
