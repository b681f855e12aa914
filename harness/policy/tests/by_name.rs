//! What libseccomp makes of a container's profile when it is given the names, as runtimes do.

use atlas_model::abi::syscalls;
use atlas_model::bpf::{self, Dialect};
use atlas_model::policy::{Policy, Rule};
use atlas_model::{Abi, Action, Call, Filter};
use atlas_policy::{Compiler, Error, Limit, profile};

const PROFILE: &str = r#"{
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "syscalls": [
        { "names": ["read", "waitpid"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 40, "op": "SCMP_CMP_NE" }] },
        { "names": ["bind"], "action": "SCMP_ACT_LOG" }
    ]
}"#;

fn answer(filter: &Filter, abi: Abi, name: &str, first: u64) -> Action {
    let nr = syscalls::number(abi, name).unwrap().into();
    let call = Call { abi, nr, args: [first, 0, 0, 0, 0, 0] };
    Action::from_word(bpf::run(filter, &call.data(), &Dialect::default()).word)
}

#[test]
fn the_filter_is_the_one_that_runtimes_get() {
    let policy = profile::read(PROFILE).unwrap().policy;
    for compiler in [Compiler::LibseccompLinear, Compiler::LibseccompTree] {
        let error = compiler.compile(&policy).unwrap_err();
        assert!(matches!(error, Error::Unsupported { what: Limit::UpperHalf(0), .. }), "{error}");
        let (filter, unknown) = compiler.compile_by_name(&policy).unwrap();
        assert_eq!(unknown, Vec::<&str>::new());
        let answer = |abi, name, first| answer(&filter, abi, name, first);
        for abi in Abi::ALL {
            assert_eq!(answer(abi, "read", 0), Action::Allow, "{abi}");
            assert_eq!(answer(abi, "write", 0), Action::Errno(1), "{abi}");
            assert_eq!(answer(abi, "socket", 2), Action::Allow, "{abi}");
            assert_eq!(answer(abi, "socket", 40), Action::Errno(1), "{abi}");
            assert_eq!(answer(abi, "bind", 0), Action::Log, "{abi}");
        }
        // A call of i386 alone, and one that carries others: bind is its second one, and read is none of them.
        assert_eq!(answer(Abi::I386, "waitpid", 0), Action::Allow);
        assert_eq!(answer(Abi::I386, "socketcall", 2), Action::Log);
        assert_eq!(answer(Abi::I386, "socketcall", 3), Action::Errno(1));
        // What makes it another filter than the policy's.
        assert_eq!(answer(Abi::X86_64, "socket", 40 | 1 << 32), Action::Allow);
        assert_eq!(answer(Abi::X32, "socket", 40 | 1 << 32), Action::Errno(1));
    }
}

/// The profile with this entry besides.
fn with(entry: &str) -> Policy {
    let text = PROFILE.replace(r#"{ "names": ["bind"]"#, &format!(r#"{entry}, {{ "names": ["bind"]"#));
    profile::read(&text).unwrap().policy
}

fn limit(policy: &Policy) -> Limit {
    match Compiler::LibseccompLinear.compile_by_name(policy).unwrap_err() {
        Error::Unsupported { what, .. } => what,
        other => panic!("{other}"),
    }
}

#[test]
fn what_the_library_may_not_return_from_or_counts_wrongly_is_not_asked_of_it() {
    let allow = |names: &str, index: u32, op: &str| {
        format!(
            r#"{{ "names": [{names}], "action": "SCMP_ACT_ALLOW", "args": [{{ "index": {index}, "value": 1, "op": "{op}" }}] }}"#
        )
    };
    // Two rules of one number, one of which compares by !=.
    assert!(matches!(limit(&with(&allow(r#""socket""#, 1, "SCMP_CMP_EQ"))), Limit::Merged(_)));
    // The same of one name, in one ABI each.
    let mut apart = profile::read(PROFILE).unwrap().policy;
    apart.rules.retain(|rule| rule.conditions.is_empty() || rule.abi == Abi::X86_64);
    let of_i386 = syscalls::number(Abi::I386, "socket").unwrap();
    let native = apart.rules.iter().find(|rule| !rule.conditions.is_empty()).unwrap().clone();
    let second = atlas_model::policy::Condition { arg: 2, ..native.conditions[0] };
    apart.rules.push(Rule { abi: Abi::I386, nr: of_i386, conditions: vec![second], ..native });
    assert!(matches!(limit(&apart), Limit::Merged(_)));
    // Two calls that socketcall carries; of the first argument it knows nothing, so that one alone may be compared so.
    assert!(matches!(limit(&with(&allow(r#""sendto", "connect""#, 3, "SCMP_CMP_NE"))), Limit::Merged(_)));
    assert!(
        Compiler::LibseccompLinear.compile_by_name(&with(&allow(r#""read""#, 3, "SCMP_CMP_NE"))).is_err()
    );
    assert!(Compiler::LibseccompLinear.compile_by_name(&with(&allow(r#""dup""#, 3, "SCMP_CMP_NE"))).is_ok());

    let many: Vec<String> = (0..800)
        .map(|value| {
            allow(r#""ioctl""#, 1, "SCMP_CMP_EQ").replace("\"value\": 1", &format!("\"value\": {value}"))
        })
        .collect();
    assert!(matches!(limit(&with(&many.join(","))), Limit::Size(_)));
}
