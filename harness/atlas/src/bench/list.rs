//! The standard measurements, by name.

use super::compilers::{COMPILERS, samples};
use super::item::{Item, REFERENCE, ROUNDS, behind, native};
use super::{filters, ruby};
use atlas_model::abi::syscalls;
use atlas_model::bpf;
use atlas_model::experiment::{Call, Via};
use atlas_model::{Abi, Action, Filter};
use atlas_wire::measure::{Answerer, Behind, Reply, Subject};

/// Rounds of what needs a process each.
const PROCESSES: u32 = 30;
/// Lengths of filters.
pub const LENGTHS: [usize; 7] = [4, 16, 64, 256, 1024, 2048, 4096];
/// Numbers of compares in a row; with the load and the return the last makes a filter of 4096.
pub const COMPARES: [usize; 8] = [0, 1, 2, 10, 100, 1000, 2000, 4094];
/// Numbers of filters on one another.
pub const DEPTHS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Compares in each of those.
pub const DEPTH_COMPARES: usize = 10;
/// EBADF, negated.
const EBADF: i64 = -9;
/// What getppid(2) returns: callers are children of PID 1.
const PARENT: i64 = 1;
/// `SECCOMP_FILTER_FLAG_TSYNC`.
const TSYNC: u32 = 1;

/// A call that the tables have.
fn known(name: &str, first: u64) -> Call {
    native(name, first).unwrap_or(Call { abi: Abi::X86_64, nr: u64::from(u32::MAX), args: [0; 6] })
}

/// All of them. Rows come after the rows that they are compared with.
#[must_use]
pub fn all() -> Vec<Item> {
    let getppid = known("getppid", 0);
    let one = |name: String, filter| behind(name, vec![filter], getppid, Some(PARENT));
    let mut items = plain(getppid);
    items.extend(COMPARES.map(|count| one(format!("compares/{count}"), filters::compares(count))));
    for length in LENGTHS {
        let pairs = u64::from(filters::pairs(length));
        for (which, first) in [("best", 0), ("middle", pairs / 2), ("worst", u64::MAX)] {
            let name = format!("length/{length}/{which}");
            items.push(behind(name, vec![filters::list(length)], known("getppid", first), Some(PARENT)));
        }
    }
    for leaves in [16, 64, 256, 1000] {
        items.push(one(format!("tree/{leaves}"), filters::tree(leaves)));
    }
    for depth in DEPTHS {
        let stack = vec![filters::compares(DEPTH_COMPARES); depth];
        items.push(behind(format!("depth/{depth}"), stack, getppid, Some(PARENT)));
    }
    items.push(one("cache/allow all".into(), Filter(vec![bpf::ret(Action::Allow)])));
    for count in [1, 1000] {
        items.push(one(format!("cache/at work/{count}"), filters::number_only(count)));
        items.push(one(format!("cache/defeated/{count}"), filters::number_and_argument(count)));
    }
    let opcodes = filters::opcodes().into_iter();
    items.extend(opcodes.map(|(name, filter)| one(format!("opcode/{name}"), filter)));
    items.extend(entries());
    items.extend(actions(getppid));
    items.extend(policies());
    items.extend(loads());
    items.extend(ruby::items());
    items
}

/// Calls without a filter, and in strict mode.
fn plain(getppid: Call) -> Vec<Item> {
    let bare = |call: &str, first, returns| Item {
        baseline: None,
        ..behind(format!("call/{call}"), vec![], known(call, first), Some(returns))
    };
    let read = known("read", u64::from(u32::MAX));
    vec![
        Item { baseline: None, ..behind(REFERENCE, vec![], getppid, Some(PARENT)) },
        bare("read", u64::from(u32::MAX), EBADF),
        bare("getrandom", 0, 0),
        Item {
            name: "strict/read".into(),
            subject: Subject::Call { behind: Behind::Strict, call: read, answerer: Answerer::Kernel },
            rounds: PROCESSES,
            exact: true,
            returns: Some(EBADF),
            baseline: Some("call/read".into()),
        },
    ]
}

/// getppid by the other ABIs.
fn entries() -> Vec<Item> {
    let mut items = Vec::new();
    for abi in [Abi::I386, Abi::X32] {
        let nr = syscalls::number(abi, "getppid").unwrap_or(u32::MAX);
        let call = Call { abi, nr: nr.into(), args: [0; 6] };
        let bare = format!("entry/{abi}/none");
        let none = behind(bare.clone(), vec![], call, Some(PARENT));
        items.push(Item { baseline: None, ..none });
        for count in [0, 100] {
            let name = format!("entry/{abi}/compares/{count}");
            let item = behind(name, vec![filters::compares(count)], call, Some(PARENT));
            items.push(Item { baseline: Some(bare.clone()), ..item });
        }
    }
    items
}

