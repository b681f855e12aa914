//! Every way through a filter, walked on the kernel.

use crate::interpreter::experiment;
use crate::script::marked;
use crate::trial::{Isolation, Property, Trial};
use atlas_model::arbitrary::{call, program};
use atlas_model::bpf::{self, Dialect, Filter, Free};
use atlas_model::experiment::{Call, Disposition};
use proptest::prelude::*;

pub(crate) const WAYS: Property = Property {
    name: "ways",
    about: "For every filter and each way that a call can take through it, the kernel takes the same way: a \
            call that is made for it comes out as the model says.",
    isolation: Isolation::Bare,
    share: 80,
    strategy: filters,
    statement: |_, _| Vec::new(),
};

/// The most ways of a filter that are walked in one trial.
const MOST: usize = 12;

/// The ways that a generated call and those next to it take.
fn filters() -> BoxedStrategy<Trial> {
    (program::valid(), call::call())
        .prop_map(|(filter, start)| {
            let calls = calls(&filter, &start);
            experiment(Some(marked()), vec![filter], calls, Disposition::Record, false, true)
        })
        .boxed()
}

/// A call for each way, those that end the task last.
fn calls(filter: &Filter, start: &Call) -> Vec<Call> {
    let dialect = Dialect::default();
    let found = bpf::ways(filter, &start.data(), Free::Call, &dialect, MOST);
    let made = found.ways.iter().filter_map(|way| Call::from_data(&way.data));
    let mut calls: Vec<Call> = made.collect();
    // The greater word is the weaker action, but for kills of processes, which are negative.
    let lasts = |call: &Call| std::cmp::Reverse(bpf::run(filter, &call.data(), &dialect).word as i32);
    calls.sort_by_key(lasts);
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::arbitrary::share;
    use std::collections::HashSet;

    #[test]
    fn trials_walk_several_ways_of_most_filters() {
        let drawn = (program::valid(), call::call());
        let walked = |(filter, start): &(Filter, Call)| {
            let dialect = Dialect::default();
            let mut ways = HashSet::new();
            for call in calls(filter, start) {
                let mut steps = Vec::new();
                bpf::run_seen(filter, &call.data(), &dialect, |at| steps.push(at));
                ways.insert(steps);
            }
            ways.len()
        };
        let counts: Vec<usize> = share::samples(&drawn, 300).map(|drawn| walked(&drawn)).collect();
        let several = counts.iter().filter(|count| **count > 2).count();
        assert!(several > 150, "{several} of 300 filters have more than two ways walked");
    }
}
