//! Filters on paper as people and machines read them.

use super::call::Asked;
use super::{Explained, Map, Subject, remarks};
use crate::numbers::{call_text, few, paragraph, ranges, words, wrapped};
use atlas_model::abi::{offset, syscalls};
use atlas_model::bpf::op::{self, Kind};
use atlas_model::bpf::{self, Way};
use atlas_model::policy::Rule;
use atlas_model::{Abi, Action};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many ways of a call are told.
const MOST_TOLD: usize = 40;
/// How many calls are named that are decided alike.
const NAMES: usize = 24;
/// Comparisons that lead to the next instruction are left out where there are more in a row.
const IN_A_ROW: usize = 6;

/// What a filter is, in a line.
#[must_use]
pub fn head(subject: &Subject) -> String {
    let by = subject.compiler.map(|compiler| format!(" by {compiler}")).unwrap_or_default();
    let (length, kernel) = (subject.filter.len(), subject.kernel_len());
    format!("{}{by}: {length} instructions of classic BPF, {kernel} for the kernel\n", subject.name)
}

/// One call: what it comes to, and the way there.
#[must_use]
pub fn call(subject: &Subject, explained: &Explained) -> String {
    let actions: Vec<String> = explained.actions().iter().map(ToString::to_string).collect();
    let call = explained.asked.call();
    let mut text = match explained.asked.args {
        Some(_) => format!("{}: {}\n", call.to_text(), actions.join(" or ")),
        None => format!("{}: {}\n", call_text(&call), actions.join(" or ")),
    };
    match explained.ways.as_slice() {
        [way] => text.push_str(&steps(subject, way)),
        _ => text.push_str(&branches(explained, branch)),
    }
    if let (Some(index), Some(policy)) = (explained.rule, &subject.policy) {
        text.push_str(&format!("  by rule {index} of the policy{}\n", conditions(&policy.rules[index])));
    } else if let (Some(policy), Some(_)) = (&subject.policy, explained.asked.args) {
        let spoken_of = policy.abis.contains(&explained.asked.abi);
        let what = if spoken_of {
            "no rule of the policy matches: its default"
        } else {
            "the policy does not speak of this ABI"
        };
        text.push_str(&format!("  {what}\n"));
    }
    text.push_str(&doubts(explained));
    text
}

/// The ways of a call, as many as somebody may read.
fn branches(explained: &Explained, line: fn(&Way) -> String) -> String {
    let mut ways: Vec<&Way> = explained.ways.iter().collect();
    if ways.len() > MOST_TOLD {
        // What most of them come to can be guessed.
        let mut alike: BTreeMap<u32, usize> = BTreeMap::new();
        ways.iter().for_each(|way| *alike.entry(way.ran.word).or_default() += 1);
        ways.sort_by_key(|way| alike[&way.ran.word]);
    }
    let told = ways.into_iter().take(MOST_TOLD).map(line).collect::<String>();
    match explained.ways.len().checked_sub(MOST_TOLD) {
        None | Some(0) => told,
        Some(more) => format!("{told}  and {more} more ways\n"),
    }
}

fn doubts(explained: &Explained) -> String {
    let mut text = String::new();
    if explained.cut {
        text.push_str("  there are more ways than were gone over\n");
    }
    if !explained.blind.is_empty() {
        let at: Vec<String> = explained.blind.iter().map(|at| format!("{at:04}")).collect();
        let (of, what) =
            if at.len() == 1 { ("instruction", "compares") } else { ("instructions", "compare") };
        text.push_str(&wrapped(
            &format!("  there may be more ways: what is reckoned out is what {what} {of} "),
            &at,
        ));
    }
    text
}

fn conditions(rule: &Rule) -> String {
    let all: Vec<String> = rule.conditions.iter().map(ToString::to_string).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) }
}

/// The conditions of a way on arguments; those on the number and the arch are known.
fn of_arguments(way: &Way) -> Vec<String> {
    (0..6)
        .flat_map(|arg| [offset::arg_low(arg), offset::arg_high(arg)])
        .flat_map(|at| way.conditions_on(at))
        .collect()
}

/// What a way comes to, and when.
fn case(way: &Way) -> String {
    let action = Action::from_word(way.ran.word);
    let where_ = match of_arguments(way) {
        all if all.is_empty() => "in every other case".to_owned(),
        all => format!("where {}", all.join(", ")),
    };
    format!("  {action} {where_}\n")
}

/// The same with the instruction, which differs from call to call.
fn branch(way: &Way) -> String {
    format!("{}; instruction {:04} decides\n", case(way).trim_end(), way.ran.decided_at)
}

