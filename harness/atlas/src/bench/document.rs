//! Tables within a Markdown document: each stands between two marks, and what is around them stays.
//!
//! ```text
//! <!-- bench parts -->
//! the table, written anew each time
//! <!-- end -->
//! ```
//!
//! A mark says what its table shows:
//!
//! - `bench summary`: how much was measured, on which kernels, with what, and when;
//! - `bench parts`: the cost of a call as a sum, a row a kernel;
//! - `bench changes`: where that sum changes from one kernel to the next;
//! - `bench rows K…: NAME; …`: these measurements on these kernels, the median where it is a spread;
//! - `bench opcodes K…: NAME; …`: one instruction of the filter on these kernels;
//! - `bench mitigations`: what attaching a filter changes besides.

use super::changes::changes;
use super::filters::REPEATED;
use super::mitigations::in_words;
use super::results::{Bench, Fit, KernelBench, Leg, Mitigation};
use crate::results::Jit;
use std::fmt::Write;

/// Why a document was not filled in. It is left as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// There is nothing to fill in.
    #[error("it has no mark `<!-- bench … -->`")]
    NoMark,
    /// A mark without its end.
    #[error("line {0}: the mark `<!-- bench … -->` has no `<!-- end -->`")]
    NoEnd(usize),
    /// A mark that nothing is known of.
    #[error("line {line}: `{mark}` is no mark: summary, parts, changes, rows, opcodes and mitigations are")]
    Unknown {
        /// Where it stands, from 1.
        line: usize,
        /// The mark.
        mark: String,
    },
    /// A figure that is not there.
    #[error("line {line}: {what} was not measured; the document is as it was")]
    Missing {
        /// Where its mark stands, from 1.
        line: usize,
        /// What is not there.
        what: String,
    },
}

const BEGIN: &str = "<!-- bench ";
const END: &str = "<!-- end -->";

/// The document with its tables written anew. The date stands in the summary.
///
/// # Errors
/// [`DocumentError`].
pub fn fill(document: &str, bench: &Bench, date: &str) -> Result<String, DocumentError> {
    let mut filled = String::new();
    let mut lines = document.lines().enumerate();
    let mut marks = 0;
    while let Some((index, text)) = lines.next() {
        let _ = writeln!(filled, "{text}");
        let Some(mark) = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        marks += 1;
        let line = index + 1;
        let table = table(mark, bench, date).map_err(|what| match what {
            None => DocumentError::Unknown { line, mark: mark.into() },
            Some(what) => DocumentError::Missing { line, what },
        })?;
        if !lines.any(|(_, text)| text == END) {
            return Err(DocumentError::NoEnd(line));
        }
        let _ = writeln!(filled, "{}\n{END}", table.trim_end());
    }
    if marks == 0 { Err(DocumentError::NoMark) } else { Ok(filled) }
}

/// What a mark asks for; otherwise what is missing, or nothing where nobody knows the mark.
fn table(mark: &str, bench: &Bench, date: &str) -> Result<String, Option<String>> {
    let (kind, rest) = mark.split_once(' ').unwrap_or((mark, ""));
    match kind {
        "summary" => Ok(summary(bench, date)),
        "parts" => parts(bench).map_err(Some),
        "changes" => Ok(changes(bench).iter().map(|change| format!("- {change}\n")).collect()),
        "mitigations" => Ok(mitigations(bench)),
        "rows" => figures(bench, rest, "measurement", row).map_err(Some),
        "opcodes" => figures(bench, rest, "instruction", opcode).map_err(Some),
        _ => Err(None),
    }
}

fn summary(bench: &Bench, date: &str) -> String {
    let legs = || bench.kernels.iter().flat_map(|kernel| &kernel.legs);
    let count: usize = legs().map(|leg| leg.rows.len() + leg.spreads.len()).sum();
    let releases: Vec<&str> = bench.kernels.iter().map(|kernel| kernel.release.as_str()).collect();
    let mut cpus: Vec<&str> = bench.kernels.iter().map(|kernel| kernel.cpu.as_str()).collect();
    cpus.dedup();
    format!(
        "Taken on {date}: {count} measurements with {} on the CPU model {}. Kernels: {}.",
        bench.qemu,
        cpus.join(", "),
        releases.join(", ")
    )
}

