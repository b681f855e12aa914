//! Checks as people read them.

use super::chosen::Chosen;
use super::files::OWN;
use super::program::{Denied, Program, Ran};
use super::verdict::verdict;
use super::{Leg, Order};
use crate::explain::{Map, Subject, text as paper};
use crate::numbers::{few, paragraph, wrapped};
use crate::report::safe::{clip, one_line};
use crate::report::wording::count;
use crate::results::Jit;
use crate::sweep::{self, Seen, text as swept};
use atlas_cases::Subject as Probed;
use atlas_model::Call;
use atlas_model::abi::syscalls;
use atlas_model::observation::End;
use atlas_model::sweep::COUNT;
use atlas_wire::window::ADDRESS;
use atlas_wire::{Came, Late};
use std::path::Path;

/// What glibc's loader looks for in every program (ld.so(8)).
const PRELOAD: &str = "/etc/ld.so.preload";
/// The signal that nobody handles (signal(7)).
const SIGKILL: i32 = 9;
/// How many files of a program's are named.
const FILES: usize = 8;
/// How much of a program's output is told where it did not end well: lines, and characters of each.
const OUTPUT: (usize, usize) = (12, 160);

/// What became of a leg, in a line.
#[must_use]
pub fn leg_line(leg: &Leg) -> String {
    let head = format!("{:8} {:9}", leg.every.kernel, leg.every.jit.name());
    let program = leg.ran.as_ref().map(|ran| format!("; {}", end(ran))).unwrap_or_default();
    format!("{head} {}{program}", filter(leg))
}

/// What became of the filter.
fn filter(leg: &Leg) -> String {
    let problem = leg.sweeps().find_map(|sweep| sweep.outcome.as_ref().err());
    if let Some(problem) = problem {
        return problem.clone();
    }
    match leg.seen().map(|(_, seen)| seen.differences.len()).sum() {
        0 => "as the model says".into(),
        1 => "DIFFERS at 1 call".into(),
        count => format!("DIFFERS at {count} calls"),
    }
}

/// How a program ended, for people.
fn end(ran: &Result<Ran, String>) -> String {
    let ran = match ran {
        Ok(ran) => ran,
        Err(problem) => return format!("no end was seen: {problem}"),
    };
    let late = late(ran);
    let ended = match ran.end {
        None => return format!("not over in time{late}"),
        Some(End::Exited(status)) => format!("exit status {status}"),
        Some(End::Signaled { signal: SIGKILL, .. }) if ran.traced.starved.is_some_and(|count| count > 0) => {
            "killed for want of memory".into()
        }
        Some(End::Signaled { signal, .. }) => format!("killed by signal {signal}{}", last(ran)),
        Some(End::NeverMade) => format!("never began{}", last(ran)),
        Some(other) => other.to_text(),
    };
    match &ran.traced.late {
        None => ended,
        Some(left) => {
            let tasks = if left.len() == 1 { "a task that it made is" } else { "tasks that it made are" };
            format!("{ended}, but {tasks} not over in time{late}")
        }
    }
}

/// The call that one of the tasks is in that were not over in time: the first that does not wait for others or end.
fn late(ran: &Ran) -> String {
    let late = ran.traced.late.as_deref().unwrap_or_default();
    let of_itself = |late: &&Late| late.call.as_ref().is_none_or(|call| !is_an_end(call));
    match late.iter().find(of_itself).or(late.first()) {
        None => String::new(),
        Some(Late { call: None, .. }) => ", in no call".into(),
        Some(Late { call: Some(call), .. }) => format!(", in {}", call.to_text_as_taken(0)),
    }
}

/// Whether a call waits for other processes, or ends its own task.
fn is_an_end(call: &Call) -> bool {
    let name = syscalls::name(call.abi, call.nr as u32);
    name.is_some_and(|name| ["wait4", "waitid", "waitpid", "exit", "exit_group"].contains(&name))
}

/// The denied call that a program ended in.
fn last(ran: &Ran) -> String {
    let ended =
        |denied: &&Denied| !matches!(denied.made.came, Came::Back(_)) || ran.end == Some(End::NeverMade);
    let last = ran.denied.iter().rev().find(ended);
    last.map(|denied| format!(", in {}", denied.made.call().to_text_as_taken(0))).unwrap_or_default()
}

/// What came of a call, for people.
fn came(came: &Came) -> String {
    match came {
        Came::Back(value) => format!("it returned {value}"),
        Came::Never => "it did not come back".into(),
        Came::Trapped(sigsys) => format!("it was trapped with data {}", sigsys.errno),
    }
}

