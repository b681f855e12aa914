//! The table of mutants, for the documentation.

use super::{EQUIVALENT, Mutant};
use std::fmt::Write;

/// The mutants with what notices them, as Markdown, one row a mutant in the order given; below them
/// [`EQUIVALENT`].
///
/// ```
/// use atlas_model::mutant::{self, Mutant};
/// let table = mutant::table(&[(Mutant::NegAsNot, "filters::one_path on 6.12")]);
/// let row = "| `neg-as-not` | NEG is a bitwise complement. | `bpf/interp.rs` `alu` | filters::one_path on 6.12 |";
/// assert!(table.lines().any(|line| line == row));
/// ```
#[must_use]
pub fn table(killed: &[(Mutant, &str)]) -> String {
    let mut text = String::from(
        "# Mutants\n\n\
         Each row is the model with one rule flipped, and the first check that notices it on a real kernel.\n\
         The places are in `harness/model/src`.\n\n\
         | mutant | the flipped rule | place | noticed by |\n\
         | --- | --- | --- | --- |\n",
    );
    for (mutant, by) in killed {
        let (file, function) = mutant.place();
        let (name, about, by) = (mutant.name(), cell(mutant.about()), cell(by));
        writeln!(text, "| `{name}` | {about} | `{file}` `{function}` | {by} |").expect("strings take all");
    }
    text.push_str(
        "\n## What cannot be noticed\n\n\
         These flips are no mutants, as no experiment tells them from the right model.\n\n\
         | flip | why nothing tells it |\n\
         | --- | --- |\n",
    );
    for (flip, why) in EQUIVALENT {
        writeln!(text, "| {} | {} |", cell(flip), cell(why)).expect("strings take all");
    }
    text
}

/// Text that stays within its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_cells_whatever_the_text() {
        let rows: Vec<_> = Mutant::ALL.iter().map(|&mutant| (mutant, "a|b\nc")).collect();
        let table = table(&rows);
        let of_mutants: Vec<_> = table.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(of_mutants.len(), Mutant::ALL.len());
        for (line, mutant) in of_mutants.iter().zip(Mutant::ALL) {
            assert!(line.starts_with(&format!("| `{}` | ", mutant.name())), "{line}");
            assert!(line.ends_with(" | a\\|b c |"), "{line}");
            assert_eq!(line.replace("\\|", "").matches('|').count(), 5, "{line}");
        }
        let argued = table.lines().filter(|line| EQUIVALENT.iter().any(|(flip, _)| line.contains(flip)));
        assert_eq!(argued.count(), EQUIVALENT.len());
    }
}