/// What each action costs.
fn actions(getppid: Call) -> Vec<Item> {
    let item = |name: &str, action, answerer, returns| Item {
        name: format!("action/{name}"),
        subject: Subject::Call {
            behind: Behind::Filters(vec![filters::answer(getppid.nr as u32, action)]),
            call: getppid,
            answerer,
        },
        rounds: ROUNDS,
        exact: true,
        returns: Some(returns),
        baseline: Some(REFERENCE.into()),
    };
    let listened = |name, reply, returns| item(name, Action::UserNotif, Answerer::Listener(reply), returns);
    vec![
        item("allow", Action::Allow, Answerer::Kernel, PARENT),
        item("errno", Action::Errno(5), Answerer::Kernel, -5),
        item("trap to a handler", Action::Trap(5), Answerer::Handler, getppid.nr as i64),
        item("trace", Action::Trace(5), Answerer::Tracer, PARENT),
        listened("notify", Reply::Value, 0),
        listened("notify, continue", Reply::Continue, PARENT),
        listened("notify, add fd", Reply::AddFd, 0),
        Item { exact: false, ..item("log", Action::Log, Answerer::Kernel, PARENT) },
        Item {
            name: "action/kill and reap".into(),
            subject: Subject::Death {
                filter: filters::answer(getppid.nr as u32, Action::KillProcess),
                call: getppid,
            },
            rounds: PROCESSES,
            exact: false,
            returns: None,
            baseline: None,
        },
    ]
}

/// The same policies by several compilers: a hot call, a cold one, a denied one, and the load.
fn policies() -> Vec<Item> {
    let mut items = Vec::new();
    for sample in samples() {
        for (compiler, compile) in COMPILERS {
            // A compiler that cannot express a policy has no rows for it.
            let Ok(filter) = compile(&sample.policy) else { continue };
            let base = format!("policy/{}/{compiler}", sample.name);
            for (which, call) in [("hot", sample.hot), ("cold", sample.cold)] {
                let item = behind(format!("{base}/{which}"), vec![filter.clone()], known(call, 0), None);
                items.push(Item { baseline: Some(format!("call/{call}")), ..item });
            }
            let denied = known(sample.denied, 0);
            let item = behind(format!("{base}/denied"), vec![filter.clone()], denied, Some(-1));
            items.push(Item { baseline: None, ..item });
            items.push(load(format!("{base}/load"), filter, Via::Seccomp { flags: 0 }, 1));
        }
    }
    items
}

fn load(name: String, filter: Filter, via: Via, threads: u8) -> Item {
    Item {
        name,
        subject: Subject::Load { filter, via, threads },
        rounds: PROCESSES,
        exact: false,
        returns: Some(0),
        baseline: None,
    }
}

/// What attaching costs.
fn loads() -> Vec<Item> {
    let mut items = vec![load("load/prctl/2".into(), filters::compares(0), Via::Prctl, 1)];
    for count in [0, 98, 998, 4094] {
        let name = format!("load/seccomp/{}", count + 2);
        items.push(load(name, filters::compares(count), Via::Seccomp { flags: 0 }, 1));
    }
    for threads in [1, 8, 64] {
        let name = format!("load/tsync/{threads}");
        items.push(load(name, filters::compares(0), Via::Seccomp { flags: TSYNC }, threads));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::item::seen;
    use atlas_model::bpf::Dialect;
    use atlas_model::bpf::check;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_baselines_come_first() {
        let mut before = HashSet::new();
        for item in all() {
            if let Some(baseline) = &item.baseline {
                assert!(before.contains(baseline), "{} before {baseline}", item.name);
            }
            assert!(before.insert(item.name.clone()), "{} twice", item.name);
        }
    }

    #[test]
    fn every_filter_is_one_and_answers_as_the_item_says() {
        for item in all() {
            let (filters, call) = match &item.subject {
                Subject::Call { behind: Behind::Filters(filters), call, .. } => (filters.clone(), *call),
                Subject::Load { filter, .. } => (vec![filter.clone()], known("getppid", 0)),
                _ => continue,
            };
            for filter in &filters {
                check(filter, &Dialect::default()).unwrap_or_else(|wrong| panic!("{}: {wrong}", item.name));
                let word = bpf::run(filter, &seen(&call), &Dialect::default()).word;
                let wanted = match item.returns {
                    _ if item.name.starts_with("action/") => continue,
                    Some(errno @ ..=-1) => Action::Errno(-errno as u16),
                    _ => Action::Allow,
                };
                assert_eq!(Action::from_word(word), wanted, "{}", item.name);
            }
        }
    }

    #[test]
    fn lengths_are_of_all_filters() {
        let item = behind("x", vec![filters::compares(10); 3], known("getppid", 0), None);
        assert_eq!(item.lengths(), (36, 36));
        assert_eq!(behind("x", vec![], known("getppid", 0), None).lengths(), (0, 0));
    }
}
