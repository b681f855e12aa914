//! What libseccomp makes of a container's profile when it is given the names, as runtimes do.

use atlas_model::abi::syscalls;
use atlas_model::bpf::{self, Dialect};
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

#[test]
fn what_the_library_may_not_return_from_is_not_asked_of_it() {
    let two = PROFILE.replace(
        r#"{ "names": ["bind"]"#,
        r#"{ "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 1, "value": 1, "op": "SCMP_CMP_EQ" }] },
           { "names": ["bind"]"#,
    );
    let error = Compiler::LibseccompLinear.compile_by_name(&profile::read(&two).unwrap().policy).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: Limit::Merged(_), .. }), "{error}");
}
