//! Uprobes and uretprobes: what the kernel's own trampolines call, filters must not stop.

use crate::case::{Want, is, staged};
use crate::{Case, Fact, waiting};
use atlas_edge::stage::end_code;
use atlas_edge::{Stage, segments, sys};
use atlas_model::experiment::layout;
use atlas_model::traits::{Feature, Quirk, Traits};
use atlas_model::{Action, bpf};
use std::ffi::CStr;
use std::sync::atomic::Ordering::SeqCst;

const NEEDS: &[Feature] = &[Feature::ModeFilter, Feature::UprobeEvents];
const EXIT_GROUP: u32 = 231;
const URETPROBE: u32 = 335;
const UPROBE: u32 = 336;
const ALLOW: Action = Action::Allow;
const KILL: Action = Action::KillThread;

/// What is probed.
#[derive(Clone, Copy, PartialEq)]
enum Probe {
    Entry,
    Return,
}

impl Probe {
    fn address(self) -> u64 {
        match self {
            Self::Entry => atlas_cases_probed_entry as *const () as u64,
            Self::Return => atlas_cases_probed_return as *const () as u64,
        }
    }
}

/// How a task ends whose code is not its file's.
const NOT_MAPPED: i32 = 99;
/// Our own image.
const IMAGE: &CStr = c"/proc/self/exe";

pub(crate) const CASES: &[Case] = &[
    staged(
        "uprobe::allowed",
        "A probed function runs under a filter that allows everything.",
        NEEDS,
        |stage| all(stage, || vec![bpf::ret(ALLOW)]),
        |_: &Traits| facts(false, false),
    ),
    staged(
        "uprobe::everything_denied",
        "It runs under a filter that allows exit_group and nothing else, unless a release makes calls for probes and exempts them not.",
        NEEDS,
        |stage| all(stage, || vec![bpf::ld(0), bpf::jeq(EXIT_GROUP, 0, 1), bpf::ret(ALLOW), bpf::ret(KILL)]),
        caught,
    ),
    staged(
        "uprobe::calls_denied_by_number",
        "And under a filter that denies the probes' calls, 335 and 336, by number.",
        NEEDS,
        |stage| {
            all(stage, || {
                let denied =
                    [bpf::jeq(URETPROBE, 1, 0), bpf::jeq(UPROBE, 0, 1), bpf::ret(KILL), bpf::ret(ALLOW)];
                [&[bpf::ld(0)][..], &denied].concat()
            });
        },
        caught,
    ),
    staged(
        "uprobe::calls_allowed_by_number",
        "A filter that allows the probes' calls by number needs no exemption.",
        NEEDS,
        |stage| {
            all(stage, || {
                let allowed = [URETPROBE, UPROBE, EXIT_GROUP];
                let mut filter = vec![bpf::ld(0)];
                filter.extend(
                    allowed.iter().rev().enumerate().rev().map(|(at, &nr)| bpf::jeq(nr, at as u8 + 1, 0)),
                );
                filter.extend([bpf::ret(KILL), bpf::ret(ALLOW)]);
                filter
            });
        },
        |_: &Traits| facts(false, false),
    ),
];

fn facts(entry_caught: bool, return_caught: bool) -> Vec<Fact> {
    let end = |caught| if caught { 1031 } else { 0 };
    let hits = |caught| if caught { Want::AtLeast(0) } else { Want::Is(2) };
    vec![
        is("not probed", 0),
        is("entry probed", end(entry_caught)),
        is("return probed", end(return_caught)),
        // A caught probe ends the task at its first hit.
        Fact { name: "hits of the entry".into(), want: hits(entry_caught) },
        Fact { name: "hits of the return".into(), want: hits(return_caught) },
    ]
}

/// Where probes make calls, filters catch them unless they are exempt.
fn caught(traits: &Traits) -> Vec<Fact> {
    facts(
        traits.has(Feature::Uprobe) && !traits.shows(Quirk::UprobeExempt),
        traits.has(Feature::Uretprobe) && !traits.shows(Quirk::UretprobeExempt),
    )
}

core::arch::global_asm!(
    // A five-byte nop at the entry is what newer kernels replace by a call of their own
    // (arch/x86/kernel/uprobes.c can_optimize). Both are on one page.
    ".globl atlas_cases_probed_entry",
    ".balign 128",
    "atlas_cases_probed_entry:",
    ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
    "ret",
    ".globl atlas_cases_probed_return",
    ".balign 64",
    "atlas_cases_probed_return:",
    "mov eax, 1",
    "ret",
);

unsafe extern "C" {
    fn atlas_cases_probed_entry();
    fn atlas_cases_probed_return() -> i32;
}

