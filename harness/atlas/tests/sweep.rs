//! Sweeps on real kernels: kernel and model agree on every number of every ABI, and a difference of
//! one number is noticed. `ATLAS_KERNEL` names the kernels, separated by commas; without it the
//! oldest, a middle one and the newest of the default kernels are taken.

use atlas_model::abi::offset;
use atlas_model::bpf::{self, Filter, Insn};
use atlas_model::sweep::{self, Calls};
use atlas_model::{Abi, Action, Call};
use atlas_vm::kernels::{Kernel, Manifest, Store};
use atlas_vm::{Accel, Accelerator, BootOptions};
use seccomp_atlas::guests::Guests;
use seccomp_atlas::plan::JitChoice;
use seccomp_atlas::results::Jit;
use seccomp_atlas::sweep::example::Example;
use seccomp_atlas::sweep::map::Shown;
use seccomp_atlas::sweep::twin::Twin;
use seccomp_atlas::sweep::{Guest, Leg, Order, text};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

fn kernels() -> Vec<Kernel> {
    let wanted: Vec<String> = match std::env::var("ATLAS_KERNEL") {
        Ok(names) => names.split(',').map(str::to_owned).collect(),
        Err(_) => {
            let manifest = Manifest::embedded().unwrap();
            let all: Vec<String> = manifest.group("default").map(|entry| entry.series.clone()).collect();
            assert!(all.len() >= 3, "{all:?}");
            // The third oldest is the release before uprobes were exempt in mainline.
            vec![all[0].clone(), all[2].clone(), all[all.len() - 1].clone()]
        }
    };
    let store = Store::open().unwrap();
    let there = |name: &String| {
        let hint = format!("run: cargo run -p seccomp-atlas -- kernels fetch --kernel {name}");
        store.resolve(name).unwrap_or_else(|error| panic!("{error}\n{hint}"))
    };
    wanted.iter().map(there).collect()
}

/// Plays on every kernel, two at once.
fn on_every_kernel(play: impl Fn(&mut Guest) + Sync) {
    for pair in kernels().chunks(2) {
        std::thread::scope(|scope| {
            for kernel in pair {
                let play = &play;
                scope.spawn(move || {
                    let store = Store::open().unwrap();
                    let memory = store.root().join("kvm");
                    let accelerator = Accelerator::find(Accel::Auto, &kernel.path, Some(&memory))
                        .unwrap_or_else(|_| Accelerator::tcg());
                    let options = BootOptions { accelerator, ..BootOptions::default() };
                    let guests = Guests::warm(options, &store).unwrap();
                    play(&mut Guest::take(kernel, &guests, &|trouble| println!("{trouble}")).unwrap());
                });
            }
        });
    }
}

fn order(filter: Filter, suspend: bool, jit: JitChoice) -> Order {
    Order { filter, calls: Calls::default(), suspend, jit, limit: LIMIT }
}

fn agree(legs: &[Leg]) {
    assert!(legs.iter().all(Leg::agrees), "{}", text::render(legs));
    for leg in legs {
        println!("{}", text::leg_line(leg));
    }
}

fn rules(default: Action, rules: &[(u32, Action)]) -> Vec<Insn> {
    let rule = |&(nr, action): &(u32, Action)| [bpf::jeq(nr, 0, 1), bpf::ret(action)];
    let head = [bpf::ld(offset::NR)];
    head.into_iter().chain(rules.iter().flat_map(rule)).chain([bpf::ret(default)]).collect()
}

/// Rules of every kind over a default of ALLOW, the same for every ABI.
fn mixed() -> Filter {
    let x32 = |nr| nr | Abi::X32_BIT;
    rules(
        Action::Allow,
        &[
            (0, Action::Errno(0)),
            (1, Action::Errno(4095)),
            (15, Action::Trap(15)),
            (56, Action::KillProcess),
            (61, Action::KillThread),
            (110, Action::Log),
            (335, Action::Errno(2)),
            (336, Action::Trap(3)),
            (1023, Action::UserNotif),
            (x32(15), Action::Trap(0xffff)),
            (x32(512), Action::Trace(1)),
            (x32(1023), Action::KillThread),
            (0x3fff_ffff, Action::Trap(1)),
            (0x7fff_ffff, Action::KillProcess),
            (0x8000_0000, Action::Trap(2)),
            (u32::MAX, Action::Trap(4)),
        ],
    )
    .into()
}

/// An allow-list of 350 numbers for x86-64 as a person writes it, anything else is answered so.
fn long(default: Action) -> Filter {
    let allowed: Vec<(u32, Action)> = (0..350).map(|index| (index, Action::Allow)).collect();
    let mut filter = vec![bpf::ld(offset::ARCH), bpf::jeq(Abi::X86_64.audit_arch(), 1, 0), bpf::ret(default)];
    filter.extend(rules(default, &allowed));
    filter.into()
}

#[test]
fn kernel_and_model_agree_on_every_number() {
    on_every_kernel(|guest| {
        agree(&guest.sweep(&order(mixed(), true, JitChoice::Both)));
        agree(&guest.sweep(&order(mixed(), false, JitChoice::Both)));
        agree(&guest.sweep(&order(long(Action::KillProcess), true, JitChoice::Both)));
        // It lets clone and wait4 through, so that callers inherit it all the same.
        agree(&guest.sweep(&order(long(Action::KillProcess), false, JitChoice::On)));
        agree(&guest.sweep(&order(Example::Toy.filter().unwrap(), false, JitChoice::On)));
        agree(&guest.sweep(&order(Example::Runner.filter().unwrap(), true, JitChoice::On)));
    });
}

