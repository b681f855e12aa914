//! The last line of a check.

use super::{Leg, is_well};
use std::collections::BTreeSet;

/// The last line: whether there is something to act on.
pub(super) fn verdict(legs: &[Leg]) -> String {
    if is_well(legs) {
        let kernels: BTreeSet<&String> = legs.iter().map(|leg| &leg.every.kernel).collect();
        let does = match kernels.len() {
            1 => "the kernel does".to_owned(),
            count => format!("each of {count} kernels does"),
        };
        let ends =
            if legs.iter().any(|leg| leg.ran.is_some()) { ", and the program ends as it is to" } else { "" };
        return format!("{does} with the filter what the model says{ends}");
    }
    let count = |wrong: &dyn Fn(&Leg) -> bool| legs.iter().filter(|leg| wrong(leg)).count();
    let all = legs.len();
    let unasked = |leg: &Leg| leg.sweeps().any(|sweep| sweep.outcome.is_err());
    let differs =
        |leg: &Leg| !leg.program_agrees() || leg.seen().any(|(_, seen)| !seen.differences.is_empty());
    let differ = count(&differs);
    let (unasked, unwell) = (count(&unasked), count(&|leg| !leg.program_is_well()));
    let mut said = Vec::new();
    if differ > 0 {
        said.push(format!("{differ} of {all} runs were not as the model says"));
    }
    if unasked > 0 {
        said.push(format!("{unasked} of {all} runs could not be asked to the end"));
    }
    if unwell > 0 {
        said.push(format!("in {unwell} of {all} runs the program did not end as it is to"));
    }
    if said.is_empty() { "no kernel was tried".into() } else { said.join(", and ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::program::{Ran, Wrong};
    use crate::results::Jit;
    use crate::sweep::{self, Seen};
    use atlas_model::Abi;
    use atlas_model::observation::End;
    use atlas_wire::{Came, Made, Traced};

    /// A check on one kernel: what was swept, and whether a call of a program came out otherwise.
    fn checked(swept: Result<(), &str>, wrong: bool) -> Leg {
        let seen = Seen {
            map: sweep::map::Map::default(),
            differences: vec![],
            marker: 4000,
            suspended: false,
            processes: 1,
            took: std::time::Duration::ZERO,
        };
        let (kernel, release, jit) = ("7.3".into(), "7.3.4".into(), Jit::On);
        let outcome = swept.map(|()| seen).map_err(str::to_owned);
        let made = Made {
            abi: Abi::X86_64,
            nr: 0,
            args: [0; 6],
            ip: 0,
            came: Came::Back(0),
            count: 1,
            path: None,
            task: 0,
        };
        let wrong = wrong.then(|| Wrong { made, expected: "it returns -1".into() });
        let traced = Traced::default();
        let ran = Ran {
            end: Some(End::Exited(0)),
            well: true,
            denied: vec![],
            wrong: wrong.into_iter().collect(),
            own_filter: false,
            traced,
        };
        let every = sweep::Leg { kernel, release, jit, outcome };
        Leg { every, chosen: vec![], ran: Some(Ok(ran)), lacks: vec![] }
    }

    #[test]
    fn a_verdict_says_what_it_is_about() {
        for (legs, says) in [
            (vec![], "no kernel was tried"),
            (
                vec![checked(Ok(()), false)],
                "the kernel does with the filter what the model says, and the program ends as it is to",
            ),
            (vec![checked(Ok(()), true)], "1 of 1 runs were not as the model says"),
            (vec![checked(Err("time was over"), false)], "1 of 1 runs could not be asked to the end"),
        ] {
            assert_eq!(verdict(&legs), says);
        }
    }
}
