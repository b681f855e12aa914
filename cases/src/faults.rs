//! Cases that take the guest down on purpose, to show that the harness notices. They are not part
//! of the catalogue; `atlas run --faults` adds them.

use crate::case::staged;
use crate::{Case, Fact, Want, waiting};
use atlas_edge::{Stage, sys};
use atlas_model::traits::Traits;
use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Every fault.
pub const CASES: &[Case] = &[
    staged("fault::panic", "The kernel panics in the middle of a case.", &[], panic, nothing),
    staged("fault::hang", "A real-time task takes the processor for itself.", &[], hang, nothing),
    staged("fault::slow", "A case that never ends, in a guest that lives.", &[], slow, nothing),
    staged("fault::killed_child", "The choreography's process is killed.", &[], die, nothing),
    staged("fault::flood_console", "The console is flooded.", &[], |_| flood("/dev/console"), nothing),
    staged("fault::flood_frames", "The frame line is flooded.", &[], |_| flood("/dev/ttyS1"), nothing),
    staged(
        "fault::forged_frame",
        "An answer to another request is forged.",
        &[],
        |_| forge(&FORGED),
        nothing,
    ),
    staged(
        "fault::bell",
        "It rings for an answer, and in the window lies the one before.",
        &[],
        |_| forge(&RUNG),
        nothing,
    ),
    staged(
        "fault::wrong_fact",
        "A fact is not what it must be.",
        &[],
        |stage| stage.fact("value", 2),
        |_: &Traits| vec![crate::case::is("value", 1)],
    ),
    staged(
        "fault::second_answer",
        "Asked again in the same guest, it gives another answer, which is as good.",
        &[],
        |stage| stage.fact("value", asked_before("/.second_answer").min(1)),
        |_: &Traits| vec![Fact { name: "value".into(), want: Want::OneOf(&[0, 1]) }],
    ),
    staged(
        "fault::third_wrong",
        "Asked for the third time in the same guest, it gives a wrong answer.",
        &[],
        |stage| stage.fact("value", (asked_before("/.third_wrong") == 2).into()),
        |_: &Traits| vec![crate::case::is("value", 0)],
    ),
    staged(
        "fault::alone",
        "It has a guest of its own, and so each time is the first.",
        &[],
        |stage| stage.fact("asked before", asked_before("/.alone")),
        |_: &Traits| vec![crate::case::is("asked before", 0)],
    )
    .alone(),
    staged(
        "fault::orphans",
        "It leaves processes behind; asked again in the same guest, it finds none of them.",
        &[],
        leave,
        |_: &Traits| vec![crate::case::is("others", 0)],
    ),
    staged(
        "fault::own",
        "What a guest has that no other may have: it gives other facts every time, and so deviates.",
        &[],
        |stage| {
            let mut random = [0; 8];
            let read =
                std::fs::File::open("/dev/urandom").and_then(|mut device| device.read_exact(&mut random));
            stage.fact("random", if read.is_ok() { i64::from_le_bytes(random) } else { 0 });
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            stage.fact("wall clock", now.as_nanos() as i64);
        },
        nothing,
    ),
];

/// How often this guest was asked before: a file grows by one byte each time.
fn asked_before(path: &str) -> i64 {
    let mut bytes = std::fs::read(path).unwrap_or_default();
    let before = bytes.len() as i64;
    bytes.push(0);
    // Where the file cannot be written the answers stay the same, and the test says so.
    let _ = std::fs::write(path, bytes);
    before
}

fn nothing(_: &Traits) -> Vec<Fact> {
    Vec::new()
}

fn panic(_: &Stage) {
    let _ = std::fs::write("/proc/sysrq-trigger", "c");
    // Where there is no sysrq: PID 1 has no handler for a signal that a fault forces on it.
    sys::kill(1, libc::SIGSEGV);
}

fn hang(_: &Stage) {
    let _ = std::fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1");
    let parameter = libc::sched_param { sched_priority: 99 };
    // SAFETY: the parameter lives until the call returns.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter);
    }
    loop {
        std::hint::spin_loop();
    }
}

fn slow(_: &Stage) {
    loop {
        std::thread::park();
    }
}

fn die(stage: &Stage) {
    stage.fact("before", 1);
    sys::kill(std::process::id() as i32, libc::SIGKILL);
}

/// Counts the processes beside itself, dead ones that nobody has reaped among them, and leaves three: a child, an
/// orphan, and one in a session of its own. They spin, as tasks behind a filter do.
fn leave(stage: &Stage) {
    let spin = |_: &Stage| loop {
        std::hint::spin_loop();
    };
    // Nobody, or the kernel's thread that makes the others, is the parent of what is none of ours; of PID 1 nobody.
    let is_ours = |&pid: &i32| waiting::parent(pid).is_some_and(|parent| !matches!(parent, 0 | 2));
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    stage.fact("others", pids.filter(is_ours).count() as i64 - 1);
    let _ = stage.start(spin);
    let _ = stage.child(|stage| {
        let _ = stage.start(spin);
    });
    let _ = stage.start(|stage| {
        let _ = sys::number(libc::SYS_setsid, [0; 6]);
        spin(stage);
    });
}

fn flood(path: &str) {
    if let Ok(mut line) = std::fs::OpenOptions::new().write(true).open(path) {
        let noise = [b'#'; 4096];
        while std::io::Write::write_all(&mut line, &noise).is_ok() {}
    }
}

fn forge(bytes: &[u8]) {
    if let Ok(mut line) = std::fs::OpenOptions::new().write(true).open("/dev/ttyS1") {
        let _ = std::io::Write::write_all(&mut line, bytes);
    }
}

/// What says that an answer lies in the window. A test holds it against the real one.
pub const RUNG: [u8; 1] = [0x07];

/// An answer to request 0xdeadbeef that claims what the case must show, namely nothing: only its id
/// is wrong. A test holds it against the real encoder.
pub const FORGED: [u8; 28] = [
    0x16, 0x41, 0x54, 0x4c, 0x02, 0x00, 0x00, 0x00, 0xef, 0xbe, 0xad, 0xde, 0x04, 0x00, 0x00, 0x00, 0x0f,
    0xe3, 0x21, 0x81, 0x63, 0x16, 0x90, 0xf7, 0x01, 0x01, 0x01, 0x00,
];
