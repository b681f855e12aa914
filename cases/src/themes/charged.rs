//! What a filter costs its task beside time: memory, and mitigations of speculation.

use crate::Case;
use crate::case::{is, staged};
use crate::cgroup::Group;
use atlas_edge::{Stage, sys};
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Action, Filter, bpf};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

/// `PR_GET_SPECULATION_CTRL`, and two of the features that it tells of (PR_GET_SPECULATION_CTRL(2const)).
const GET: i32 = 52;
const FEATURES: [(&str, u64); 2] = [("store bypass", 0), ("indirect branch", 1)];
/// `PR_SPEC_PRCTL | PR_SPEC_ENABLE`: vulnerable, and left so until asked.
const OPEN: i64 = 3;
/// `PR_SPEC_PRCTL | PR_SPEC_FORCE_DISABLE`.
const FORCED: i64 = 9;

pub(crate) const CASES: &[Case] = &[
    staged(
        "limits::memory_charged",
        "The memory of filters is charged to the control group of who attaches them since 5.11; before, to nobody.",
        &[Feature::ModeFilter, Feature::MemoryControl],
        observe_charged,
        |traits: &Traits| {
            let charged = traits.has(Feature::FilterMemoryCharged);
            vec![is("half of what they take, at least", charged.into())]
        },
    ),
    staged(
        "attach::speculation_left_alone",
        "With FILTER_FLAG_SPEC_ALLOW the controls of speculation are afterwards what they were before.",
        &[Feature::SpecAllow],
        |stage| speculation(stage, 4),
        |_: &Traits| vec![is("store bypass", 0), is("indirect branch", 0)],
    ),
    staged(
        "attach::speculation_mitigated",
        "Without that flag a filter forced mitigations where the processor needs them, from 4.17 to 5.15.",
        &[Feature::SpecAllow],
        |stage| speculation(stage, 0),
        |traits: &Traits| {
            let changed = || traits.shows(Quirk::FilterMitigates).into();
            vec![is("store bypass", changed()), is("indirect branch", 0)]
        },
    ),
];

/// Whether attaching changed a control: 0 for no, 1 for forced, else what it became plus 100.
fn speculation(stage: &Stage, flags: u32) {
    let ask = || FEATURES.map(|(_, which)| sys::prctl(GET, [which, 0, 0, 0]));
    let before = ask();
    let _ = stage.child(|stage| {
        let _ = sys::no_new_privs();
        let _ = sys::install(&Filter(vec![bpf::ret(Action::Allow)]), flags);
        let now = ask();
        for (at, (name, _)) in FEATURES.iter().enumerate() {
            let changed = match (before[at], now[at]) {
                (before, now) if before == now => 0,
                (OPEN, FORCED) => 1,
                (_, now) => 100 + now,
            };
            stage.fact(name, changed);
        }
    });
}

/// The probe of forced mitigations, which a processor without the fault cannot tell.
pub(crate) fn observe_mitigated(stage: &Stage) {
    stage.fact("before", sys::prctl(GET, [0; 4]));
    speculation(stage, 0);
}

/// How many children attach filters at once, and how many each: what is charged is charged in steps of up
/// to 64 pages a processor (include/linux/memcontrol.h MEMCG_CHARGE_BATCH), and guests have one. Half of their sum
/// of 768 KiB is above that, and so is what is left of it less a step.
const CHILDREN: i64 = 4;
const EACH: i64 = 6;

/// A filter of a length that is soon compiled: no instruction of it but the last is a jump, as returns are.
fn straight(length: usize) -> Filter {
    let mut filter = vec![bpf::imm(0); length];
    filter[length - 1] = bpf::ret(Action::Allow);
    Filter(filter)
}

/// The bytes charged while children hold filters of a length.
fn held(stage: &Stage, length: usize) -> Option<i64> {
    let group = Group::make("+memory")?;
    let attached: &AtomicI64 = crate::waiting::shared_number();
    let pids: Vec<i32> = (0..CHILDREN)
        .map(|_| {
            stage.start(|_| {
                group.join();
                let _ = sys::no_new_privs();
                for _ in 0..EACH {
                    // What the process itself needs for the longest is charged to it in either case.
                    std::hint::black_box(straight(bpf::MAX_INSNS).to_bytes());
                    if sys::install_by_prctl(&straight(length)) == 0 {
                        attached.fetch_add(1, SeqCst);
                    }
                }
                loop {
                    let _ = sys::number(libc::SYS_pause, [0; 6]);
                }
            })
        })
        .collect();
    let all = crate::waiting::until(|| attached.load(SeqCst) == CHILDREN * EACH);
    let bytes = group.number("memory.current");
    for pid in pids {
        sys::kill(pid, libc::SIGKILL);
        let _ = sys::wait_for(pid, libc::__WALL);
    }
    (all && bytes >= 0).then_some(bytes)
}

/// Shared with the probes of control groups and of the charge. A filter of 4096 instructions that do not return takes as
/// many of 8 bytes each when converted.
pub(crate) fn observe_charged(stage: &Stage) {
    let (Some(short), Some(long)) = (held(stage, 1), held(stage, bpf::MAX_INSNS)) else { return };
    let each = (long - short) / (CHILDREN * EACH);
    stage.fact("half of what they take, at least", (each >= bpf::MAX_INSNS as i64 * 4).into());
}