fn parts(bench: &Bench) -> Result<String, String> {
    let mut text = String::from(
        "| kernel | call | entry | filter, JIT on / off | compare, on / off | off by at most |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for kernel in &bench.kernels {
        let of = |jit| leg(kernel, jit)?.fit;
        let Some((on, off)) = of(Jit::On).zip(of(Jit::Off)) else {
            return Err(format!("the sum of {}", kernel.name));
        };
        let same = |part: fn(&Fit) -> i64| pair(&part(&on).to_string(), &part(&off).to_string(), false);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} / {} | {} / {} | {} |",
            kernel.name,
            same(|fit| fit.call),
            same(|fit| fit.entry),
            on.filter,
            off.filter,
            on.compare,
            off.compare,
            on.residual.max(off.residual)
        );
    }
    Ok(text)
}

/// Two figures; once only where they are the same and not wanted twice.
fn pair(on: &str, off: &str, twice: bool) -> String {
    if on == off && !twice { on.to_owned() } else { format!("{on} / {off}") }
}

fn leg(kernel: &KernelBench, jit: Jit) -> Option<&Leg> {
    kernel.legs.iter().find(|leg| leg.jit == jit)
}

/// A table of some names on some kernels, JIT on and off.
fn figures(
    bench: &Bench,
    what: &str,
    head: &str,
    of: fn(&Leg, &str) -> Option<String>,
) -> Result<String, String> {
    let (kernels, names) = what.split_once(": ").unwrap_or((what, ""));
    let mut columns = Vec::new();
    for name in kernels.split_whitespace() {
        let kernel = bench.kernels.iter().find(|kernel| kernel.name == name);
        columns.push(kernel.ok_or_else(|| format!("kernel {name}"))?);
    }
    let mut text = format!("| {head} |");
    columns.iter().for_each(|kernel| {
        let _ = write!(text, " {} on / off |", kernel.name);
    });
    let _ = writeln!(text, "\n| --- |{}", " --- |".repeat(columns.len()));
    for name in names.split("; ") {
        let _ = write!(text, "| `{name}` |");
        for kernel in &columns {
            let figure = |jit| leg(kernel, jit).and_then(|leg| of(leg, name));
            let both = figure(Jit::On).zip(figure(Jit::Off));
            let (on, off) = both.ok_or_else(|| format!("{name} on {}", kernel.name))?;
            let _ = write!(text, " {} |", pair(&on, &off, true));
        }
        text.push('\n');
    }
    Ok(text)
}

/// A figure, the median of a spread, or in short why there is none.
fn row(leg: &Leg, name: &str) -> Option<String> {
    if let Some(row) = leg.rows.iter().find(|row| row.name == name) {
        let note = if row.note.starts_with("not steady") { "not steady" } else { &row.note };
        return Some(row.instructions.map_or_else(|| note.to_owned(), |figure| figure.to_string()));
    }
    let spread = leg.spreads.iter().find(|spread| spread.name == name)?;
    Some(if spread.note.is_empty() { spread.p50.to_string() } else { spread.note.clone() })
}

/// What one instruction of the filter costs.
#[must_use]
pub fn opcode(leg: &Leg, name: &str) -> Option<String> {
    let with = leg.figure(&format!("opcode/{name}"))? as i64;
    let (more, count) = (with - leg.figure("opcode/none")? as i64, REPEATED as i64);
    Some(if more % count == 0 { (more / count).to_string() } else { format!("{more}/{count}") })
}

