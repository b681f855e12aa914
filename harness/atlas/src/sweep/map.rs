//! A sweep's answers as a map: what is let through where, and how that differs between ABIs.

use atlas_model::abi::syscalls;
use atlas_model::action::{errno, most_restrictive};
use atlas_model::expect::Expected;
use atlas_model::sweep::Answer;
use atlas_model::{Abi, Action, Call};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An answer as a person sees it, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// The filter lets it through, by ALLOW.
    Through,
    /// The filter gives this word, whose action is weaker than the marker's ERRNO and not ALLOW: LOG, TRACE,
    /// USER_NOTIF, or one that no kernel knows. The marker's answer was seen; the word is the model's.
    Weaker(u32),
    /// It came back with this value.
    Value(i64),
    /// It is trapped, with this data.
    Trap(i32),
    /// It ends the process by this signal.
    Killed(i32),
}

impl Shown {
    /// Reads an answer that was given above a marker.
    #[must_use]
    pub fn of(answer: &Answer, marker: u16) -> Self {
        match answer {
            Answer::Value(value) if *value == -i64::from(marker) => Self::Through,
            Answer::Value(value) => Self::Value(*value),
            Answer::Trap(trap) => Self::Trap(trap.errno),
            Answer::Killed(signal) => Self::Killed(*signal),
        }
    }

    /// What the model says of an answer, in the same words.
    #[must_use]
    pub fn expected(expected: &Expected, marker: u16) -> String {
        match expected {
            Expected::Exactly(answer) => Self::of(answer, marker).to_string(),
            Expected::OneOf(values) => {
                let texts: Vec<String> = values.iter().map(|value| Self::Value(*value).to_string()).collect();
                texts.join(" or ")
            }
            Expected::Runs => "the call runs".into(),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Through => f.write_str("let through"),
            Self::Weaker(word) => write!(f, "{}, on paper", Action::from_word(*word)),
            Self::Value(value @ ..=0) => match errno::name(-value) {
                Some(name) => write!(f, "ERRNO({} {name})", -value),
                None => write!(f, "ERRNO({})", -value),
            },
            Self::Value(value) => write!(f, "returns {value}"),
            Self::Trap(data) => write!(f, "TRAP({data})"),
            Self::Killed(31) => f.write_str("killed"),
            Self::Killed(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

/// Whether a marker wins over a word that is not ALLOW. Where it does not and yet decided the kernel let a call
/// through that the filter denies.
fn is_weaker(word: u32, marker: u16) -> bool {
    let both = [word, Action::Errno(marker).word()];
    Action::from_word(word) != Action::Allow && most_restrictive(&both, false) == Some(1)
}

/// What becomes of each number in each ABI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    shown: BTreeMap<(Abi, u32), Shown>,
}

/// Numbers of one ABI with one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The answer.
    pub shown: Shown,
    /// The numbers, ascending.
    pub numbers: Vec<u32>,
}

/// Names whose answers differ between ABIs in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// The answer by each ABI that has the calls.
    pub answers: Vec<(Abi, Shown)>,
    /// The calls.
    pub names: Vec<&'static str>,
}

impl Map {
    /// The map of a sweep. `words` is what the filter alone gives for each call, on paper: where the marker
    /// decided it says by which of the actions that are weaker the filter let the call through.
    #[must_use]
    pub fn of(calls: &[Call], answers: &[Answer], words: &[u32], marker: u16) -> Self {
        let key = |call: &Call| (call.abi, call.nr as u32);
        let shown = |answer: &Answer, word: u32| match Shown::of(answer, marker) {
            Shown::Through if is_weaker(word, marker) => Shown::Weaker(word),
            shown => shown,
        };
        let all = calls.iter().zip(answers).zip(words);
        Self { shown: all.map(|((call, answer), &word)| (key(call), shown(answer, word))).collect() }
    }

    /// The actions that are in it on paper only, the weakest last.
    #[must_use]
    pub fn on_paper(&self) -> Vec<Action> {
        let words = self.shown.values().filter_map(|shown| match shown {
            Shown::Weaker(word) => Some(*word),
            _ => None,
        });
        let words: BTreeSet<u32> = words.collect();
        words.into_iter().map(Action::from_word).collect()
    }

    /// What becomes of one call.
    #[must_use]
    pub fn get(&self, abi: Abi, nr: u32) -> Option<Shown> {
        self.shown.get(&(abi, nr)).copied()
    }

    /// One ABI's rows, what is let through first.
    #[must_use]
    pub fn rows(&self, abi: Abi) -> Vec<Row> {
        let mut rows: BTreeMap<Shown, Vec<u32>> = BTreeMap::new();
        for ((_, nr), shown) in self.shown.range((abi, 0)..=(abi, u32::MAX)) {
            rows.entry(*shown).or_default().push(*nr);
        }
        rows.into_iter().map(|(shown, numbers)| Row { shown, numbers }).collect()
    }

