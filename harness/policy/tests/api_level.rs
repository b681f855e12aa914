//! What libseccomp refuses for the kernel's sake. It keeps its API level for the whole process, so
//! this is a program of its own.

use atlas_model::policy::{Policy, Rule};
use atlas_model::{Abi, Action};
use atlas_policy::{Compiler, Error, Limit};

#[test]
fn actions_that_the_kernel_is_taken_not_to_have() {
    // seccomp_api_get(3): 3 brings KILL_PROCESS and LOG, 5 brings NOTIFY.
    libseccomp::set_api(1).expect("level 1");
    let with = |default, foreign, action| Policy {
        abis: vec![Abi::X86_64],
        foreign,
        default,
        rules: vec![Rule { abi: Abi::X86_64, nr: 1, conditions: vec![], action }],
    };
    let (kill, allow) = (Action::KillThread, Action::Allow);
    for compiler in [Compiler::LibseccompLinear, Compiler::LibseccompTree] {
        compiler.compile(&with(kill, kill, allow)).expect("KILL_THREAD and ALLOW have always been there");
        for action in [Action::KillProcess, Action::Log, Action::UserNotif] {
            for (policy, place) in [
                (with(action, kill, allow), None),
                (with(kill, action, allow), None),
                (with(kill, kill, action), Some(0)),
            ] {
                match compiler.compile(&policy) {
                    Err(Error::Unsupported { what: Limit::ApiLevel(refused), rule, .. }) => {
                        assert_eq!((refused, rule), (action, place));
                    }
                    other => panic!("{compiler}, {action} at {place:?}: {other:?}"),
                }
            }
        }
    }
}
