//! The ways through generated filters: real, distinct, and all there are.

use atlas_model::abi::SeccompData;
use atlas_model::arbitrary::{call, program, share};
use atlas_model::bpf::{self, Dialect, Free, Ways};
use proptest::strategy::Strategy as _;
use std::collections::HashSet;

const MOST: usize = 400;

fn of(filter: &[bpf::Insn], start: &SeccompData, free: Free) -> Ways {
    bpf::ways(filter, start, free, &Dialect::default(), MOST)
}

fn steps(filter: &[bpf::Insn], data: &SeccompData) -> Vec<usize> {
    let mut steps = Vec::new();
    bpf::run_seen(filter, data, &Dialect::default(), |at| steps.push(at));
    steps
}

#[test]
fn each_is_taken_by_its_call_and_meets_its_own_comparisons() {
    let mut several = 0;
    for filter in share::samples(&program::valid(), 400) {
        let found = of(&filter, &SeccompData::default(), Free::Call);
        let mut seen = HashSet::new();
        for way in &found.ways {
            assert_eq!(steps(&filter, &way.data), way.steps, "{}", bpf::disassemble(&filter));
            assert_eq!(bpf::run(&filter, &way.data, &Dialect::default()), way.ran);
            assert!(seen.insert(&way.steps), "twice: {way:?}");
        }
        several += usize::from(found.ways.len() > 3);
    }
    assert!(several > 100, "only {several} filters of 400 have more than three ways");
}

#[test]
fn where_nothing_is_blind_or_cut_every_call_takes_one() {
    let mut tried = 0;
    let alone = program::valid().prop_map(|filter| vec![filter]).boxed();
    for (filters, calls) in share::samples(&call::with_filters(alone, 20), 400) {
        let filter = &filters[0];
        let found = of(filter, &SeccompData::default(), Free::Call);
        if found.cut || !found.blind.is_empty() {
            continue;
        }
        let known: HashSet<&Vec<usize>> = found.ways.iter().map(|way| &way.steps).collect();
        for call in &calls {
            // The instruction pointer is what it was.
            let data = SeccompData { instruction_pointer: 0, ..call.data() };
            let taken = steps(filter, &data);
            let word = bpf::run(filter, &data, &Dialect::default()).word;
            assert!(found.ways.iter().any(|way| way.steps == taken && way.ran.word == word), "{data:x?}");
            assert!(known.contains(&taken), "{data:x?} takes {taken:?}\n{}", bpf::disassemble(filter));
            let of_call = of(filter, &data, Free::Arguments);
            assert!(of_call.ways.iter().any(|way| way.steps == taken), "{data:x?}");
            tried += 1;
        }
    }
    assert!(tried > 400, "only {tried} calls had a filter that can be followed whole");
}
