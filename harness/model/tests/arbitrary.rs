//! What the generators give, measured with a fixed seed.

use atlas_model::abi::syscalls;
use atlas_model::arbitrary::broken::{self, Break};
use atlas_model::arbitrary::cover::Coverage;
use atlas_model::arbitrary::share::{self, samples};
use atlas_model::arbitrary::{call, edge, policy, program, stack};
use atlas_model::bpf::op::{self, Kind};
use atlas_model::bpf::{self, ChainUnit, Dialect, Filter, Insn, MAX_INSNS, Rule};
use atlas_model::expect::{Value, expect};
use atlas_model::experiment::{Call, Experiment, Op, Step};
use atlas_model::policy::{Comparison, Policy, Rule as PolicyRule};
use atlas_model::traits::Traits;
use atlas_model::{Abi, Action};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::collections::{BTreeSet, HashSet};

const NEWEST: Dialect = Dialect {
    xor: true,
    wide_shift: false,
    reciprocal_division: false,
    chain_unit: ChainUnit::EbpfPrologue3,
};

/// Says what the share was, and that it is not below what is promised.
fn at_least(what: &str, share: f64, promised: f64) {
    println!("{what}: {share:.3}, promised {promised}");
    assert!(share >= promised, "{what}: {share:.3}, promised {promised}");
}

