//! Measurements of the user's own filters.

use super::given::{Given, NotGiven};
use super::item::{Item, REFERENCE, behind, native, seen};
use super::list;
use crate::source::around;
use atlas_model::bpf::{Dialect, run};
use atlas_model::{Action, Filter};

/// The row that shows whether the JIT was switched, whatever the filters are: see
/// [`super::fit::wrong`].
const YARDSTICK: &str = "compares/100";

/// Why a call cannot be measured behind a file's filters.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The file holds none.
    #[error(transparent)]
    Given(#[from] NotGiven),
    /// They do not let the call through.
    #[error(
        "{file} answers {call} with {action}, by instruction {at}: only calls that it allows can be measured (see --call)\n{program}"
    )]
    Denies {
        /// The file, and the compiler where there is one.
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

/// What is measured with every filter of the user's own: the call that shows whether figures are steady,
/// and the filter that shows whether the JIT was switched.
#[must_use]
pub fn checks() -> Vec<Item> {
    list::all().into_iter().filter(|item| [REFERENCE, YARDSTICK].contains(&item.name.as_str())).collect()
}

/// The measurements for a file: the call without it, and behind each of its filters.
///
/// # Errors
/// [`Unusable`].
pub fn items(source: &Given, call_name: &str) -> Result<Vec<Item>, Unusable> {
    let call = native(call_name, 0).ok_or_else(|| Unusable::NoCall(call_name.into()))?;
    let bare = format!("call/{call_name}");
    let mut items = vec![Item { baseline: None, ..behind(bare.clone(), vec![], call, None) }];
    for (compiler, filter) in &source.filters {
        let name =
            compiler.map_or_else(|| source.name.clone(), |compiler| format!("{}/{compiler}", source.name));
        allows(&name, filter, call_name)?;
        let measured = behind(format!("filter/{name}/{call_name}"), vec![filter.clone()], call, None);
        items.push(Item { baseline: Some(bare.clone()), ..measured });
    }
    Ok(items)
}

fn allows(file: &str, filter: &Filter, call_name: &str) -> Result<(), Unusable> {
    let call = native(call_name, 0).ok_or_else(|| Unusable::NoCall(call_name.into()))?;
    let ran = run(filter, &seen(&call), &Dialect::default());
    let action = Action::from_word(ran.word);
    if matches!(action, Action::Allow | Action::Log) {
        return Ok(());
    }
    Err(Unusable::Denies {
        file: file.into(),
        call: call_name.into(),
        action: format!("{action:?}"),
        at: ran.decided_at,
        program: around(filter, ran.decided_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::filters;
    use atlas_model::bpf;

    fn source(filters: Vec<(Option<&'static str>, Filter)>) -> Given {
        Given { name: "mine".into(), filters, notes: vec![] }
    }

    #[test]
    fn a_filter_that_denies_the_call_is_said_with_the_instruction() {
        let denies = source(vec![(None, filters::answer(110, Action::Errno(1)))]);
        let text = items(&denies, "getppid").unwrap_err().to_string();
        assert!(text.contains("mine answers getppid with Errno(1), by instruction 2"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("> ")), "{text}");
    }

    #[test]
    fn filters_are_measured_against_the_same_call_without() {
        let allow = Filter(vec![bpf::ret(Action::Allow)]);
        let both = source(vec![(None, allow.clone()), (Some("linear"), allow)]);
        let items = items(&both, "getuid").unwrap();
        let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["call/getuid", "filter/mine/getuid", "filter/mine/linear/getuid"]);
        assert!(items[1..].iter().all(|item| item.baseline.as_deref() == Some("call/getuid")));
        assert!(matches!(super::items(&both, "no_such_call"), Err(Unusable::NoCall(_))));
    }

    #[test]
    fn the_checks_are_there() {
        assert_eq!(checks().len(), 2);
    }
}
