//! Filters of the user's own.

use super::list::{Item, behind, native, seen};
use atlas_model::bpf::{Dialect, check, disassemble, run};
use atlas_model::{Action, Filter};
use std::path::Path;

/// Why a file is no filter that a call can be measured behind.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// It does not consist of instructions.
    #[error("{0} is not a filter: {1}. It has to be raw records of struct sock_filter, 8 bytes each")]
    Records(String, String),
    /// The kernel would not attach it.
    #[error("{file} is not a filter that the kernel attaches: {why}\n{program}")]
    Invalid {
        /// The file.
        file: String,
        /// The instruction at fault and what is wrong with it.
        why: String,
        /// That part of the program.
        program: String,
    },
    /// It does not let the call through.
    #[error(
        "{file} answers {call} with {action}, by instruction {at}: only calls that it allows can be measured (see --call)\n{program}"
    )]
    Denies {
        /// The file.
        file: String,
        /// The call.
        call: String,
        /// The answer.
        action: String,
        /// The deciding instruction.
        at: usize,
        /// That part of the program.
        program: String,
    },
    /// There is no such call.
    #[error("x86-64 has no call `{0}`")]
    NoCall(String),
}

/// The lines of a program around an instruction.
fn around(filter: &Filter, at: usize) -> String {
    let text = disassemble(filter);
    // Two lines are the head of the columns.
    let lines = text.lines().skip(2).enumerate().skip(at.saturating_sub(2)).take(at.min(2) + 2);
    let mark = |(index, line): (usize, &str)| format!("{} {line}\n", if index == at { ">" } else { " " });
    lines.map(mark).collect()
}

/// Reads a filter.
///
/// # Errors
/// [`Unusable`].
pub fn read(path: &Path) -> Result<Filter, Unusable> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| Unusable::Read(file.clone(), error))?;
    let filter =
        Filter::from_bytes(&bytes).map_err(|error| Unusable::Records(file.clone(), error.to_string()))?;
    check(&filter, &Dialect::default()).map_err(|wrong| Unusable::Invalid {
        file,
        why: wrong.to_string(),
        program: around(&filter, wrong.at),
    })?;
    Ok(filter)
}

/// The measurements for a file: the call without it, and behind it.
///
/// # Errors
/// [`Unusable`].
pub fn items(path: &Path, call_name: &str) -> Result<Vec<Item>, Unusable> {
    let call = native(call_name, 0).ok_or_else(|| Unusable::NoCall(call_name.into()))?;
    let filter = read(path)?;
    let ran = run(&filter, &seen(&call), &Dialect::default());
    let action = Action::from_word(ran.word);
    if !matches!(action, Action::Allow | Action::Log) {
        return Err(Unusable::Denies {
            file: path.display().to_string(),
            call: call_name.into(),
            action: format!("{action:?}"),
            at: ran.decided_at,
            program: around(&filter, ran.decided_at),
        });
    }
    let bare = format!("call/{call_name}");
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let measured = behind(format!("filter/{name}/{call_name}"), vec![filter], call, None);
    Ok(vec![
        Item { baseline: None, ..behind(bare.clone(), vec![], call, None) },
        Item { baseline: Some(bare), ..measured },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::filters;
    use atlas_model::bpf;

    fn said(filter: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.bpf");
        std::fs::write(&path, filter).unwrap();
        let error = items(&path, "getppid").unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "")
    }

    #[test]
    fn what_is_no_filter_is_said_with_the_instruction() {
        assert!(said(&[1, 2, 3]).contains("3 bytes are not a filter"), "{}", said(&[1, 2, 3]));
        let mut wrong = filters::compares(3);
        wrong.0[2].jt = 200;
        let text = said(&wrong.to_bytes());
        assert!(text.contains("instruction 2: it jumps past the end"), "{text}");
        assert!(text.lines().any(|line| line.starts_with(">  0002: 0x15")), "{text}");
    }

    #[test]
    fn a_filter_that_denies_the_call_is_said_with_the_instruction() {
        let text = said(&filters::answer(110, Action::Errno(1)).to_bytes());
        assert!(text.contains("answers getppid with Errno(1), by instruction 2"), "{text}");
    }

    #[test]
    fn a_filter_is_measured_against_the_same_call_without() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mine.bpf");
        std::fs::write(&path, Filter(vec![bpf::ret(Action::Allow)]).to_bytes()).unwrap();
        let items = items(&path, "getuid").unwrap();
        assert_eq!(items[1].name, "filter/mine.bpf/getuid");
        assert_eq!(items[1].baseline.as_deref(), Some(&*items[0].name));
        assert!(matches!(super::items(&path, "no_such_call"), Err(Unusable::NoCall(_))));
    }
}
