//! Profiles in the notations of OCI and Docker, and what becomes of every word of them.

use atlas_model::abi::{SeccompData, syscalls};
use atlas_model::{Abi, Action};
use atlas_policy::profile::{Profile, read};
use atlas_policy::{Compiler, Error, Limit, agrees_as, calls_near};

const EXAMPLE: &str = include_str!("../../../docs/examples/profile.json");

fn call(abi: Abi, name: &str, args: [u64; 6]) -> SeccompData {
    let nr = syscalls::number(abi, name).unwrap();
    SeccompData { nr, arch: abi.audit_arch(), args, ..SeccompData::default() }
}

fn native(profile: &Profile, name: &str, args: [u64; 6]) -> Action {
    profile.policy.decide(&call(Abi::X86_64, name, args))
}

fn profile(syscalls: &str) -> Profile {
    let text = format!(r#"{{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{syscalls}] }}"#);
    read(&text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_profile_means_what_it_says() {
    let profile = read(EXAMPLE).unwrap();
    let none = [0; 6];
    assert_eq!(profile.policy.abis, [Abi::X86_64, Abi::I386, Abi::X32]);
    assert_eq!(native(&profile, "read", none), Action::Allow);
    assert_eq!(native(&profile, "bpf", none), Action::Errno(1));
    assert_eq!(native(&profile, "clone3", none), Action::Errno(38));
    // Sixteen bits of flags, by a mask: CLONE_NEWUSER is one.
    assert_eq!(native(&profile, "clone", none), Action::Allow);
    assert_eq!(native(&profile, "clone", [0x1000_0000, 0, 0, 0, 0, 0]), Action::Errno(1));
    // AF_VSOCK is 40.
    assert_eq!(native(&profile, "socket", [2, 0, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(native(&profile, "socket", [40, 0, 0, 0, 0, 0]), Action::Errno(1));
    // Rules for a capability that a container does not have by default, and for one that it has.
    assert_eq!(native(&profile, "mount", none), Action::Errno(1));
    assert_eq!(native(&profile, "chroot", none), Action::Allow);
    assert_eq!(native(&profile, "ptrace", none), Action::Allow);
    assert_eq!(profile.policy.decide(&call(Abi::I386, "socketcall", none)), Action::Allow);
    assert_eq!(profile.policy.decide(&call(Abi::X32, "read", none)), Action::Allow);
    assert_eq!(
        profile.notes,
        [
            "`flags` is about attaching the filter, and not part of it",
            "syscalls[6] is for kernels from 4.8 on, and taken in for all",
            "what depends on capabilities is decided for a container with Docker's default ones: CAP_SYS_ADMIN, \
             CAP_SYS_CHROOT",
            "no calls of x86-64, i386, x32: arm_fadvise64_64, raed",
        ]
    );
}

#[test]
fn every_compiler_makes_of_it_what_it_means() {
    let whole = read(EXAMPLE).unwrap().policy;
    let subs = r#""subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]"#;
    assert!(EXAMPLE.contains(subs));
    let native = read(&EXAMPLE.replace(subs, r#""subArchitectures": []"#)).unwrap().policy;
    // libseccomp looks at half of an x32 argument, and says so by refusing: see `Limit::UpperHalf`.
    let refused = Compiler::LibseccompLinear.compile(&whole).unwrap_err();
    assert!(matches!(refused, Error::Unsupported { what: Limit::UpperHalf(0), .. }), "{refused}");
    for (compiler, policy) in [
        (Compiler::Linear, &whole),
        (Compiler::Linear, &native),
        (Compiler::LibseccompLinear, &native),
        (Compiler::LibseccompTree, &native),
    ] {
        let filter = compiler.compile(policy).unwrap();
        agrees_as(compiler, policy, &filter, calls_near(policy))
            .unwrap_or_else(|differs| panic!("{compiler}: {differs}"));
    }
}

#[test]
fn conditions_on_one_argument_are_rules_apart_and_on_several_one() {
    let arg = |index, value| format!(r#"{{ "index": {index}, "value": {value}, "op": "SCMP_CMP_EQ" }}"#);
    let two = |one, other| {
        profile(&format!(
            r#"{{ "names": ["getuid"], "action": "SCMP_ACT_ALLOW", "args": [{one}, {other}] }}"#
        ))
    };
    let apart = two(arg(0, 1), arg(0, 2));
    for (value, action) in [(1, Action::Allow), (2, Action::Allow), (3, Action::Errno(1))] {
        assert_eq!(native(&apart, "getuid", [value, 0, 0, 0, 0, 0]), action);
    }
    let together = two(arg(0, 1), arg(1, 2));
    assert_eq!(native(&together, "getuid", [1, 2, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(native(&together, "getuid", [1, 3, 0, 0, 0, 0]), Action::Errno(1));
}

#[test]
fn every_comparison_and_action_is_read() {
    let holds = |op: &str, value: u64, two: u64, given: u64| {
        let profile = profile(&format!(
            r#"{{ "name": "getuid", "action": "SCMP_ACT_LOG",
                 "args": [{{ "index": 5, "value": {value}, "valueTwo": {two}, "op": "SCMP_CMP_{op}" }}] }}"#
        ));
        native(&profile, "getuid", [0, 0, 0, 0, 0, given]) == Action::Log
    };
    for (op, below, at, above) in [
        ("NE", true, false, true),
        ("LT", true, false, false),
        ("LE", true, true, false),
        ("EQ", false, true, false),
        ("GE", false, true, true),
        ("GT", false, false, true),
    ] {
        let held = [9, 10, 11].map(|given| holds(op, 10, 0, given));
        assert_eq!(held, [below, at, above], "{op}");
    }
    assert!(holds("MASKED_EQ", 0xf0, 0x10, 0x1f) && !holds("MASKED_EQ", 0xf0, 0x10, 0x2f));
    for (name, action) in [
        ("KILL", Action::KillThread),
        ("KILL_THREAD", Action::KillThread),
        ("KILL_PROCESS", Action::KillProcess),
        ("TRAP", Action::Trap(0)),
        ("TRACE", Action::Trace(1)),
        ("NOTIFY", Action::UserNotif),
        ("LOG", Action::Log),
    ] {
        let profile = profile(&format!(r#"{{ "name": "getuid", "action": "SCMP_ACT_{name}" }}"#));
        assert_eq!(native(&profile, "getuid", [0; 6]), action);
    }
}

#[test]
fn a_rule_with_the_default_action_is_none_and_two_actions_are_said() {
    let rule = |action| format!(r#"{{ "names": ["getuid"], "action": "SCMP_ACT_{action}" }}"#);
    assert!(profile(&rule("ERRNO")).policy.rules.is_empty());
    let both = profile(&[rule("LOG"), rule("ALLOW")].join(","));
    assert_eq!(native(&both, "getuid", [0; 6]), Action::Log);
    assert_eq!(both.notes, ["rules with several actions, of which the first that matches decides: getuid"]);
}

#[test]
fn a_whole_configuration_is_taken_apart() {
    let text =
        format!(r#"{{ "ociVersion": "1.2.0", "process": {{}}, "linux": {{ "seccomp": {EXAMPLE} }} }}"#);
    assert_eq!(read(&text).unwrap(), read(EXAMPLE).unwrap());
}

#[test]
fn what_is_no_profile_is_refused_with_the_place() {
    let rule = |fields: &str| {
        format!(r#"{{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{ "names": ["read"], {fields} }}] }}"#)
    };
    let arg = |fields: &str| rule(&format!(r#""action": "SCMP_ACT_ALLOW", "args": [{{ {fields} }}]"#));
    for (text, says) in [
        ("{".into(), "it is no OCI or Docker seccomp profile: EOF"),
        ("{}".into(), "missing field `defaultAction`"),
        (r#"{ "ociVersion": "1.2.0" }"#.into(), "without `linux.seccomp`"),
        (r#"{ "defaultAction": "SCMP_ACT_DENY" }"#.into(), "defaultAction: `SCMP_ACT_DENY` is no action"),
        (rule(r#""action": "SCMP_ACT_ALOW""#), "syscalls[0]: `SCMP_ACT_ALOW` is no action"),
        (rule(r#""action": "SCMP_ACT_ERRNO", "errnoRet": 4096"#), "errno 4096 is beyond the largest"),
        (rule(r#""action": "SCMP_ACT_ALLOW", "errnoRet": 1"#), "SCMP_ACT_ALLOW takes no errno"),
        (rule(r#""action": "SCMP_ACT_ALLOW", "argz": []"#), "unknown field `argz`"),
        (rule(r#""action": "SCMP_ACT_ALLOW", "includes": { "user": 1 }"#), "unknown field `user`"),
        (arg(r#""index": 6, "value": 1, "op": "SCMP_CMP_EQ""#), "syscalls[0] is about argument 6"),
        (arg(r#""index": 0, "value": 1, "op": "SCMP_CMP_EQUAL""#), "`SCMP_CMP_EQUAL` is no comparison"),
        (
            r#"{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "action": "SCMP_ACT_ALLOW" }] }"#.into(),
            "syscalls[0] names no call",
        ),
        (
            r#"{ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"],
                 "archMap": [{ "architecture": "SCMP_ARCH_X86_64" }] }"#
                .into(),
            "`architectures` and `archMap`",
        ),
        (
            r#"{ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_X64"] }"#
                .into(),
            "`SCMP_ARCH_X64` is no architecture",
        ),
        (
            r#"{ "defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_LOG", "TSYNC"] }"#.into(),
            "`TSYNC` is no flag",
        ),
        (
            r#"{ "defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65536 }"#.into(),
            "data 65536 is beyond the largest, 65535",
        ),
        (rule(r#""action": "SCMP_ACT_ALLOW", "name": "write""#), "`name` and `names`"),
        (
            r#"{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "name": "", "action": "SCMP_ACT_ALLOW" }] }"#
                .into(),
            "syscalls[0] names no call",
        ),
        (
            rule(r#""action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4" }"#),
            "minKernel `4` is no release",
        ),
        (
            rule(r#""action": "SCMP_ACT_ALLOW", "excludes": { "minKernel": "4.x" }"#),
            "minKernel `4.x` is no release",
        ),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(says), "no `{says}` in `{error}`");
    }
}

#[test]
fn this_machine_may_be_called_native() {
    let text = r#"{ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_NATIVE"] }"#;
    assert_eq!(read(text).unwrap().notes, [] as [&str; 0]);
}

#[test]
fn a_tracer_can_be_told_more_than_there_are_errnos() {
    let text = r#"{ "defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65535 }"#;
    assert_eq!(read(text).unwrap().policy.default, Action::Trace(65535));
}

#[test]
fn rules_for_other_machines_and_kernels_are_left_out() {
    let with = |choice: &str| {
        let rule = format!(r#"{{ "name": "getuid", "action": "SCMP_ACT_ALLOW", {choice} }}"#);
        native(&profile(&rule), "getuid", [0; 6]) == Action::Allow
    };
    assert!(with(r#""includes": { "arches": ["arm64", "amd64"] }"#));
    assert!(!with(r#""includes": { "arches": ["arm64"] }"#));
    assert!(with(r#""excludes": { "arches": ["s390x"] }"#));
    assert!(!with(r#""excludes": { "arches": ["amd64"] }"#));
    assert!(with(r#""includes": { "caps": ["CAP_KILL", "CAP_CHOWN"] }"#));
    assert!(!with(r#""includes": { "caps": ["CAP_KILL", "CAP_BPF"] }"#));
    assert!(!with(r#""excludes": { "minKernel": "4.8" }"#));
}
