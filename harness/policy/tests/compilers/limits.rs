//! Each limit of a library by the smallest policy that shows it, and how narrow it is: what is next to
//! it is taken. Observed with libseccomp 2.5.4 and seccompiler 0.5.0.

use atlas_model::abi::SeccompData;
use atlas_model::bpf::MAX_INSNS;
use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Action};
use atlas_policy::{Compiler, Error, Limit, agrees, agrees_as, calls_mixed, calls_near};

const LIBSECCOMP: [Compiler; 2] = [Compiler::LibseccompLinear, Compiler::LibseccompTree];
const LIBRARIES: [Compiler; 3] =
    [Compiler::LibseccompLinear, Compiler::LibseccompTree, Compiler::Seccompiler];

pub(crate) fn on(arg: u8, comparison: Comparison, value: u64) -> Condition {
    Condition { arg, comparison, value }
}

pub(crate) fn rule(abi: Abi, nr: u32, conditions: &[Condition], action: Action) -> Rule {
    Rule { abi, nr, conditions: conditions.to_vec(), action }
}

/// An allow list for an ABI.
pub(crate) fn policy(abi: Abi, rules: &[Rule]) -> Policy {
    let kill = Action::KillProcess;
    Policy { abis: vec![abi], foreign: kill, default: kill, rules: rules.to_vec() }
}

fn allow(nr: u32, conditions: &[Condition]) -> Rule {
    rule(Abi::X86_64, nr, conditions, Action::Allow)
}

pub(crate) fn calls(policy: &Policy) -> impl Iterator<Item = SeccompData> {
    calls_near(policy).into_iter().chain(calls_mixed(policy, 1).take(300))
}

/// The limit a policy runs into, with the rule.
#[track_caller]
fn limit(compiler: Compiler, policy: &Policy) -> (Limit, Option<usize>) {
    agrees(policy, &Compiler::Linear.compile(policy).expect("ours takes it"), calls(policy))
        .expect("ours is right");
    match compiler.compile(policy) {
        Err(Error::Unsupported { compiler: by, what, rule }) => {
            assert_eq!(by, compiler);
            (what, rule)
        }
        other => panic!("{compiler}: {other:?}"),
    }
}

/// The policy is taken, and compiled rightly.
#[track_caller]
fn taken(compiler: Compiler, policy: &Policy) {
    let filter = compiler.compile(policy).unwrap_or_else(|error| panic!("{error}"));
    agrees_as(compiler, policy, &filter, calls(policy)).unwrap_or_else(|found| panic!("{compiler}: {found}"));
}

/// What the library does when it is not kept from it is wrong.
#[track_caller]
fn wrong(compiler: Compiler, policy: &Policy) {
    let filter = compiler.compile_as_is(policy).expect("the library takes it");
    agrees_as(compiler, policy, &filter, calls(policy)).expect_err("the refusal has a reason");
}

#[test]
fn no_abi() {
    let none = Policy { abis: vec![], ..policy(Abi::X86_64, &[]) };
    for compiler in LIBRARIES {
        assert_eq!(limit(compiler, &none), (Limit::NoAbi, None));
        taken(compiler, &policy(Abi::X86_64, &[]));
    }
}

#[test]
fn abis_of_seccompiler() {
    let i386 = policy(Abi::I386, &[]);
    assert_eq!(limit(Compiler::Seccompiler, &i386), (Limit::Abi(Abi::I386), None));
    let only = |abis: &[Abi], default| Policy {
        abis: abis.to_vec(),
        default,
        ..policy(Abi::X86_64, &[allow(1, &[])])
    };
    for abi in [Abi::X86_64, Abi::X32] {
        let apart = only(&[abi], Action::Errno(1));
        assert_eq!(limit(Compiler::Seccompiler, &apart), (Limit::X32, None));
        wrong(Compiler::Seccompiler, &apart);
        taken(Compiler::Seccompiler, &only(&[abi], Action::KillProcess));
    }
    taken(Compiler::Seccompiler, &only(&[Abi::X86_64, Abi::X32], Action::Errno(1)));
    let spared = Policy { foreign: Action::Errno(1), ..policy(Abi::X86_64, &[]) };
    assert_eq!(limit(Compiler::Seccompiler, &spared), (Limit::Foreign(Action::Errno(1)), None));
    wrong(Compiler::Seccompiler, &spared);
}

#[test]
fn actions_that_libraries_do_not_have() {
    let with = |action| policy(Abi::X86_64, &[rule(Abi::X86_64, 1, &[], action)]);
    for compiler in LIBRARIES {
        for action in [Action::Trap(1), Action::Unknown(0x0001_0000)] {
            assert_eq!(limit(compiler, &with(action)), (Limit::Action(action), Some(0)));
            let by_default = Policy { default: action, ..policy(Abi::X86_64, &[]) };
            assert!(compiler.compile(&by_default).is_err());
        }
        for action in
            [Action::Trap(0), Action::Errno(0), Action::Errno(4094), Action::Trace(0xffff), Action::Log]
        {
            taken(compiler, &with(action));
        }
        taken(compiler, &with(Action::KillThread));
    }
    for compiler in LIBSECCOMP {
        let action = Action::Errno(4095);
        assert_eq!(limit(compiler, &with(action)), (Limit::Action(action), Some(0)));
    }
    assert_eq!(
        limit(Compiler::Seccompiler, &with(Action::UserNotif)),
        (Limit::Action(Action::UserNotif), Some(0))
    );
    for compiler in LIBSECCOMP {
        taken(compiler, &with(Action::UserNotif));
    }
}

