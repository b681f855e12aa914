//! Guests that live.

use crate::support::{AMPLE, Test, assert_ends, boot, booted, fake, runs};
use atlas_vm::{Accel, Accelerator, Machine};
use atlas_wire::{Item, Outcome, Request, Response};
use std::path::PathBuf;

pub(crate) const TESTS: &[Test] = &[
    ("the_guest_binary_is_static_and_small", the_guest_binary_is_static_and_small),
    ("a_guest_answers_and_is_gone_when_dropped", a_guest_answers_and_is_gone_when_dropped),
    ("a_guest_without_a_window_answers_too", a_guest_without_a_window_answers_too),
    ("words_reach_the_command_line", words_reach_the_command_line),
    ("another_cpu_model_is_tried_and_named", another_cpu_model_is_tried_and_named),
    ("what_is_found_to_run_guests_runs_them", what_is_found_to_run_guests_runs_them),
];

fn the_guest_binary_is_static_and_small() {
    let binary = atlas_vm::guest_binary();
    assert!(binary.len() < 4 << 20, "{} bytes", binary.len());
    assert!(binary.starts_with(b"\x7fELF"));
    let number = |at: usize, length: usize| {
        binary[at..at + length].iter().rev().fold(0_usize, |number, byte| (number << 8) | usize::from(*byte))
    };
    // The program headers of a 64-bit ELF file: elf(5), e_phoff, e_phentsize and e_phnum.
    let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let kinds: Vec<usize> = (0..count).map(|index| number(headers + index * size, 4)).collect();
    // PT_DYNAMIC and PT_INTERP.
    assert!(!kinds.contains(&2) && !kinds.contains(&3), "program headers of types {kinds:?}");
}

/// A request whose payload is worth the window, and the number of its items.
fn bulky() -> (Request, usize) {
    let items = vec![Item::Choreography("no such choreography, for a length that adds up".into()); 200];
    let count = items.len();
    (Request::Run { jit: None, limit_ms: 1000, items }, count)
}

fn assert_answers(machine: &mut Machine) {
    let (request, count) = bulky();
    for _ in 0..3 {
        match machine.request(&request, AMPLE) {
            Ok(Response::Ran(outcomes)) => {
                assert_eq!(outcomes.len(), count);
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Impossible(_))));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn a_guest_answers_and_is_gone_when_dropped() {
    let mut machine = booted();
    assert!(machine.hello().release.starts_with(|c: char| c.is_ascii_digit()), "{:?}", machine.hello());
    assert_answers(&mut machine);
    let pid = machine.qemu_pid();
    assert!(runs(pid));
    drop(machine);
    assert_ends(pid);
}

fn a_guest_without_a_window_answers_too() {
    let mut machine = boot(|options| options.window = false).unwrap_or_else(|error| panic!("{error}"));
    assert!(!machine.hello().window);
    assert_answers(&mut machine);
}

fn words_reach_the_command_line() {
    // A kernel that is told to say everything says what its command line is.
    let words = vec!["ignore_loglevel".into(), "atlas.test=words".into()];
    let machine = boot(|options| options.append = words).unwrap_or_else(|error| panic!("{error}"));
    assert!(machine.console().contains("atlas.test=words"), "{}", machine.console());
}

fn another_cpu_model_is_tried_and_named() {
    let machine = boot(|options| {
        fake("panicking")(options);
        options.cpus.extend(["resetting", "max"].map(String::from));
    });
    let machine = machine.unwrap_or_else(|error| panic!("{error}"));
    let cpu = machine.cpu();
    assert!(cpu.starts_with("max (on panicking: ") && cpu.contains("No working init found"), "{cpu}");
}

fn what_is_found_to_run_guests_runs_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let memory: PathBuf = directory.path().join("accelerator");
    let image = crate::support::image();
    let found =
        Accelerator::find(Accel::Auto, &image, Some(&memory)).unwrap_or_else(|error| panic!("{error}"));
    assert!(!found.why().is_empty());
    // Asked again, the answer is the same, and nothing is booted for it.
    let again = Accelerator::find(Accel::Auto, &PathBuf::from("/no/such/image"), Some(&memory));
    assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), found);
    let machine = boot(|options| options.accelerator = found.clone());
    assert!(machine.is_ok(), "{} was found to work: {}", found.name(), found.why());
}