/// Kernels that say the same stand in one row.
fn mitigations(bench: &Bench) -> String {
    let mut rows: Vec<(Vec<&str>, &Mitigation)> = Vec::new();
    for kernel in &bench.kernels {
        for seen in &kernel.mitigations {
            match rows.iter_mut().find(|(_, there)| *there == seen) {
                Some((names, _)) => names.push(&kernel.name),
                None => rows.push((vec![&kernel.name], seen)),
            }
        }
    }
    let mut text =
        String::from("| CPU | flags | what attaching changes | kernels |\n| --- | --- | --- | --- |\n");
    for (names, seen) in rows {
        let flags = if seen.spec_allow { "SPEC_ALLOW" } else { "0" };
        let _ = writeln!(text, "| {} | {flags} | {} | {} |", seen.cpu, in_words(seen), names.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::{Row, Spread};

    const DOCUMENT: &str = "\
# Before
<!-- bench summary -->
old
<!-- end -->
between
<!-- bench rows 6.12: call/getppid; load/2; entry/x32/none -->
<!-- end -->
<!-- bench opcodes 6.12: ja -->
old
<!-- end -->
<!-- bench parts -->
<!-- end -->
<!-- bench mitigations -->
<!-- end -->
after
";

    fn bench() -> Bench {
        let row = |name: &str, instructions| Row {
            name: name.into(),
            instructions,
            note: "not there".into(),
            ..Row::default()
        };
        let rows = vec![
            row("call/getppid", Some(306)),
            row("opcode/none", Some(500)),
            row("opcode/ja", Some(1250)),
            row("entry/x32/none", None),
        ];
        let spreads = vec![Spread { name: "load/2".into(), p50: 4711, ..Spread::default() }];
        let leg = |jit, compare| Leg {
            jit,
            rows: rows.clone(),
            fit: Some(Fit { call: 306, entry: 5, filter: 20, compare, residual: 0 }),
            spreads: spreads.clone(),
        };
        let seen =
            Mitigation { cpu: "max".into(), vulnerability: "Not affected".into(), ..Mitigation::default() };
        let kernel = KernelBench {
            name: "6.12".into(),
            release: "6.12.1-x".into(),
            cpu: "max".into(),
            legs: vec![leg(Jit::On, 2), leg(Jit::Off, 13)],
            mitigations: vec![seen],
            ..KernelBench::default()
        };
        Bench { qemu: "QEMU 1".into(), kernels: vec![kernel], ..Bench::default() }
    }

    #[test]
    fn tables_are_filled_in_and_the_rest_stays() {
        let filled = fill(DOCUMENT, &bench(), "2026-11-28").unwrap();
        insta::assert_snapshot!(filled);
        assert_eq!(fill(&filled, &bench(), "2026-11-28").unwrap(), filled);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let error = |document: &str| fill(document, &bench(), "").unwrap_err().to_string();
        assert!(error("text").contains("no mark"));
        assert!(error("<!-- bench parts -->\n").contains("line 1: the mark"));
        assert!(error("<!-- bench all -->\n<!-- end -->").contains("`all` is no mark"));
        assert!(error("\n<!-- bench rows 6.1: a -->\n<!-- end -->").contains("line 2: kernel 6.1 was not"));
        assert!(error("<!-- bench rows 6.12: a -->\n<!-- end -->").contains("a on 6.12 was not measured"));
    }

    /// A mark that asks for what is not measured would be found out only after minutes.
    #[test]
    fn the_document_asks_for_measurements_that_there_are() {
        let document = include_str!("../../../../docs/benchmarks.md");
        let known: Vec<String> = crate::bench::list::all().into_iter().map(|item| item.name).collect();
        let mut asked = 0;
        for line in document.lines().filter_map(|line| line.strip_prefix(BEGIN)?.strip_suffix(" -->")) {
            let Some((kind, names)) = line.split_once(": ") else { continue };
            for name in names.split("; ") {
                let name = if kind.starts_with("opcodes") { format!("opcode/{name}") } else { name.into() };
                assert!(known.contains(&name), "docs/benchmarks.md asks for `{name}`");
                asked += 1;
            }
        }
        assert!(asked > 40, "{asked}");
    }
}