    /// The calls that two or more ABIs have, and that are not answered alike.
    #[must_use]
    pub fn unlike(&self) -> Vec<Unlike> {
        let mut by_name: BTreeMap<&'static str, Vec<(Abi, Shown)>> = BTreeMap::new();
        for ((abi, nr), shown) in &self.shown {
            if let Some(name) = syscalls::name(*abi, *nr) {
                by_name.entry(name).or_default().push((*abi, *shown));
            }
        }
        let mut groups: BTreeMap<Vec<(Abi, Shown)>, Vec<&'static str>> = BTreeMap::new();
        for (name, answers) in by_name {
            let distinct: BTreeSet<Shown> = answers.iter().map(|(_, shown)| *shown).collect();
            if distinct.len() > 1 {
                groups.entry(answers).or_default().push(name);
            }
        }
        groups.into_iter().map(|(answers, names)| Unlike { answers, names }).collect()
    }

    /// The calls whose answers differ from another map's: the call, the answer there, the one here.
    #[must_use]
    pub fn changes_from(&self, other: &Self) -> Vec<(Abi, u32, Option<Shown>, Shown)> {
        let changed = |(key, shown): (&(Abi, u32), &Shown)| {
            let before = other.shown.get(key).copied();
            (before != Some(*shown)).then_some((key.0, key.1, before, *shown))
        };
        self.shown.iter().filter_map(changed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::ranges;
    use atlas_model::sweep;

    /// The map of a filter that answers by this.
    fn map(answer: impl Fn(&Call) -> Answer) -> Map {
        let calls = sweep::calls([0; 6]);
        let answers: Vec<Answer> = calls.iter().map(answer).collect();
        Map::of(&calls, &answers, &vec![Action::Allow.word(); calls.len()], 4000)
    }

    #[test]
    fn every_number_is_in_one_row_of_its_abi() {
        let map = map(|call| match call.nr as u32 & 0xff {
            0..10 => Answer::Value(-4000),
            10..20 => Answer::Value(-1),
            20 => Answer::Value(0),
            21 => Answer::Killed(4),
            _ => Answer::Killed(31),
        });
        let count: usize = Abi::ALL.iter().flat_map(|&abi| map.rows(abi)).map(|row| row.numbers.len()).sum();
        assert_eq!(count, sweep::COUNT);
        let rows = map.rows(Abi::X86_64);
        let shown: Vec<String> = rows.iter().map(|row| row.shown.to_string()).collect();
        assert_eq!(shown, ["let through", "ERRNO(1 EPERM)", "ERRNO(0)", "killed by signal 4", "killed"]);
        assert_eq!(
            ranges(&rows[0].numbers),
            [(0, 9), (256, 265), (512, 521), (768, 777), (0x8000_0000, 0x8000_0000)]
        );
    }

    #[test]
    fn what_the_marker_wins_over_is_told_by_its_word() {
        let calls: Vec<Call> = sweep::calls([0; 6]).into_iter().take(4).collect();
        let [marked, denied] = [Answer::Value(-4000), Answer::Value(-1)];
        let answers = [marked.clone(), marked.clone(), marked, denied];
        let words = [0x7fff_0000, 0x7fc0_0007, 0x4000_0000, 0x0005_0001];
        let map = Map::of(&calls, &answers, &words, 4000);
        let shown: Vec<String> = map.rows(Abi::X86_64).iter().map(|row| row.shown.to_string()).collect();
        let wanted =
            ["let through", "unknown action 0x40000000, on paper", "USER_NOTIF, on paper", "ERRNO(1 EPERM)"];
        assert_eq!(shown, wanted);
        assert_eq!(map.on_paper(), [Action::Unknown(0x4000_0000), Action::UserNotif]);
        // A kernel that lets through what the filter denies is not told as one that denies it.
        for word in [Action::Errno(1), Action::KillThread, Action::KillProcess, Action::Trap(0)] {
            let map = Map::of(&calls[..1], &[Answer::Value(-4000)], &[word.word()], 4000);
            assert_eq!(map.rows(Abi::X86_64)[0].shown, Shown::Through, "{word}");
        }
    }

    #[test]
    fn names_that_differ_are_grouped_by_how() {
        // By number alone, as x86-64 has it: 101 is ptrace there, 26 in i386.
        let map = map(|call| Answer::Value(if call.nr == 101 { -1 } else { -4000 }));
        let unlike = map.unlike();
        let ptrace = unlike.iter().find(|group| group.names.contains(&"ptrace")).unwrap();
        assert_eq!(
            ptrace.answers,
            [(Abi::X86_64, Shown::Value(-1)), (Abi::I386, Shown::Through), (Abi::X32, Shown::Through)]
        );
        // 101 of i386 is ioperm.
        let ioperm = unlike.iter().find(|group| group.names.contains(&"ioperm")).unwrap();
        assert_eq!(ioperm.answers[..2], [(Abi::X86_64, Shown::Through), (Abi::I386, Shown::Value(-1))]);
        assert_eq!(unlike.len(), 2);
    }

    #[test]
    fn what_changes_is_found_in_both_directions() {
        let (one, other) =
            (map(|_| Answer::Value(-4000)), map(|call| Answer::Value(if call.nr == 5 { -1 } else { -4000 })));
        let changes = other.changes_from(&one);
        assert_eq!(changes.len(), 2);
        assert_eq!(changes[0], (Abi::X86_64, 5, Some(Shown::Through), Shown::Value(-1)));
        assert_eq!(one.changes_from(&other)[1], (Abi::I386, 5, Some(Shown::Value(-1)), Shown::Through));
        assert_eq!(one.changes_from(&one), []);
    }
}