#[test]
fn a_rule_with_the_default_action() {
    let needless = policy(Abi::X86_64, &[rule(Abi::X86_64, 1, &[], Action::KillProcess)]);
    for compiler in LIBRARIES {
        assert_eq!(limit(compiler, &needless), (Limit::ActionIsDefault, Some(0)));
    }
}

#[test]
fn one_action_by_seccompiler() {
    let two = policy(Abi::X86_64, &[allow(1, &[]), rule(Abi::X86_64, 2, &[], Action::Log)]);
    assert_eq!(limit(Compiler::Seccompiler, &two), (Limit::OneAction(0), Some(1)));
    for compiler in LIBSECCOMP {
        taken(compiler, &two);
    }
}

#[test]
fn several_conditions_on_an_argument() {
    let between = [on(0, Comparison::Greater, 2), on(0, Comparison::Less, 9)];
    for compiler in LIBSECCOMP {
        let one = policy(Abi::X86_64, &[allow(1, &between)]);
        assert_eq!(limit(compiler, &one), (Limit::SeveralConditions(0), Some(0)));
    }
    taken(Compiler::Seccompiler, &policy(Abi::X86_64, &[allow(1, &between)]));
}

#[test]
fn rules_that_overlap() {
    let errno = |conditions: &[Condition]| rule(Abi::X86_64, 1, conditions, Action::Errno(1));
    let zero = on(0, Comparison::Equal, 0);
    for compiler in LIBSECCOMP {
        // A rule without conditions takes the place of those before it, whose action is another one.
        let first = policy(Abi::X86_64, &[allow(1, &[zero]), errno(&[])]);
        assert_eq!(limit(compiler, &first), (Limit::Overlaps(0), Some(1)));
        wrong(compiler, &first);
        let apart = policy(Abi::X86_64, &[allow(1, &[zero]), errno(&[on(0, Comparison::Equal, 1)])]);
        taken(compiler, &apart);
        let same = policy(Abi::X86_64, &[allow(1, &[zero]), allow(1, &[])]);
        taken(compiler, &same);
    }
}

#[test]
fn numbers_without_a_name() {
    for (abi, nr, known) in [(Abi::I386, 222, 3), (Abi::X32, Abi::X32_BIT | 400, Abi::X32_BIT | 512)] {
        for compiler in LIBSECCOMP {
            let with = |nr| policy(abi, &[rule(abi, nr, &[], Action::Allow)]);
            assert_eq!(limit(compiler, &with(nr)), (Limit::Number(nr), Some(0)));
            taken(compiler, &with(known));
        }
    }
    // Those behind socketcall(2) and ipc(2), and these two themselves.
    for compiler in LIBSECCOMP {
        let with = |nr| policy(Abi::I386, &[rule(Abi::I386, nr, &[], Action::Allow)]);
        for nr in [359, 362, 373, 393, 402] {
            assert_eq!(limit(compiler, &with(nr)), (Limit::Number(nr), Some(0)));
        }
        for nr in [102, 117] {
            taken(compiler, &with(nr));
        }
    }
    let any = policy(Abi::X86_64, &[allow(0x3fff_ffff, &[])]);
    for compiler in LIBRARIES {
        taken(compiler, &any);
    }
}

#[test]
fn more_than_libseccomp_can_be_trusted_with() {
    let many = |count| policy(Abi::X86_64, &(0..count).map(|nr| allow(nr, &[])).collect::<Vec<_>>());
    for compiler in LIBSECCOMP {
        assert!(matches!(
            compiler.compile(&many(4097)),
            Err(Error::Unsupported { what: Limit::Size(4097), rule: None, .. })
        ));
        taken(compiler, &many(500));
    }
}

#[test]
fn filters_that_are_too_long() {
    let equal = [on(0, Comparison::Equal, 1)];
    let with = |free, bound| {
        let rule = |nr| allow(nr, if nr < bound { &equal } else { &[] });
        policy(Abi::X86_64, &(0..free + bound).map(rule).collect::<Vec<_>>())
    };
    // An instruction a number, nine around them, and a return every 254.
    assert!(Compiler::Linear.compile(&with(4000, 0)).expect("it fits").len() <= 4000 + 9 + 2 * 16);
    let long = Compiler::Linear.compile(&with(5000, 0));
    assert!(matches!(long, Err(Error::TooLong { len, .. }) if len > MAX_INSNS), "{long:?}");
    // seccompiler refuses one that kernels would take, of 4096.
    assert_eq!(Compiler::Seccompiler.compile(&with(818, 0)).expect("it fits").len(), 4095);
    let most = Compiler::Seccompiler.compile(&with(811, 4));
    assert!(matches!(most, Err(Error::TooLong { len: 4096, .. })), "{most:?}");
}

#[test]
fn libseccomp_lets_minus_one_pass() {
    let deny = Policy { default: Action::Allow, ..policy(Abi::X86_64, &[]) };
    for compiler in LIBSECCOMP {
        let filter = compiler.compile(&deny).expect("a filter");
        let found = agrees(&deny, &filter, calls(&deny)).expect_err("it differs");
        assert_eq!((found.call.nr, found.expected), (u32::MAX, Action::KillProcess));
        agrees_as(compiler, &deny, &filter, calls(&deny)).expect("but in nothing else");
        let both = Policy { abis: vec![Abi::X86_64, Abi::X32], ..deny.clone() };
        let filter = compiler.compile(&both).expect("a filter");
        agrees(&both, &filter, calls(&both)).expect("with x32 it does not differ");
    }
}

#[test]
fn arguments_that_calls_do_not_have() {
    for compiler in Compiler::ALL {
        let error = compiler.compile_as_is(&policy(Abi::X86_64, &[allow(1, &[on(6, Comparison::Equal, 1)])]));
        assert!(matches!(error, Err(Error::Argument { rule: 0, arg: 6 })), "{error:?}");
    }
}
