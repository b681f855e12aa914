//! What somebody who ships a filter should know of it: mistakes that were made before.

mod answers;
mod arguments;

use super::{Map, Subject};
use crate::numbers::ranges;
use atlas_model::abi::syscalls;
use atlas_model::action::errno;
use atlas_model::experiment::layout;
use atlas_model::{Abi, Action};
use std::collections::BTreeSet;

/// A number that no kernel has given to a call yet.
const NOBODYS: u32 = 1023;
/// Calls that the GNU C library tries first and has an older one for, which it takes on ENOSYS alone:
/// sysdeps/unix/sysv/linux/ `clone-internal.c`, `faccessat.c`, `statx.c`. The cases `fallback::…` show it
/// on each kernel.
const TRIED_FIRST: [&str; 3] = ["clone3", "faccessat2", "statx"];

/// The remarks on a filter, a sentence or two each.
#[must_use]
pub fn of(subject: &Subject, map: &Map) -> Vec<String> {
    let all = [unknown_number(map), tried_first(map), socketcall(map)];
    let others = answers::of(map).into_iter().chain(arguments::of(subject, map));
    all.into_iter().flatten().chain(others).chain(reach(subject, map)).collect()
}

fn unknown_number(map: &Map) -> Option<String> {
    let [word] = map.given(Abi::X86_64, NOBODYS) else { return None };
    Some(format!("A number that no kernel has yet ({NOBODYS}) gets {}.", Action::from_word(*word)))
}

fn tried_first(map: &Map) -> Option<String> {
    let falls_back = |word: u32| {
        let action = Action::from_word(word);
        lets_through(word) || action == Action::Errno(errno::ENOSYS as u16)
    };
    let refused = |name: &&str| {
        let given = syscalls::number(Abi::X86_64, name).map(|nr| map.given(Abi::X86_64, nr));
        matches!(given, Some([word]) if !falls_back(*word))
    };
    let names: Vec<&str> = TRIED_FIRST.into_iter().filter(refused).collect();
    let them = match names.len() {
        0 => return None,
        1 => "it",
        _ => "them",
    };
    Some(format!(
        "C libraries try {} first and take an older call at ENOSYS alone: deny {them} by ERRNO(38 ENOSYS), or allow.",
        names.join(", ")
    ))
}

/// What i386 programs make sockets by takes its arguments from memory (net/socket.c `SYSCALL_DEFINE2(socketcall`).
fn socketcall(map: &Map) -> Option<String> {
    let nr = syscalls::number(Abi::I386, "socketcall")?;
    let socket = map.given(Abi::X86_64, syscalls::number(Abi::X86_64, "socket")?);
    let way_around = map.given(Abi::I386, nr).iter().any(|word| lets_through(*word))
        && socket.iter().any(|word| !lets_through(*word));
    way_around.then(|| {
        format!(
            "i386's socketcall ({nr}) is let through, and makes any socket: what it is asked for lies in memory, \
             where no filter looks."
        )
    })
}

/// The instructions that no call gets to; `None` where that cannot be told.
pub(super) fn unreached(subject: &Subject, map: &Map) -> Option<Vec<usize>> {
    let reached = || map.explored.ways.iter().flat_map(|way| way.steps.iter().copied());
    map.explored.is_whole().then(|| {
        let reached: BTreeSet<usize> = reached().collect();
        (0..subject.filter.len()).filter(|at| !reached.contains(at)).collect()
    })
}

/// The instructions that no call gets to; or, where that cannot be told, what else there may be.
fn reach(subject: &Subject, map: &Map) -> Vec<String> {
    let explored = &map.explored;
    if let Some(unreached) = unreached(subject, map) {
        let places = places(unreached);
        return if places.is_empty() {
            vec![]
        } else {
            vec![format!("No call gets to the instructions {places}.")]
        };
    }
    let mut said = Vec::new();
    if explored.cut {
        said.push("There are more ways through it than were gone over, so this may not be all.".into());
    }
    if !explored.blind.is_empty() {
        said.push(format!(
            "What is reckoned out is compared or returned at {}, so that a call may come to more than is told.",
            places(explored.blind.iter().copied())
        ));
    }
    if !explored.looks_at_ip.is_empty() {
        said.push(format!(
            "It looks at the instruction pointer at {}; what is told is for the address that atlas makes its own \
             calls from ({:#x}, by int 0x80 {:#x}).",
            places(explored.looks_at_ip.iter().copied()),
            layout::SYSCALL_IP,
            layout::INT80_IP
        ));
    }
    said
}

/// Instructions as they are written down, runs of them by first and last.
fn places(at: impl IntoIterator<Item = usize>) -> String {
    let at: Vec<u32> = at.into_iter().map(|at| at as u32).collect();
    let span =
        |(first, last)| if first == last { format!("{first:04}") } else { format!("{first:04}-{last:04}") };
    ranges(&at).into_iter().map(span).collect::<Vec<_>>().join(", ")
}