/// Calls what is probed: twice, because a probe is made fast at its first hit.
fn hit() {
    // SAFETY: two functions that touch no memory.
    unsafe {
        atlas_cases_probed_entry();
        atlas_cases_probed_entry();
        atlas_cases_probed_return();
        atlas_cases_probed_return();
    }
}

fn all(stage: &Stage, filter: fn() -> Vec<atlas_model::Insn>) {
    let mut hits = Vec::new();
    for (name, probe) in
        [("not probed", None), ("entry probed", Some(Probe::Entry)), ("return probed", Some(Probe::Return))]
    {
        // 1: its page is mapped, or cannot be; 2: it may go on.
        let step = waiting::shared_number();
        let pid = stage.start(|_| {
            let mapped = map_from_file();
            step.store(1, SeqCst);
            if !mapped {
                sys::exit(NOT_MAPPED)
            }
            waiting::until(|| step.load(SeqCst) == 2);
            crate::attached::attach(filter());
            hit();
        });
        waiting::until(|| step.load(SeqCst) == 1);
        let attached = probe.map(|probe| attach(probe, pid));
        step.store(2, SeqCst);
        let end = sys::end_of(sys::wait_for(pid, libc::__WALL) as i32);
        stage.fact(name, end_code(end));
        if let Some(fd) = attached {
            hits.push(counted(fd));
            sys::close(fd as i32);
        }
    }
    stage.fact("hits of the entry", hits[0]);
    stage.fact("hits of the return", hits[1]);
}

/// How often a probe was hit; the count outlives the task.
fn counted(fd: i64) -> i64 {
    let mut count = 0_i64;
    // SAFETY: room for the count, which lives until the call returns.
    let read = unsafe { sys::raw(libc::SYS_read, [fd as u64, (&raw mut count) as u64, 8, 0, 0, 0]) };
    if read == 8 { count } else { read }
}

/// Probes our binary in a task. The descriptor, or the errno negated.
fn attach(probe: Probe, pid: i32) -> i64 {
    const DEVICE: &str = "/sys/bus/event_source/devices/uprobe";
    let read = |name: &str| sys::read_file(&format!("{DEVICE}/{name}")).unwrap_or_default();
    let Ok(kind) = read("type").trim().parse::<u32>() else { return -1 };
    let bit: u32 = read("format/retprobe").trim().trim_start_matches("config:").parse().unwrap_or(0);
    let Some(offset) = offset_in_file(probe.address()) else { return -1 };
    // struct perf_event_attr, PERF_ATTR_SIZE_VER1: type, size, config, and at bytes 56 and 64 the
    // path and the offset.
    let mut attributes = [0_u64; 9];
    attributes[0] = u64::from(kind) | (size_of_val(&attributes) as u64) << 32;
    attributes[1] = u64::from(probe == Probe::Return) << bit;
    attributes[7] = IMAGE.as_ptr() as u64;
    attributes[8] = offset;
    let pointer = attributes.as_ptr() as u64;
    // Of one task, on any processor, in no group.
    // SAFETY: the structure lives until the call returns, and the size is the true one.
    unsafe { sys::raw(libc::SYS_perf_event_open, [pointer, pid as u64, u64::MAX, u64::MAX, 0, 0]) }
}

/// Where in its file an address of ours stands.
fn offset_in_file(address: u64) -> Option<u64> {
    let segment = segments().into_iter().find(|segment| segment.place.contains(&address))?;
    Some(address - segment.place.start + segment.offset)
}

/// Has what is probed lie in its file again: of a guest's code the kernel does not know otherwise that it is the file's.
/// Says whether it does.
fn map_from_file() -> bool {
    let page = |address: u64| address / layout::PAGE * layout::PAGE;
    let address = Probe::Entry.address();
    let (Some(offset), Ok(file)) = (offset_in_file(address), sys::ok(sys::open(IMAGE, libc::O_RDONLY)))
    else {
        return false;
    };
    let (protection, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_FIXED);
    // The bytes are the same before and after, and both functions are on the page.
    let mapped = sys::mmap(page(address), layout::PAGE, protection, flags, file as i32, page(offset));
    sys::close(file as i32);
    mapped == page(address) as i64 && page(address) == page(Probe::Return.address())
}

/// The probe of the feature: both kinds can be made.
pub(crate) fn observe_made(stage: &Stage) {
    let mapped = map_from_file();
    for (name, probe) in [("entry", Probe::Entry), ("return", Probe::Return)] {
        stage.fact(name, if mapped { attach(probe, 0).min(0) } else { -1 });
    }
}
