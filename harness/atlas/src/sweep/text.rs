//! Sweeps as people and machines read them.

use super::map::{Map, Row, Shown};
use super::{Leg, Seen};
use crate::numbers::{call_text, paragraph, ranges, words, wrapped};
use crate::report::wording::list;
use crate::results::Jit;
use atlas_model::abi::syscalls;
use atlas_model::{Abi, Action, Call};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How many differences are told one by one.
const MOST_TOLD: usize = 40;

/// One sweep in one line.
#[must_use]
pub fn leg_line(leg: &Leg) -> String {
    let Leg { kernel, jit, .. } = leg;
    let verdict = match &leg.outcome {
        Err(problem) => problem.clone(),
        Ok(seen) => {
            let agrees = match seen.differences.len() {
                0 => "agrees with the model".to_owned(),
                1 => "DIFFERS from the model at 1 call".to_owned(),
                count => format!("DIFFERS from the model at {count} calls"),
            };
            let Seen { processes, took, suspended, .. } = seen;
            let how = if *suspended { ", filters suspended for their maker" } else { "" };
            format!("{agrees}; {:.2} s, {processes} processes{how}", took.as_secs_f64())
        }
    };
    format!("{kernel:8} {:9} {verdict}", jit.name())
}

/// All of it: a line a sweep, the map, where kernels differ, and where the model does.
#[must_use]
pub fn render(legs: &[Leg]) -> String {
    let mut text = legs.iter().map(|leg| leg_line(leg) + "\n").collect::<String>();
    let seen: Vec<(&Leg, &Seen)> =
        legs.iter().filter_map(|leg| leg.outcome.as_ref().ok().map(|seen| (leg, seen))).collect();
    for (leg, seen) in &seen {
        text.push_str(&differences(leg, seen));
    }
    // The newest kernel's map is told whole, the others by what they change.
    let Some((_, shown)) = seen.last() else { return text };
    text.push_str(&map(&shown.map));
    text + &elsewhere(&seen)
}

/// What other sweeps answer otherwise than the last one.
pub(crate) fn elsewhere(seen: &[(&Leg, &Seen)]) -> String {
    let Some((newest, shown)) = seen.last() else { return String::new() };
    let mut changes: Vec<(String, Vec<(&str, Jit)>)> = Vec::new();
    for (leg, other) in seen {
        let of_leg = (leg.kernel.as_str(), leg.jit);
        for (abi, nr, there, here) in other.map.changes_from(&shown.map) {
            let call = call_text(&Call { abi, nr: nr.into(), args: [0; 6] });
            let there = there.map_or("nothing".into(), |shown| shown.to_string());
            let line = format!("{call}: {here} instead of {there}");
            match changes.iter_mut().find(|(known, _)| *known == line) {
                Some((_, legs)) => legs.push(of_leg),
                None => changes.push((line, vec![of_leg])),
            }
        }
    }
    let mut text = String::new();
    if !changes.is_empty() {
        text.push_str(&format!("\nelsewhere than on {} {}\n", newest.kernel, newest.jit.name()));
    }
    for (line, legs) in changes {
        text.push_str(&format!("  {line}\n"));
        text.push_str(&wrapped("      on ", &kernels(&legs)));
    }
    text
}

/// Kernels by name, those with one JIT setting alone with that.
pub(crate) fn kernels(legs: &[(&str, Jit)]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for &(kernel, jit) in legs {
        let both = legs.iter().filter(|(other, _)| *other == kernel).count() > 1;
        let name = if both { kernel.to_owned() } else { format!("{kernel} {}", jit.name()) };
        if told.last() != Some(&name) {
            told.push(name);
        }
    }
    let last = told.len().saturating_sub(1);
    told[..last].iter_mut().for_each(|name| name.push(','));
    told
}