fn share_of(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

fn branches(filter: &Filter) -> impl Iterator<Item = &Insn> {
    filter.iter().filter(|insn| matches!(op::kind(insn.code), Some(Kind::Branch { .. })))
}

fn dialects() -> impl Iterator<Item = Dialect> {
    (0..8).map(|bits| Dialect {
        xor: bits & 1 != 0,
        wide_shift: bits & 2 != 0,
        reciprocal_division: bits & 4 != 0,
        ..NEWEST
    })
}

#[test]
fn valid_programs_are_accepted_wherever_xor_is() {
    let with_xor: Vec<_> = dialects().filter(|dialect| dialect.xor).collect();
    for filter in samples(&program::valid(), 1500) {
        for dialect in &with_xor {
            assert_eq!(bpf::check(&filter, dialect), Ok(()), "{}", bpf::disassemble(&filter));
        }
    }
    for filter in samples(&program::portable(), 500) {
        for dialect in dialects() {
            assert_eq!(bpf::check(&filter, &dialect), Ok(()), "{}", bpf::disassemble(&filter));
        }
    }
}

#[test]
fn shares_of_valid_programs() {
    let valid = program::valid();
    let of = |what, holds: fn(&Filter) -> bool, promised| {
        at_least(what, share::of(&valid, 1500, holds), promised);
    };
    of("80 or fewer", |filter| filter.len() <= 80, share::VALID_SHORT);
    of(
        "jump of 255",
        |filter| branches(filter).any(|insn| insn.jt.max(insn.jf) == 255),
        share::VALID_JUMP_255,
    );
    let far = |filter: &Filter| filter.iter().any(|insn| insn.code == op::JA && insn.k > 255);
    of("jump of more", far, share::VALID_JUMP_FAR);
    let scratch = |filter: &Filter| filter.iter().any(|insn| matches!(insn.code, op::LD_MEM | op::LDX_MEM));
    of("scratch words", scratch, share::VALID_SCRATCH);
    let noise = |filter: &Filter| filter.iter().any(|insn| insn.code == op::RET_K && insn.jt != 0);
    of("noise", noise, share::VALID_NOISE);
    let lengths: BTreeSet<usize> = samples(&valid, 4000).map(|filter| filter.len()).collect();
    assert!(lengths.contains(&1) && lengths.contains(&MAX_INSNS), "{lengths:?}");
    assert!(lengths.range(81..=600).count() > 100, "{lengths:?}");
}

/// The ways that branches can go, and those that some of the calls take.
fn sides(filter: &Filter, calls: impl Iterator<Item = Call>) -> (usize, usize) {
    let forks = |insn: &Insn| insn.jt != insn.jf;
    let mut taken = HashSet::new();
    for call in calls {
        let mut branch: Option<usize> = None;
        bpf::run_seen(filter, &call.data(), &NEWEST, |at| {
            if let Some(from) = branch.take() {
                taken.insert((from, at));
            }
            let insn = filter[at];
            branch = (matches!(op::kind(insn.code), Some(Kind::Branch { .. })) && forks(&insn)).then_some(at);
        });
    }
    (taken.len(), 2 * branches(filter).filter(|insn| forks(insn)).count())
}

#[test]
fn calls_near_programs_go_both_ways() {
    let (mut shares, mut at_random) = (Vec::new(), Vec::new());
    let mut coverage = Coverage::default();
    let (mut divisions, random) = (0, call::call());
    let filters: Vec<Filter> = samples(&program::valid(), 600).filter(|filter| filter.len() <= 80).collect();
    for filter in &filters {
        let near = call::near_program(filter);
        if let (taken, of @ 1..) = sides(filter, samples(&near, 40)) {
            shares.push(share_of(taken, of));
            at_random.push(share_of(sides(filter, samples(&random, 40)).0, of));
        }
        let mut divided = false;
        for call in samples(&near, 20) {
            let data = call.data();
            coverage.note(std::slice::from_ref(filter), &data, &NEWEST);
            let ran = bpf::run(filter, &data, &NEWEST);
            divided |= filter[ran.decided_at].code == op::ALU | op::DIV | op::X;
        }
        divisions += usize::from(divided);
    }
    let average = |shares: &[f64]| shares.iter().sum::<f64>() / shares.len() as f64;
    at_least("sides", average(&shares), share::NEAR_PROGRAM_SIDES);
    // Numbers at the edges reach many by themselves.
    at_least("sides more than at random", average(&shares) - average(&at_random), 0.05);
    at_least("zero division", share_of(divisions, filters.len()), share::VALID_ZERO_DIVISION);
    assert_eq!(coverage.opcodes(), (41, 41), "{:x?}", coverage.missing());
    assert_eq!(coverage.sides(), (16, 16));
    assert_eq!(coverage.actions(), (9, 9));
    assert_eq!(coverage.abis(), (3, 3));
}

#[test]
fn programs_return_only_what_they_may() {
    let words = |actions: &[Action]| actions.iter().map(|action| action.word()).collect::<HashSet<u32>>();
    for actions in [
        vec![Action::Allow],
        vec![Action::Errno(7), Action::Log, Action::Trap(3)],
        vec![Action::KillThread, Action::Unknown(0x0001_0002)],
    ] {
        let may = words(&actions);
        let mut seen = HashSet::new();
        for filter in samples(&program::returning(actions.clone()), 300) {
            assert_eq!(bpf::check(&filter, &NEWEST), Ok(()));
            for call in samples(&call::near_program(&filter), 20) {
                let ran = bpf::run(&filter, &call.data(), &NEWEST);
                assert!(may.contains(&ran.word), "{:#x}\n{}", ran.word, bpf::disassemble(&filter));
                seen.insert(ran.word);
            }
        }
        assert_eq!(seen, may);
    }
}

#[test]
fn broken_programs_break_one_rule() {
    let mut seen = HashSet::new();
    for broken in samples(&broken::one_broken(), 1500) {
        let rejection = bpf::check(&broken.filter, &NEWEST).unwrap_err();
        let text = || format!("{:?} at {}\n{}", broken.by, broken.at, bpf::disassemble(&broken.filter));
        assert_eq!((rejection.rule, rejection.at), (broken.by.rule(), broken.at), "{}", text());
        assert_eq!(bpf::check(&broken.whole, &NEWEST), Ok(()), "{}", text());
        if broken.by.rule() != Rule::Length {
            let (one, other) = (&broken.filter, &broken.whole);
            assert_eq!(one.len(), other.len(), "{}", text());
            let differ = (0..one.len()).filter(|&at| one[at] != other[at]);
            assert_eq!(differ.collect::<Vec<_>>(), [broken.at], "{}", text());
        }
        let old = Dialect { wide_shift: true, ..NEWEST };
        let accepted = bpf::check(&broken.filter, &old).is_ok();
        assert_eq!(accepted, broken.by == Break::WideShift, "{}", text());
        seen.insert(broken.by);
    }
    assert_eq!(seen.len(), Break::ALL.len(), "{seen:?}");
    let refused = |filter: &Filter| bpf::check(filter, &NEWEST).is_err();
    assert!(samples(&broken::broken(), 200).all(|filter| refused(&filter)));
    at_least("soup", share::of(&broken::soup(), 1000, refused), share::SOUP_REFUSED);
    let mixed = share::of(&broken::any(), 500, refused);
    assert!((0.4..0.8).contains(&mixed), "{mixed}");
}

fn conditional(policy: &Policy) -> bool {
    policy.rules.iter().any(|rule| !rule.conditions.is_empty())
}

#[test]
fn shares_of_policies() {
    let (mut comparisons, mut actions) = (HashSet::new(), HashSet::new());
    let of = policy::policy();
    for policy in samples(&of, 500) {
        assert!(
            !policy.abis.is_empty() && policy.abis.iter().collect::<BTreeSet<_>>().len() == policy.abis.len()
        );
        for rule in &policy.rules {
            assert!(policy.abis.contains(&rule.abi));
            assert_eq!(rule.nr >= Abi::X32_BIT, rule.abi == Abi::X32, "{rule:?}");
            comparisons.extend(rule.conditions.iter().map(|condition| match condition.comparison {
                Comparison::Masked(_) => Comparison::Masked(0),
                other => other,
            }));
            actions.insert(std::mem::discriminant(&rule.action));
        }
    }
    assert_eq!((comparisons.len(), actions.len()), (7, 8));
    let overlap = |policy: &Policy| {
        let same = |one: &PolicyRule, other: &PolicyRule| {
            (one.abi, one.nr) == (other.abi, other.nr) && one.action != other.action
        };
        policy.rules.iter().any(|one| policy.rules.iter().any(|other| same(one, other)))
    };
    at_least("overlap", share::of(&of, 500, overlap), share::POLICY_OVERLAP);
    at_least("several ABIs", share::of(&of, 500, |policy| policy.abis.len() > 1), share::POLICY_ABIS);
    assert!(samples(&policy::uniform(), 500).all(|policy| !overlap(&policy)));
    for policy in samples(&policy::two_actions(), 500) {
        assert_eq!(policy.abis, [Abi::X86_64]);
        assert!(
            policy.rules.iter().all(|rule| rule.abi == Abi::X86_64 && rule.action == policy.rules[0].action)
        );
        assert_ne!(policy.rules[0].action, policy.default);
    }
}

#[test]
fn calls_near_policies_match_and_nearly_match() {
    let (mut calls, mut hits, mut misses) = (0, 0, 0);
    for policy in samples(&policy::policy(), 200).filter(conditional) {
        for call in samples(&call::near_policy(&policy), 20) {
            let data = call.data();
            let abi = Policy::abi_of(&data);
            let about = || policy.rules.iter().filter(|rule| Some(rule.abi) == abi && rule.nr == data.nr);
            calls += 1;
            let decides = about().find(|rule| rule.matches(&data));
            hits += usize::from(decides.is_some_and(|rule| !rule.conditions.is_empty()));
            let missed = |rule: &PolicyRule| {
                rule.conditions.iter().filter(|condition| !condition.holds(rule.abi, &data)).count()
            };
            misses += usize::from(about().any(|rule| missed(rule) == 1));
        }
    }
    at_least("hits", share_of(hits, calls), share::NEAR_POLICY_HIT);
    at_least("misses", share_of(misses, calls), share::NEAR_POLICY_MISS);
}

#[test]
fn stacks_decide_by_older_filters_too() {
    let (mut calls, mut older, mut actions, mut data, mut same) = (0, 0, 0, 0, 0);
    for (filters, near) in samples(&stack::stack_and_calls(), 400) {
        assert!((1..=6).contains(&filters.len()) && (1..=8).contains(&near.len()));
        assert!(filters.iter().all(|filter| bpf::check(filter, &NEWEST).is_ok()));
        for call in near.iter().filter(|_| filters.len() > 1) {
            calls += 1;
            let explanation = bpf::explain(&filters, &call.data(), &NEWEST, false);
            older += usize::from(explanation.filter.is_some_and(|filter| filter > 0));
            let all = explanation.runs.iter().map(|ran| ran.word);
            let words: Vec<u32> = all.filter(|word| Action::from_word(*word) != Action::Allow).collect();
            let distinct: BTreeSet<u32> = words.iter().copied().collect();
            let parts: BTreeSet<u32> = words.iter().map(|word| word >> 16).collect();
            actions += usize::from(parts.len() > 1);
            data += usize::from(distinct.len() > parts.len());
            same += usize::from(words.len() > distinct.len());
        }
    }
    at_least("older filter", share_of(older, calls), share::STACK_OLDER);
    at_least("different actions", share_of(actions, calls), share::STACK_ACTIONS);
    at_least("different data", share_of(data, calls), share::STACK_DATA);
    at_least("the same word", share_of(same, calls), share::STACK_SAME);
}

#[test]
fn the_model_knows_what_harmless_calls_return() {
    let (mut names, mut unknown, mut abis) = (HashSet::new(), 0, HashSet::new());
    for call in samples(&call::harmless(), 1500) {
        let steps = vec![Step { task: 0, op: Op::Call(call) }];
        let expected = expect(&Experiment { steps, ..Experiment::default() }, &Traits::newest());
        let returned = expected.steps[0].returned.as_ref().expect("it returns");
        assert!(!matches!(returned, Value::Any), "{}", call.to_text());
        match syscalls::name(call.abi, call.nr as u32) {
            Some(name) => {
                assert!(edge::HARMLESS.contains(&name), "{}", call.to_text());
                names.insert(name);
            }
            None => unknown += 1,
        }
        abis.insert(call.abi);
    }
    assert_eq!((names.len(), abis.len()), (edge::HARMLESS.len(), 3));
    assert!(unknown > 100, "{unknown}");
}

#[test]
fn calls_reach_every_edge() {
    let calls: Vec<Call> = samples(&call::call(), 3000).collect();
    for number in [0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
        assert!(calls.iter().any(|call| call.nr as u32 == number), "{number:#x}");
    }
    for value in [1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, u64::MAX] {
        assert!(calls.iter().any(|call| call.args.contains(&value)), "{value:#x}");
    }
    assert!(calls.iter().any(|call| call.nr >> 32 != 0));
    assert!(calls.iter().all(|call| call.abi != Abi::X32 || call.nr as u32 & Abi::X32_BIT != 0));
}

/// What is left of a filter that some property fails for.
fn shrunk(fails: impl Fn(&Filter) -> bool, runner: &mut TestRunner) -> Filter {
    let valid = program::valid();
    let mut tree = valid.new_tree(runner).unwrap();
    while !fails(&tree.current()) {
        tree = valid.new_tree(runner).unwrap();
    }
    for _ in 0..4000 {
        let filter = tree.current();
        assert_eq!(bpf::check(&filter, &NEWEST), Ok(()), "{}", bpf::disassemble(&filter));
        if !(if fails(&filter) { tree.simplify() } else { tree.complicate() }) {
            break;
        }
    }
    tree.current()
}

#[test]
fn programs_shrink_to_a_few_instructions_and_stay_accepted() {
    let mut runner = TestRunner::deterministic();
    for (what, code) in [("division by X", op::ALU | op::DIV | op::X), ("jset", op::JMP | op::JSET)] {
        let fails = |filter: &Filter| filter.iter().any(|insn| insn.code == code);
        let mut lengths: Vec<usize> = (0..15).map(|_| shrunk(fails, &mut runner).len()).collect();
        lengths.sort_unstable();
        println!("{what}: {lengths:?}");
        assert!(lengths[7] <= 8, "{what}: {lengths:?}");
    }
}
