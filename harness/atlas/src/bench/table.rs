//! Figures for the terminal: a row a measurement, a column a kernel and setting of the JIT.

use super::changes::changes;
use super::document::opcode;
use super::mitigations::in_words;
use super::results::{Bench, KernelBench, Leg};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Figures of one column.
struct Column<'a> {
    head: [String; 2],
    leg: &'a Leg,
}

/// The whole table, and what is to be said with it.
#[must_use]
pub fn table(bench: &Bench) -> String {
    let mut text = String::new();
    let columns: Vec<Column<'_>> = bench.kernels.iter().flat_map(columns_of).collect();
    let mut themes = BTreeSet::new();
    let names =
        ordered(columns.iter().flat_map(|column| column.leg.rows.iter().map(|row| row.name.as_str())));
    if !names.is_empty() {
        text.push_str("Instructions a call, exact\n");
        heads(&mut text, &columns);
    }
    for name in names {
        if themes.insert(name.split('/').next().unwrap_or_default()) && themes.len() > 1 {
            text.push('\n');
        }
        let cells = columns.iter().map(|column| {
            column.leg.rows.iter().find(|row| row.name == name).map_or(String::new(), |row| {
                row.instructions.map_or_else(|| short(&row.note), |figure| figure.to_string())
            })
        });
        line(&mut text, name, cells);
    }
    per_opcode(&mut text, &columns);
    parts(&mut text, &columns);
    for change in changes(bench) {
        let _ = writeln!(text, "{change}");
    }
    spreads(&mut text, &columns);
    mitigations(&mut text, bench);
    for kernel in &bench.kernels {
        if let Some(problem) = &kernel.problem {
            let _ = writeln!(text, "\n{}: {problem}", kernel.name);
        }
    }
    text
}

fn columns_of(kernel: &KernelBench) -> impl Iterator<Item = Column<'_>> {
    let head = |leg: &Leg| [kernel.name.clone(), leg.jit.name().replace('_', " ")];
    kernel.legs.iter().map(move |leg| Column { head: head(leg), leg })
}

/// Names in the order of their first appearance.
fn ordered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

fn heads(text: &mut String, columns: &[Column<'_>]) {
    for part in 0..2 {
        line(text, "", columns.iter().map(|column| column.head[part].clone()));
    }
}

fn line(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!(" {cell:>10}")).collect();
    let _ = writeln!(text, "{}", format!("{name:36}{cells}").trim_end());
}

/// A note that fits a cell.
fn short(note: &str) -> String {
    if note.starts_with("not steady") { "~".into() } else { note.chars().take(10).collect() }
}

/// What one instruction of each kind costs.
fn per_opcode(text: &mut String, columns: &[Column<'_>]) {
    let names =
        ordered(columns.iter().flat_map(|column| column.leg.rows.iter().map(|row| row.name.as_str())));
    let opcodes: Vec<&str> = names.into_iter().filter(|name| name.starts_with("opcode/")).collect();
    if opcodes.len() < 2 {
        return;
    }
    text.push_str("\nInstructions of the machine for one of the filter\n");
    heads(text, columns);
    for name in opcodes.iter().filter(|name| **name != "opcode/none") {
        let cells = columns
            .iter()
            .map(|column| opcode(column.leg, name.trim_start_matches("opcode/")).unwrap_or_default());
        line(text, name, cells);
    }
}

/// The sums.
fn parts(text: &mut String, columns: &[Column<'_>]) {
    if columns.iter().all(|column| column.leg.fit.is_none()) {
        return;
    }
    text.push_str("\ncall + entry + filters x (filter + compares x compare)\n");
    heads(text, columns);
    let mut part = |name: &str, of: fn(&super::results::Fit) -> i64| {
        let cells =
            columns.iter().map(|column| column.leg.fit.map_or("-".into(), |fit| of(&fit).to_string()));
        line(text, name, cells);
    };
    part("call", |fit| fit.call);
    part("entry", |fit| fit.entry);
    part("filter", |fit| fit.filter);
    part("compare", |fit| fit.compare);
    part("off by at most", |fit| fit.residual);
}

fn spreads(text: &mut String, columns: &[Column<'_>]) {
    let names =
        ordered(columns.iter().flat_map(|column| column.leg.spreads.iter().map(|row| row.name.as_str())));
    if names.is_empty() {
        return;
    }
    text.push_str("\nInstructions that are not one figure: the median (--spreads has the rest)\n");
    heads(text, columns);
    for name in names {
        let cells = columns.iter().map(|column| {
            column.leg.spreads.iter().find(|row| row.name == name).map_or(String::new(), |row| {
                if row.note.is_empty() { row.p50.to_string() } else { short(&row.note) }
            })
        });
        line(text, name, cells);
    }
}

fn mitigations(text: &mut String, bench: &Bench) {
    if bench.kernels.iter().all(|kernel| kernel.mitigations.is_empty()) {
        return;
    }
    text.push_str("\nWhat attaching a filter changes in the mitigation of speculative store bypass\n");
    for kernel in &bench.kernels {
        for seen in &kernel.mitigations {
            let allow = if seen.spec_allow { "SPEC_ALLOW" } else { "" };
            let what = in_words(seen);
            let _ = writeln!(text, "{:12} {:10} {allow:10} {what}", kernel.name, seen.cpu);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::{Fit, Mitigation, Row, Spread};
    use crate::results::Jit;

    #[test]
    fn everything_is_shown() {
        let row = |name: &str, instructions| Row { name: name.into(), instructions, ..Row::default() };
        let mut unsteady = row("depth/1", None);
        unsteady.note = "not steady: minimum 1".into();
        let mut absent = row("entry/x32/none", None);
        absent.note = "not there".into();
        let rows = vec![
            row("call/getppid", Some(306)),
            row("opcode/none", Some(500)),
            row("opcode/ja", Some(700)),
            unsteady,
            absent,
        ];
        let spreads = vec![Spread { name: "load/2".into(), p50: 4711, ..Spread::default() }];
        let fit = Some(Fit { call: 306, entry: 1, filter: 2, compare: 13, residual: 0 });
        let status = ["thread vulnerable".to_owned(), "thread force mitigated".to_owned()];
        let mitigations = vec![Mitigation { cpu: "EPYC".into(), status, ..Mitigation::default() }];
        let leg = Leg { jit: Jit::Off, rows, fit, spreads };
        let good =
            KernelBench { name: "6.12".into(), legs: vec![leg], mitigations, ..KernelBench::default() };
        let bad = KernelBench {
            name: "9.9".into(),
            problem: Some("no boot: why".into()),
            ..KernelBench::default()
        };
        insta::assert_snapshot!(table(&Bench { kernels: vec![good, bad], ..Bench::default() }));
    }
}