/// All of it.
#[must_use]
pub fn render(subject: &Subject, map: &Map, order: &Order, legs: &[Leg]) -> String {
    let mut text = paper::head(subject)
        + &asked(&order.chosen, map.explored.is_whole())
        + &order.program.as_ref().map(comes_with).unwrap_or_default()
        + "\n"
        + &table(legs, order.program.is_some());
    for (sweep, seen) in legs.iter().flat_map(Leg::seen) {
        text.push_str(&swept::differences(sweep, seen));
    }
    // The maps of every number; chosen calls have arguments that a map does not know.
    let maps: Vec<(&sweep::Leg, &Seen)> =
        legs.iter().filter_map(|leg| Some((&leg.every, leg.every.outcome.as_ref().ok()?))).collect();
    text.push_str(&swept::elsewhere(&maps));
    text.push_str(&lacks(legs));
    text.push_str(&program(legs));
    let on_paper = legs.iter().flat_map(Leg::seen).flat_map(|(_, seen)| seen.map.on_paper());
    text.push_str(&swept::on_paper(on_paper.collect()));
    text + &paper::worth_knowing(subject, map) + "\n" + &verdict(legs) + "\n"
}

/// What was asked, and what that covers.
fn asked(chosen: &Chosen, whole: bool) -> String {
    let Chosen { calls, ways, out_of_reach, cut } = chosen;
    let mut said = format!(
        "{COUNT} numbers and {} chosen calls, one at least for each of {ways} ways through it",
        calls.len()
    );
    if *out_of_reach > 0 {
        said.push_str(&format!("; no call of this machine takes {out_of_reach} more"));
    }
    if *cut {
        said.push_str("; there are more, which were not tried");
    }
    if !whole {
        said.push_str("; there may be more ways, see below");
    }
    paragraph("", &said)
}

/// The program, and what it finds besides itself.
fn comes_with(program: &Program) -> String {
    let files = program.files.all();
    if files.len() == 1 {
        return String::new();
    }
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    let mib = bytes as f64 / f64::from(1 << 20);
    let paths: Vec<&String> = files.iter().map(|file| &file.path).collect();
    paragraph("", &format!("{} is run with {mib:.1} MiB of files: {}", program.name, few(&paths, FILES)))
}

