//! Mistakes that were made elsewhere, made again: the property finds each, and this is the smallest
//! policy and call that it is left with.

use crate::buggy::{Bug, compile};
use crate::policies::condition;
use atlas_model::abi::SeccompData;
use atlas_model::bpf::{Dialect, Ran, check, run};
use atlas_model::policy::{Policy, Rule};
use atlas_model::{Abi, Action, Filter};
use atlas_policy::{Disagreement, agrees, agrees_by, calls_mixed, calls_near};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

/// Policies of x86-64, which the small compiler takes.
fn native() -> impl Strategy<Value = Policy> {
    let action = prop_oneof![Just(Action::Allow), Just(Action::Errno(1))];
    let rule = (0..3_u32, vec(condition(0..3), 0..3), action.clone())
        .prop_map(|(nr, conditions, action)| Rule { abi: Abi::X86_64, nr, conditions, action });
    (action, vec(rule, 0..5)).prop_map(|(default, rules)| Policy {
        abis: vec![Abi::X86_64],
        foreign: Action::KillProcess,
        default,
        rules,
    })
}

fn calls(policy: &Policy) -> impl Iterator<Item = SeccompData> {
    calls_near(policy).into_iter().chain(calls_mixed(policy, 1).take(100))
}

/// The smallest counterexample to a property within proptest's default number of cases.
fn smallest(property: impl Fn(&Policy) -> Result<(), Box<Disagreement>>) -> Option<Box<Disagreement>> {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result =
        runner.run(&native(), |policy| property(&policy).map_err(|_| TestCaseError::fail("they disagree")));
    match result {
        Ok(()) => None,
        Err(TestError::Fail(_, policy)) => {
            let found = property(&policy).expect_err("it failed before");
            Some(found)
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn smallest_of(bug: Bug) -> Option<String> {
    let found = smallest(|policy| {
        let filter = compile(policy, bug);
        check(&filter, &Dialect::default()).expect("a filter that kernels accept");
        agrees(policy, &filter, calls(policy))
    });
    found.map(|found| brief(&found))
}

/// A disagreement without the program.
fn brief(found: &Disagreement) -> String {
    let text = found.to_string();
    text.lines()
        .take_while(|line| !line.contains("CODE"))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_small_compiler_is_right_when_nothing_is_wrong() {
    assert_eq!(smallest_of(Bug::None), None);
}

#[test]
fn halves_compared_apart() {
    insta::assert_snapshot!(smallest_of(Bug::HalvesApart).expect("found"), @r"
    x86-64 read(0x17ffffffe, 0x0, 0x0, 0x0, 0x0, 0x0)
    the policy says ALLOW, the filter ERRNO(1 EPERM) by instruction 13
    policy for x86-64, other ABIs KILL_PROCESS
      0: x86-64 read if arg0 < 0x7fffffff: ERRNO(1 EPERM)
      otherwise ALLOW
    ");
}

#[test]
fn arch_forgotten() {
    insta::assert_snapshot!(smallest_of(Bug::NoArch).expect("found"), @r"
    i386 restart_syscall(0x0, 0x0, 0x0, 0x0, 0x0, 0x0)
    the policy says KILL_PROCESS, the filter ALLOW by instruction 3
    policy for x86-64, other ABIs KILL_PROCESS
      otherwise ALLOW
    ");
}

#[test]
fn x32_forgotten() {
    insta::assert_snapshot!(smallest_of(Bug::NoX32).expect("found"), @r"
    x32 read(0x0, 0x0, 0x0, 0x0, 0x0, 0x0)
    the policy says KILL_PROCESS, the filter ALLOW by instruction 4
    policy for x86-64, other ABIs KILL_PROCESS
      otherwise ALLOW
    ");
}

#[test]
fn mask_on_the_lower_half() {
    insta::assert_snapshot!(smallest_of(Bug::LowMask).expect("found"), @r"
    x86-64 read(0x100000000, 0x0, 0x0, 0x0, 0x0, 0x0)
    the policy says ERRNO(1 EPERM), the filter ALLOW by instruction 12
    policy for x86-64, other ABIs KILL_PROCESS
      0: x86-64 read if arg0 & 0x7fffffff00000000 == 0x0: ALLOW
      otherwise ERRNO(1 EPERM)
    ");
}

/// The kernel's cache of calls that are always allowed (5.11, kernel/seccomp.c seccomp_cache_prepare)
/// asks the filter for each number whether it allows it whatever the arguments. Here the answers of
/// one arch are used for both, as a cache without an arch of its own has it.
struct Cache<'a> {
    filter: &'a Filter,
    arch: u32,
}

impl Cache<'_> {
    /// Whether the filter allows a number for arguments of all kinds. What a filter that has
    /// conditions answers depends on the arguments, so some of these show it.
    fn always_allows(&self, nr: u32, policy: &Policy) -> bool {
        let of = |call: SeccompData| SeccompData { nr, arch: self.arch, ..call };
        calls(policy)
            .all(|call| run(self.filter, &of(call), &Dialect::default()).word == Action::Allow.word())
    }

    fn run(&self, call: &SeccompData, allowed: &[u32]) -> Ran {
        match allowed.contains(&call.nr) {
            true => Ran { word: Action::Allow.word(), decided_at: 0, steps: 0 },
            false => run(self.filter, call, &Dialect::default()),
        }
    }
}

fn cached(policy: &Policy, arch: impl Fn(&SeccompData) -> u32) -> Result<(), Box<Disagreement>> {
    let filter = compile(policy, Bug::None);
    let native = Abi::X86_64.audit_arch();
    let allowed: Vec<u32> = {
        let cache = Cache { filter: &filter, arch: native };
        (0..4).filter(|&nr| cache.always_allows(nr, policy)).collect()
    };
    let decide = |call: &SeccompData| policy.decide(call);
    agrees_by(policy, &filter, calls(policy), decide, |call| {
        let cache = Cache { filter: &filter, arch: native };
        cache.run(call, if arch(call) == native { &allowed } else { &[] })
    })
}

#[test]
fn cache_of_another_arch() {
    let right = smallest(|policy| cached(policy, |call| call.arch));
    assert_eq!(right, None, "a cache that looks at the arch is right");
    let wrong = smallest(|policy| cached(policy, |_| Abi::X86_64.audit_arch()));
    insta::assert_snapshot!(brief(&wrong.expect("found")), @r"
    i386 restart_syscall(0x0, 0x0, 0x0, 0x0, 0x0, 0x0)
    the policy says KILL_PROCESS, the filter ALLOW by instruction 0
    policy for x86-64, other ABIs KILL_PROCESS
      otherwise ALLOW
    ");
}