#[test]
fn one_answer_to_everything() {
    let answers = [
        Action::Allow,
        Action::Log,
        Action::Trace(1),
        Action::UserNotif,
        // What the sweep's own calls must not be led astray by: success, EINTR, ECHILD.
        Action::Errno(0),
        Action::Errno(4),
        Action::Errno(10),
        Action::Trap(9),
    ];
    on_every_kernel(|guest| {
        for action in answers {
            for suspend in [true, false] {
                agree(&guest.sweep(&order(vec![bpf::ret(action)].into(), suspend, JitChoice::On)));
            }
        }
        agree(&guest.sweep(&order(vec![bpf::ret(Action::KillThread)].into(), true, JitChoice::Off)));
    });
}

#[test]
fn a_filter_that_forgets_the_arch_shows_what_slips_through() {
    on_every_kernel(|guest| {
        let legs = guest.sweep(&order(Example::Forgetful.filter().unwrap(), true, JitChoice::On));
        agree(&legs);
        let map = &legs[0].outcome.as_ref().unwrap().map;
        assert_eq!(map.get(Abi::X86_64, 101), Some(Shown::Value(-1)), "ptrace");
        assert_eq!(map.get(Abi::I386, 26), Some(Shown::Through), "i386's ptrace");
        assert_eq!(map.get(Abi::X32, 521 | Abi::X32_BIT), Some(Shown::Through), "x32's ptrace");
        let unlike = map.unlike();
        assert!(unlike.iter().any(|group| group.names.contains(&"ptrace")), "{unlike:?}");
    });
}

#[test]
fn one_number_that_differs_is_noticed() {
    on_every_kernel(|guest| {
        let start = Instant::now();
        let mut twin = Twin::of(&mixed(), &Calls::default(), true, guest.traits()).unwrap();
        println!("a twin takes {:?}", start.elapsed());
        // The guest gets a filter in which the rule on i386's and x86-64's call 110 is on 111.
        let from = twin.sweep.filter.0.iter_mut().find(|insn| insn.k == 61).unwrap();
        from.k = 62;
        let seen = guest.hold_against(&twin, Jit::Fixed, LIMIT).unwrap();
        let mut wrong: Vec<(Abi, u64)> = seen.differences.iter().map(|d| (d.call.abi, d.call.nr)).collect();
        wrong.sort_unstable();
        let both = [(Abi::X86_64, 61), (Abi::X86_64, 62), (Abi::I386, 61), (Abi::I386, 62)];
        assert_eq!(wrong, both);
    });
}

#[test]
fn calls_may_be_chosen_with_arguments_of_their_own() {
    let by_argument = vec![
        bpf::ld(offset::arg_high(1)),
        bpf::jeq(7, 0, 2),
        bpf::ld(offset::arg_low(5)),
        bpf::jeq(9, 0, 1),
        bpf::ret(Action::Errno(77)),
        bpf::ret(Action::Allow),
    ];
    let call = |abi, nr, args| Call { abi, nr, args };
    let hit = [0, 7 << 32, 0, 0, 0, 9];
    let chosen = vec![
        call(Abi::X86_64, 39, hit),
        call(Abi::X86_64, 39, [0, 7 << 32, 0, 0, 0, 8]),
        call(Abi::X86_64, 39, [0, 7, 0, 0, 0, 9]),
        call(Abi::X32, u64::from(39 | Abi::X32_BIT), hit),
    ];
    on_every_kernel(|guest| {
        let mut order = order(by_argument.clone().into(), true, JitChoice::Both);
        order.calls = Calls::These(chosen.clone());
        let legs = guest.sweep(&order);
        agree(&legs);
        for leg in &legs {
            let map = &leg.outcome.as_ref().unwrap().map;
            assert_eq!(map.get(Abi::X32, 39 | Abi::X32_BIT), Some(Shown::Value(-77)));
        }
        let mut many = Twin::of(&mixed(), &Calls::These(chosen.clone()), true, guest.traits()).unwrap();
        many.sweep.calls = Calls::These(vec![chosen[0]; sweep::COUNT + 1]);
        let refused = guest.hold_against(&many, Jit::Fixed, LIMIT).err().unwrap();
        assert_eq!(refused, "4105 calls are more than 4104 in one sweep");
    });
}

#[test]
fn what_cannot_be_swept_is_said() {
    on_every_kernel(|guest| {
        let mut twin = Twin::of(&mixed(), &Calls::default(), true, guest.traits()).unwrap();
        // Falls off its end.
        twin.sweep.filter.0.pop();
        for suspend in [true, false] {
            twin.sweep.suspend = suspend;
            let refused = guest.hold_against(&twin, Jit::Fixed, LIMIT).err().unwrap();
            assert_eq!(refused, "the filter was refused: errno 22");
        }
        let kills = Twin::of(&long(Action::KillProcess), &Calls::default(), false, guest.traits()).unwrap();
        let late = guest.hold_against(&kills, Jit::Fixed, Duration::from_millis(30)).err().unwrap();
        assert!(late.starts_with("time was over at "), "{late}");
        // And the guest goes on.
        assert_eq!(sweep::COUNT, 4104);
        agree(&guest.sweep(&order(mixed(), true, JitChoice::On)));
    });
}