/// The calls on which a kernel and the model differ.
pub(crate) fn differences(leg: &Leg, seen: &Seen) -> String {
    let mut text = String::new();
    for difference in seen.differences.iter().take(MOST_TOLD) {
        let (expected, observed) = (
            Shown::expected(&difference.expected, seen.marker),
            Shown::of(&difference.observed, seen.marker).to_string(),
        );
        // Two that look alike differ in what a person is not shown.
        let (expected, observed) = if expected == observed {
            (format!("{:?}", difference.expected), format!("{:?}", difference.observed))
        } else {
            (expected, observed)
        };
        let call = match difference.call {
            call if call.args == [0; 6] => call_text(&call),
            call => call.to_text(),
        };
        let why = if difference.why.is_empty() { "no filter" } else { &difference.why };
        text.push_str(&format!(
            "\n{} {}: {call}\n  expected {expected} ({why})\n  observed {observed}\n",
            leg.kernel,
            leg.jit.name()
        ));
    }
    match seen.differences.len().checked_sub(MOST_TOLD) {
        None | Some(0) => text,
        Some(more) => format!("{text}  and {more} more\n"),
    }
}

/// A map: an ABI's numbers by answer, then the names that ABIs differ on.
#[must_use]
pub fn map(map: &Map) -> String {
    let mut text = String::new();
    for (abi, entry) in [
        (Abi::X86_64, "by the syscall instruction"),
        (Abi::X32, "by the syscall instruction, with the x32 bit"),
        (Abi::I386, "by int 0x80"),
    ] {
        text.push_str(&format!("\n{abi}, {entry}\n"));
        let rows = map.rows(abi);
        let width = rows.iter().map(|row| row.shown.to_string().len()).max().unwrap_or(0).max(20);
        let common = commonest(&rows);
        let (most, others): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| Some(row.shown) == common);
        for row in others {
            text.push_str(&wrapped(&head(row, width), &words(abi, &row.numbers)));
        }
        for row in most {
            let what = if rows.len() == 1 { "every number" } else { "every other number" };
            text.push_str(&format!("{}{what}\n", head(row, width)));
        }
    }
    text.push_str(&unlike(map));
    text + &on_paper(map.on_paper())
}

/// What no kernel was asked of a filter, and where it is shown; nothing where there is none.
#[must_use]
pub fn on_paper(actions: Vec<Action>) -> String {
    // One word for all that TRACE may carry.
    let kinds: BTreeSet<String> = actions
        .into_iter()
        .map(|action| match action {
            Action::Trace(_) => "TRACE".into(),
            Action::Unknown(_) => "unknown actions".into(),
            other => other.to_string(),
        })
        .collect();
    if kinds.is_empty() {
        return String::new();
    }
    let kinds: Vec<String> = kinds.into_iter().collect();
    let said = format!(
        "on paper: no call runs in a sweep, for a filter below this one answers each with an errno, and that wins \
         over {}. That the kernel let these calls come to it was seen, what it does with them was not: `atlas run` \
         shows that",
        list(&kinds)
    );
    format!("\n{}", paragraph("", &said))
}

fn head(row: &Row, width: usize) -> String {
    format!("  {:width$} {:4}  ", row.shown.to_string(), row.numbers.len())
}

/// The names that ABIs differ on. Those for which each ABI has its commonest answer are only counted.
fn unlike(map: &Map) -> String {
    let groups = map.unlike();
    if groups.is_empty() {
        return "\nevery name is answered alike in every ABI that has it\n".into();
    }
    let common: Vec<(Abi, Option<Shown>)> =
        Abi::ALL.iter().map(|&abi| (abi, commonest(&map.rows(abi)))).collect();
    let is_common = |(abi, shown): &(Abi, Shown)| common.contains(&(*abi, Some(*shown)));
    let mut text = String::from("\ndiffers between ABIs\n");
    let mut counted = 0;
    for group in &groups {
        if group.answers.iter().all(is_common) {
            counted += group.names.len();
            continue;
        }
        let answers: Vec<String> =
            group.answers.iter().map(|(abi, shown)| format!("{abi} {shown}")).collect();
        text.push_str(&format!("  {}\n", answers.join(", ")));
        text.push_str(&wrapped(
            "      ",
            &group.names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        ));
    }
    if counted > 0 {
        text.push_str(&format!("  {counted} more names, by the commonest answer of each ABI\n"));
    }
    text
}

/// The answer that most numbers have.
fn commonest(rows: &[Row]) -> Option<Shown> {
    rows.iter().rev().max_by_key(|row| row.numbers.len()).map(|row| row.shown)
}

/// For machines.
#[must_use]
pub fn to_json(legs: &[Leg]) -> Value {
    json!({ "agrees": legs.iter().all(Leg::agrees), "sweeps": legs.iter().map(leg_json).collect::<Vec<_>>() })
}