/// The instructions of a way, with what they saw.
fn steps(subject: &Subject, way: &Way) -> String {
    let meanings = bpf::meanings(&subject.filter);
    let step = |index: usize| {
        let at = way.steps[index];
        let saw = match (op::kind(subject.filter[at].code), way.steps.get(index + 1)) {
            (Some(Kind::LoadData), _) => {
                let word = way.data.word(subject.filter[at].k).unwrap_or_default();
                format!("= {word:#x}")
            }
            (Some(Kind::Branch { .. }), Some(next)) => format!("to {next:04}"),
            (_, None) => "decides".to_owned(),
            _ => String::new(),
        };
        format!("  {at:04}  {:50} {saw}", meanings[at]).trim_end().to_owned() + "\n"
    };
    let leads_on = |index: usize| {
        let at = way.steps[index];
        matches!(op::kind(subject.filter[at].code), Some(Kind::Branch { .. }))
            && way.steps.get(index + 1) == Some(&(at + 1))
    };
    let mut text = String::new();
    let mut index = 0;
    while index < way.steps.len() {
        let run = (index..way.steps.len()).take_while(|&index| leads_on(index)).count();
        if run > IN_A_ROW {
            let kept = IN_A_ROW / 2;
            (index..index + kept).for_each(|index| text.push_str(&step(index)));
            text.push_str(&format!("  …     {} comparisons more, each to the next\n", run - 2 * kept));
            (index + run - kept..index + run).for_each(|index| text.push_str(&step(index)));
            index += run;
        } else {
            text.push_str(&step(index));
            index += 1;
        }
    }
    text
}

/// The whole filter: what it lets through, what hangs on arguments, and what is worth knowing.
#[must_use]
pub fn whole(subject: &Subject, map: &Map) -> String {
    let mut text = String::new();
    for abi in [Abi::X86_64, Abi::X32, Abi::I386] {
        text.push_str(&format!("\n{abi}\n"));
        let Some(rows) = map.rows.get(&abi) else { continue };
        let common = map.commonest(abi);
        for (given, numbers) in rows.iter().rev().filter(|(given, _)| Some(*given) != common) {
            text.push_str(&wrapped(&row(given, numbers.len()), &words(abi, numbers)));
        }
        if let Some((given, numbers)) = common.and_then(|given| rows.get_key_value(given)) {
            let what = if rows.len() == 1 { "every number" } else { "every other number" };
            text.push_str(&format!("{}{what}\n", row(given, numbers.len())));
        }
    }
    text + &by_arguments(subject, map) + &worth_knowing(subject, map)
}

/// The remarks, under a head where there are some.
#[must_use]
pub fn worth_knowing(subject: &Subject, map: &Map) -> String {
    let remarks: String = remarks::of(subject, map).iter().map(|remark| paragraph("  ", remark)).collect();
    if remarks.is_empty() { remarks } else { format!("\nworth knowing\n{remarks}") }
}

fn row(given: &[u32], count: usize) -> String {
    let actions: Vec<String> = given.iter().map(|&word| Action::from_word(word).to_string()).collect();
    format!("  {:20} {count:4}  ", actions.join(" or "))
}

/// The calls of which arguments decide; a name that several ABIs decide alike is told once.
fn by_arguments(subject: &Subject, map: &Map) -> String {
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    let mut known: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
    for &(abi, nr) in &map.by_arguments {
        let asked = Asked { abi, nr, args: None };
        let place = *known.entry(map.kinds_for(&asked)).or_insert_with(|| {
            let explained = map.explain(subject, &asked);
            let said = branches(&explained, case) + &doubts(&explained);
            told.iter().position(|(other, _)| *other == said).unwrap_or_else(|| {
                told.push((said, vec![]));
                told.len() - 1
            })
        });
        told[place].1.push(call_text(&asked.call()));
    }
    let mut text = String::new();
    if !told.is_empty() {
        text.push_str("\narguments decide\n");
    }
    for (said, names) in told {
        text.push_str(&paragraph("  ", &few(&names, NAMES)));
        text.push_str(&said.lines().map(|line| format!("  {line}\n")).collect::<String>());
    }
    text
}

/// For machines.
#[must_use]
pub fn to_json(subject: &Subject, explained: &[Explained], map: Option<&Map>) -> Value {
    let mut object = json!({
        "filter": subject.name,
        "compiler": subject.compiler.map(atlas_policy::Compiler::name),
        "instructions": subject.filter.len(),
        "kernel_instructions": subject.kernel_len(),
        "notes": subject.notes,
        "calls": explained.iter().map(call_json).collect::<Vec<_>>(),
    });
    if let Some(map) = map {
        object["map"] = map
            .rows
            .iter()
            .flat_map(|(abi, rows)| {
                rows.iter().map(move |(given, numbers)| json!({
            "abi": abi.name(),
            "actions": given.iter().map(|&word| Action::from_word(word).to_string()).collect::<Vec<_>>(),
            "numbers": ranges(numbers),
            "names": numbers.iter().filter_map(|&nr| syscalls::name(*abi, nr)).collect::<Vec<_>>(),
        }))
            })
            .collect();
        object["unreached"] = json!(remarks::unreached(subject, map));
        object["whole"] = json!(map.explored.is_whole());
        object["cut"] = json!(map.explored.cut);
        object["blind"] = json!(map.explored.blind);
        object["looks_at_ip"] = json!(map.explored.looks_at_ip);
        object["remarks"] = json!(remarks::of(subject, map));
    }
    object
}

fn call_json(explained: &Explained) -> Value {
    let call = explained.asked.call();
    json!({
        "abi": call.abi.name(),
        "number": call.nr,
        "name": syscalls::name(call.abi, call.nr as u32),
        "args": explained.asked.args,
        "rule": explained.rule,
        "blind": explained.blind,
        "cut": explained.cut,
        "ways": explained.ways.iter().map(|way| json!({
            "action": Action::from_word(way.ran.word).to_string(),
            "word": way.ran.word,
            "decided_at": way.ran.decided_at,
            "steps": way.steps,
            "conditions": of_arguments(way),
            "example": way.data.args,
        })).collect::<Vec<_>>(),
    })
}