/// A row a kernel; its JIT settings share one where they came to the same.
fn table(legs: &[Leg], program: bool) -> String {
    let mut rows: Vec<[String; 5]> = Vec::new();
    for leg in legs {
        let ran = leg.ran.as_ref().map(end).unwrap_or_default();
        let row = [
            leg.every.kernel.clone(),
            leg.every.release.clone(),
            leg.every.jit.name().replace("jit_", ""),
            filter(leg),
            ran,
        ];
        match rows.last_mut().filter(|last| last[..2] == row[..2] && last[3..] == row[3..]) {
            Some(last) => last[2] = format!("{} and {}", last[2], row[2]),
            None => rows.push(row),
        }
    }
    let last = if program { "program" } else { "" };
    rows.insert(0, ["kernel", "release", "JIT", "filter", last].map(str::to_owned));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("  {}", cells.join("  ")).trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// What kernels do not know of what the filter gives.
fn lacks(legs: &[Leg]) -> String {
    let mut told = Vec::new();
    for leg in legs {
        for feature in &leg.lacks {
            let advice = crate::advice::of(Probed::Feature(*feature));
            let line = format!(
                "{} lacks {}: {} {}",
                leg.every.kernel,
                feature.info().name,
                advice.instead,
                advice.advice
            );
            if !told.contains(&line) {
                told.push(line);
            }
        }
    }
    let text: String = told.iter().map(|line| paragraph("  ", line)).collect();
    if text.is_empty() { text } else { format!("\nnot there\n{text}") }
}

/// What the program was denied, and where.
fn program(legs: &[Leg]) -> String {
    let ran: Vec<(&Leg, &Ran)> =
        legs.iter().filter_map(|leg| Some((leg, leg.ran.as_ref()?.as_ref().ok()?))).collect();
    let mut text = denied(&ran);
    for (leg, ran) in &ran {
        for wrong in &ran.wrong {
            text.push_str(&format!(
                "\n{} {}: {} of the program\n  expected: {}\n  observed: {}\n",
                leg.every.kernel,
                leg.every.jit.name(),
                wrong.made.call().to_text_as_taken(0),
                wrong.expected,
                came(&wrong.made.came)
            ));
        }
    }
    if ran.iter().any(|(_, ran)| ran.own_filter) {
        text.push_str(
            "  the program attached a filter of its own: what it calls from then on is not judged\n",
        );
    }
    if ran.iter().any(|(_, ran)| ran.end == Some(End::NeverMade)) {
        text.push_str(
            "  the filter is attached before the program is executed, as container runtimes do it, so it has to let\n  \
             execve through\n",
        );
    }
    let starved = ran.iter().filter_map(|(_, ran)| ran.traced.starved).max().unwrap_or(0);
    if starved > 0 {
        text.push_str(&paragraph(
            "  ",
            &format!(
                "for want of memory the kernel ended {} of it; guests have {} MiB, its files among them",
                count(starved as usize, "process", "processes"),
                ADDRESS >> 20
            ),
        ));
    }
    text + &missed(&ran) + &output(&ran)
}

/// What programs that did not end well had looked for.
fn missed(ran: &[(&Leg, &Ran)]) -> String {
    let mut all: Vec<&String> = Vec::new();
    for path in ran.iter().filter(|(_, ran)| !ran.well).flat_map(|(_, ran)| &ran.traced.missed) {
        if path != PRELOAD && !all.contains(&path) {
            all.push(path);
        }
    }
    if all.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = all.iter().map(|path| one_line(path, OUTPUT.1)).collect();
    let own = |path: &&&String| OWN.iter().any(|own| Path::new(path).starts_with(own));
    let advice = match all.iter().filter(own).count() {
        0 => "--file gives it files",
        count if count == all.len() => "guests have their own /dev, /proc and /sys",
        _ => "--file gives it files, but not in /dev, /proc and /sys, which are the guest's own",
    };
    let said = format!("it looked for {}, and did not find it: {advice}", shown.join(", "));
    format!("\nnot there for the program\n{}", paragraph("  ", &said))
}

/// Whether two denied calls are the same to the filter, which looked at the same arguments, and to people, who see paths.
fn alike(one: &Denied, other: &Denied) -> bool {
    let key = |it: &Denied| {
        let args: Vec<u64> = it.looked_at.iter().map(|&index| it.made.args[index]).collect();
        (it.made.abi, it.made.nr, it.action, it.decided_at, it.looked_at.clone(), args, it.made.path.clone())
    };
    key(one) == key(other)
}

/// The path that a denied call was given.
fn path(denied: &Denied) -> String {
    let path = denied.made.path.as_ref();
    path.map(|path| format!(" of {}", one_line(path, OUTPUT.1))).unwrap_or_default()
}

/// Each call that was denied, once, with the kernels where it was.
fn denied(ran: &[(&Leg, &Ran)]) -> String {
    let mut told: Vec<(&Denied, Vec<(&str, Jit)>)> = Vec::new();
    for (leg, ran) in ran {
        let of_leg = (leg.every.kernel.as_str(), leg.every.jit);
        for one in &ran.denied {
            match told.iter_mut().find(|(other, _)| alike(other, one)) {
                Some((_, legs)) if legs.last() == Some(&of_leg) => {}
                Some((_, legs)) => legs.push(of_leg),
                None => told.push((one, vec![of_leg])),
            }
        }
    }
    let mut text = String::new();
    if !told.is_empty() {
        text.push_str("\ndenied to the program\n");
    }
    for (one, on) in told {
        let Denied { action, decided_at, .. } = one;
        let looked_at: Vec<String> = one.looked_at.iter().map(|index| format!("args[{index}]")).collect();
        let by =
            if looked_at.is_empty() { String::new() } else { format!(", for {}", looked_at.join(" and ")) };
        text.push_str(&format!(
            "  {}{}: {action} by instruction {decided_at:04}{by}\n",
            one.made.call().to_text_as_taken(one.looked_at.last().map_or(0, |index| index + 1)),
            path(one)
        ));
        if on.len() < ran.len() {
            text.push_str(&wrapped("      on ", &swept::kernels(&on)));
        }
    }
    let more = ran.iter().map(|(_, ran)| ran.traced.left_out.denied).max().unwrap_or(0);
    if more > 0 {
        text.push_str(&format!(
            "  {more} more that came out like some of these, and are not kept one by one\n"
        ));
    }
    text
}

/// What a program said that did not end well; once where several said the same.
fn output(ran: &[(&Leg, &Ran)]) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut text = String::new();
    for (leg, ran) in ran.iter().filter(|(_, ran)| !ran.well) {
        let said = [("standard output", &ran.traced.stdout), ("standard error", &ran.traced.stderr)]
            .into_iter()
            .filter(|(_, bytes)| !bytes.is_empty())
            .map(|(stream, bytes)| {
                let shown = clip(&String::from_utf8_lossy(bytes), OUTPUT.0, OUTPUT.1, true);
                format!(
                    "its {stream}\n{}\n",
                    shown.lines().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
                )
            })
            .collect::<String>();
        if !said.is_empty() && !told.contains(&said) {
            text.push_str(&format!(
                "\non {} {} the program said\n{said}",
                leg.every.kernel,
                leg.every.jit.name()
            ));
            told.push(said);
        }
    }
    text
}