fn leg_json(leg: &Leg) -> Value {
    let mut object = json!({
        "kernel": leg.kernel,
        "release": leg.release,
        "jit": leg.jit.name(),
        "agrees": leg.agrees(),
    });
    match &leg.outcome {
        Err(problem) => object["problem"] = json!(problem),
        Ok(seen) => {
            object["seconds"] = json!(seen.took.as_secs_f64());
            object["processes"] = json!(seen.processes);
            object["suspended"] = json!(seen.suspended);
            object["differences"] = seen
                .differences
                .iter()
                .map(|d| {
                    json!({
                        "abi": d.call.abi.name(),
                        "number": d.call.nr,
                        "name": syscalls::name(d.call.abi, d.call.nr as u32),
                        "expected": Shown::expected(&d.expected, seen.marker),
                        "observed": Shown::of(&d.observed, seen.marker).to_string(),
                        "decided": d.why,
                    })
                })
                .collect();
            object["map"] = Abi::ALL
                .iter()
                .flat_map(|&abi| seen.map.rows(abi).into_iter().map(move |row| row_json(abi, &row)))
                .collect();
            object["unlike"] = seen.map.unlike().iter().map(|group| json!({
                "answers": group.answers.iter().map(|(abi, shown)| (abi.name().to_owned(), json!(shown.to_string())))
                    .collect::<serde_json::Map<_, _>>(),
                "names": group.names,
            })).collect();
        }
    }
    object
}

fn row_json(abi: Abi, row: &Row) -> Value {
    json!({
        "abi": abi.name(),
        "answer": row.shown.to_string(),
        "numbers": ranges(&row.numbers),
        "names": row.numbers.iter().filter_map(|&nr| syscalls::name(abi, nr)).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Jit;
    use crate::sweep::example::Example;
    use crate::sweep::twin::Twin;
    use atlas_model::expect::Expected;
    use atlas_model::sweep::{Answer, Calls};
    use atlas_model::traits::Traits;
    use std::time::Duration;

    /// A sweep of the toy on a kernel that answers as the model says, but for these calls.
    fn leg(kernel: &str, wrong: &[(usize, Answer)]) -> Leg {
        let twin =
            Twin::of(&Example::Toy.filter().unwrap(), &Calls::default(), true, &Traits::newest()).unwrap();
        let mut answers: Vec<Answer> = twin
            .foreseen
            .iter()
            .map(|foreseen| match &foreseen.answer {
                Expected::Exactly(answer) => answer.clone(),
                Expected::OneOf(values) => Answer::Value(values[0]),
                Expected::Runs => panic!("nothing runs behind a marker"),
            })
            .collect();
        for (index, answer) in wrong {
            answers[*index] = answer.clone();
        }
        let seen = Seen {
            map: Map::of(&twin.calls, &answers, &twin.words, twin.sweep.marker),
            differences: twin.differences(&answers),
            marker: twin.sweep.marker,
            suspended: true,
            processes: 3082,
            took: Duration::from_millis(450),
        };
        Leg { kernel: kernel.into(), release: kernel.into(), jit: Jit::On, outcome: Ok(seen) }
    }

    #[test]
    fn a_kernel_that_differs_is_told_with_the_call_and_what_decides() {
        let legs = [leg("6.12", &[(2, Answer::Value(-38))]), leg("7.3", &[])];
        assert!(!legs[0].agrees() && legs[1].agrees());
        insta::assert_snapshot!(render(&legs));
        let json = to_json(&legs);
        assert_eq!(json["agrees"], false);
        assert_eq!(json["sweeps"][0]["differences"][0]["name"], "open");
        assert_eq!(json["sweeps"][0]["differences"][0]["observed"], "ERRNO(38 ENOSYS)");
        assert_eq!(json["sweeps"][1]["map"][0]["names"][0], "read");
    }

    #[test]
    fn a_sweep_that_came_to_nothing_agrees_with_nothing() {
        let lost = Leg { outcome: Err("the guest was lost".into()), ..leg("7.3", &[]) };
        assert!(!lost.agrees());
        assert_eq!(render(&[lost]), "7.3      jit_on    the guest was lost\n");
    }
}