/// Whether a word is one of those that let a call go on.
fn lets_through(word: u32) -> bool {
    matches!(Action::from_word(word), Action::Allow | Action::Log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model::abi::offset;
    use atlas_model::{Filter, bpf};
    use atlas_policy::profile;

    fn remarks(filter: Filter) -> String {
        let subject = Subject { name: String::new(), filter, compiler: None, policy: None, notes: vec![] };
        of(&subject, &subject.map()).join("\n")
    }

    fn profiled(rules: &str) -> String {
        let text = format!(
            r#"{{ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                "syscalls": [{rules}] }}"#
        );
        let policy = profile::read(&text).unwrap().policy;
        remarks(atlas_policy::Compiler::Linear.compile(&policy).unwrap())
    }

    fn socket(op: &str, value: u64, two: &str) -> String {
        format!(
            r#"{{ "names": ["socket"], "action": "SCMP_ACT_ALLOW",
                "args": [{{ "index": 0, "op": "SCMP_CMP_{op}", "value": {value}{two} }}] }}"#
        )
    }

    #[test]
    fn a_family_that_passes_with_a_bit_above_31_is_found() {
        let around = profiled(&socket("NE", 40, ""));
        assert!(around.contains("socket[41](0x100000028)"), "{around}");
        let range = profiled(&[socket("LT", 38, ""), socket("GT", 40, "")].join(","));
        assert!(range.contains("let through with a bit above 31 set: socket[41](0x100000026)"), "{range}");
        let exact = profiled(&socket("EQ", 1, ""));
        assert!(!exact.contains("above 31"), "{exact}");
        let masked = profiled(&socket("MASKED_EQ", 0xffff_ffff, r#", "valueTwo": 1"#));
        assert!(!masked.contains("above 31"), "{masked}");
    }

    #[test]
    fn what_the_kernel_drops_is_found_where_it_does() {
        let behind = |name: &str, index: u32, op: &str, value: u64| {
            profiled(&format!(
                r#"{{ "names": ["{name}"], "action": "SCMP_ACT_ALLOW",
                    "args": [{{ "index": {index}, "op": "SCMP_CMP_{op}", "value": {value} }}] }}"#
            ))
        };
        // A mode has 16 bits, a length 64, and an ioctl's own argument is the driver's.
        let mode = behind("fchmod", 1, "NE", 0o4755);
        assert!(mode.contains("a bit above 15 set: fchmod[91](0, 0x109ed)"), "{mode}");
        assert!(mode.contains("under the mask 0xffff."), "{mode}");
        assert!(!behind("mmap", 1, "NE", 4096).contains("above"));
        assert!(behind("ioctl", 1, "NE", 0x5412).contains("above 31 set: ioctl[16](0, 0x100005412)"));
        assert!(!behind("ioctl", 2, "NE", 7).contains("ioctl[16]("));

        let beyond = behind("fchmod", 2, "EQ", 0);
        assert!(beyond.contains("fchmod[91] takes 2 arguments, and args[2] is compared"), "{beyond}");
        // Cut inside; a pointer; and calls of which nothing is known.
        assert!(behind("clone", 0, "NE", 0x1000_0011).contains("above 31 set: clone[56](0x110000011)"));
        assert!(behind("readv", 0, "NE", 5).contains("above 31 set: readv[19](0x100000005)"));
        for (name, index) in [("clone", 1), ("process_vm_readv", 5), ("lookup_dcookie", 0), ("uselib", 0)] {
            let other = behind(name, index, "NE", 7);
            assert!(!other.contains("a bit above") && !other.contains("takes"), "{name}: {other}");
        }
        assert!(!mode.contains("takes 2 arguments"), "{mode}");
        let any = vec![
            bpf::ld(offset::arg_low(5)),
            bpf::jeq(1, 0, 1),
            bpf::ret(Action::Errno(1)),
            bpf::ret(Action::Allow),
        ];
        let any = remarks(any.into());
        assert!(any.contains("write[1] takes 3 arguments") && any.contains(" more"), "{any}");
        assert!(!any.contains("futex[") && any.len() < 1000, "{any}");
    }

    #[test]
    fn a_socket_by_socketcall_is_found_where_sockets_are_restricted() {
        let allow = |name: &str| format!(r#"{{ "names": ["{name}"], "action": "SCMP_ACT_ALLOW" }}"#);
        let both = |socket: String| profiled(&[socket, allow("socketcall")].join(","));
        assert!(both(socket("EQ", 1, "")).contains("socketcall (102) is let through"));
        assert!(!both(allow("socket")).contains("socketcall"));
        assert!(!profiled(&socket("EQ", 1, "")).contains("socketcall"));
    }

    #[test]
    fn what_no_call_gets_to_is_told_or_why_not() {
        let list = |insns: &[bpf::Insn]| remarks(Filter(insns.to_vec()));
        let allow = bpf::ret(Action::Allow);
        assert!(list(&[allow, allow, allow]).contains("No call gets to the instructions 0001-0002."));
        let ip = list(&[bpf::ld(offset::IP_LOW), bpf::jeq(1, 0, 1), bpf::ret(Action::Errno(1)), allow]);
        assert!(ip.contains("It looks at the instruction pointer at 0000;"), "{ip}");
        let sum =
            list(&[bpf::ld(0), bpf::alu(bpf::op::ADD, 1), bpf::jeq(1, 0, 1), bpf::ret(Action::Log), allow]);
        assert!(sum.contains("compared or returned at 0002, so that"), "{sum}");
    }

    #[test]
    fn what_keeps_c_libraries_from_older_calls_is_found() {
        let allows = remarks(Filter(vec![bpf::ret(Action::Allow)]));
        assert_eq!(allows, "A number that no kernel has yet (1023) gets ALLOW.");
        let eperm = remarks(Filter(vec![bpf::ret(Action::Errno(1))]));
        assert!(eperm.contains("try clone3, faccessat2, statx first"), "{eperm}");
        let enosys = remarks(Filter(vec![bpf::ret(Action::Errno(38))]));
        assert!(!enosys.contains("clone3"), "{enosys}");
    }
}
