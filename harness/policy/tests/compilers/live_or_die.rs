//! Firecracker's own test, for any policy: what a rule allows lives, and dies with any single argument
//! altered (firecracker, tests/integration_tests/security/test_seccomp_validate.py). No oracle is
//! asked: numbers differ from rule to rule, so that nothing else can let the call through.

use crate::policies::{condition, fit, one_an_argument};
use atlas_model::abi::SeccompData;
use atlas_model::bpf::{Dialect, run};
use atlas_model::policy::{Policy, Rule};
use atlas_model::{Abi, Action};
use atlas_policy::{Compiler, arguments, values_near};
use proptest::collection::vec;
use proptest::prelude::*;

fn allow_list() -> impl Strategy<Value = Policy> {
    vec(vec(condition(0..6), 0..7), 1..12).prop_map(|rules| {
        let rule = |(nr, conditions)| {
            let mut rule = Rule { abi: Abi::X86_64, nr, conditions, action: Action::Allow };
            one_an_argument(&mut rule);
            rule
        };
        let rules = (0..).zip(rules).map(rule).filter(|rule| arguments(rule).is_some()).collect();
        let kill = Action::KillProcess;
        Policy { abis: vec![Abi::X86_64], foreign: kill, default: kill, rules }
    })
}

proptest! {
    #[test]
    fn what_is_allowed_lives_and_what_is_altered_dies(policy in allow_list()) {
        for compiler in Compiler::ALL {
            prop_assert_eq!(&fit(compiler, policy.clone()), &policy, "nothing had to be bent");
            let filter = compiler.compile(&policy).expect("a filter");
            let lives = |call: &SeccompData| match run(&filter, call, &Dialect::default()).word {
                0x7fff_0000 => true,
                0x8000_0000 => false,
                word => panic!("{word:#x}"),
            };
            for rule in &policy.rules {
                let args = arguments(rule).expect("it can be matched");
                let call = SeccompData { nr: rule.nr, arch: rule.abi.audit_arch(), instruction_pointer: 0, args };
                prop_assert!(lives(&call), "{compiler} kills {call:x?} of {rule:?}");
                for condition in &rule.conditions {
                    for value in values_near(condition) {
                        let mut altered = call;
                        altered.args[usize::from(condition.arg)] = value;
                        let allowed = condition.holds(rule.abi, &altered);
                        prop_assert_eq!(lives(&altered), allowed, "{} on {:x?} of {:?}", compiler, altered, rule);
                    }
                }
                for (nr, arch) in [(rule.nr | Abi::X32_BIT, call.arch), (rule.nr, Abi::I386.audit_arch()), (99, call.arch)] {
                    prop_assert!(!lives(&SeccompData { nr, arch, ..call }), "{compiler} lets {nr:#x} of {arch:#x} live");
                }
            }
        }
    }
}
