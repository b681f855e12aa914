//! Guests that are lost.

use crate::support::{AMPLE, Test, assert_ends, boot, booted, fake, lost_in_boot, signal};
use atlas_vm::{Error, Reason};
use atlas_wire::Request;
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[Test] = &[
    ("a_kernel_that_panics_is_noticed", a_kernel_that_panics_is_noticed),
    ("a_panic_ends_the_boot_within_a_second", a_panic_ends_the_boot_within_a_second),
    ("a_stall_ends_the_boot_within_a_second", a_stall_ends_the_boot_within_a_second),
    ("a_killed_qemu_is_named", a_killed_qemu_is_named),
    ("a_guest_that_hangs_is_given_up", a_guest_that_hangs_is_given_up),
    ("a_boot_that_hangs_is_given_up_and_not_repeated", a_boot_that_hangs_is_given_up_and_not_repeated),
    ("what_qemu_complains_of_is_told", what_qemu_complains_of_is_told),
    ("endless_complaints_are_bounded", endless_complaints_are_bounded),
    ("what_qemu_complains_of_while_it_goes_on_is_told", what_qemu_complains_of_while_it_goes_on_is_told),
    ("a_guest_that_resets_on_every_model_is_named", a_guest_that_resets_on_every_model_is_named),
    ("a_flooded_console_is_an_end", a_flooded_console_is_an_end),
    ("a_flooded_frame_line_is_an_end", a_flooded_frame_line_is_an_end),
    ("another_protocol_is_named", another_protocol_is_named),
    ("a_guest_that_does_not_say_who_it_is_is_lost", a_guest_that_does_not_say_who_it_is_is_lost),
    ("a_missing_qemu_is_named_with_its_package", a_missing_qemu_is_named_with_its_package),
];

fn a_kernel_that_panics_is_noticed() {
    let lost = lost_in_boot(|options| {
        options.append = vec!["rdinit=/no/such/init".into()];
        options.cpus.truncate(1);
    });
    assert!(matches!(lost.reason, Reason::Panic(_)), "{lost}");
    // The lines behind the first one are there too.
    assert!(lost.console.contains("Call Trace"), "{lost}");
}

/// The fake says its line and then nothing for ever, so only that line can end the boot.
fn assert_ends_in_a_second(role: &'static str, is_it: fn(&Reason) -> bool) {
    let started = Instant::now();
    let lost = lost_in_boot(fake(role));
    assert!(is_it(&lost.reason), "{lost}");
    // A second, and what a busy machine needs to start a process.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

fn a_panic_ends_the_boot_within_a_second() {
    assert_ends_in_a_second("panicking", |reason| matches!(reason, Reason::Panic(_)));
}

fn a_stall_ends_the_boot_within_a_second() {
    assert_ends_in_a_second("stalling", |reason| matches!(reason, Reason::Stalled(_)));
}

fn a_killed_qemu_is_named() {
    let mut machine = booted();
    signal(machine.qemu_pid(), Signal::SIGKILL);
    let lost = machine.request(&Request::Hello, AMPLE).expect_err("nobody can answer");
    assert!(matches!(&lost.reason, Reason::QemuExited(how) if how.contains("signal: 9")), "{lost}");
    // Lost for good.
    assert_eq!(machine.request(&Request::Hello, AMPLE), Err(lost));
}

fn a_guest_that_hangs_is_given_up() {
    let mut machine = booted();
    let pid = machine.qemu_pid();
    signal(pid, Signal::SIGSTOP);
    let limit = Duration::from_millis(300);
    let lost = machine.request(&Request::Hello, limit).expect_err("nobody can answer");
    assert_eq!(lost.reason, Reason::Timeout(limit));
    assert_ends(pid);
}

fn a_boot_that_hangs_is_given_up_and_not_repeated() {
    let error = boot(|options| {
        fake("silent")(options);
        options.cpus.push("panicking".into());
        options.limit = Duration::from_millis(500);
    });
    let Err(error) = error else { panic!("it booted") };
    let text = error.to_string();
    let tried = "did not boot on CPU model silent (unpacked: no answer within 125ms): no answer within 500ms";
    assert!(text.contains(tried), "{text}");
}

fn what_qemu_complains_of_is_told() {
    let lost = lost_in_boot(fake("complaining"));
    let Reason::QemuExited(how) = &lost.reason else { panic!("{lost}") };
    assert_eq!(how, "exit status: 1, saying: qemu: could not load kernel\\x1b[2J");
}

fn endless_complaints_are_bounded() {
    let lost = lost_in_boot(|options| {
        fake("complaining-for-ever")(options);
        options.limit = Duration::from_millis(500);
    });
    assert!(lost.reason.is_timeout(), "{lost}");
}

fn what_qemu_complains_of_while_it_goes_on_is_told() {
    let limit = Duration::from_millis(500);
    let lost = lost_in_boot(|options| {
        fake("complaining-and-staying")(options);
        options.limit = limit;
    });
    let said = "error: kvm run failed Invalid argument".to_owned();
    assert_eq!(lost.reason, Reason::Stuck { limit, said });
}

fn a_guest_that_resets_on_every_model_is_named() {
    let error = boot(|options| {
        fake("resetting")(options);
        options.cpus.push("panicking".into());
    });
    let Err(error) = error else { panic!("it booted") };
    let text = error.to_string();
    let (reset, tried) = ("the guest reset or switched itself off", "did not boot on CPU model resetting");
    assert!(text.contains(&format!("{tried} (unpacked: {reset}), then panicking: {reset}")), "{text}");
}

fn a_flooded_console_is_an_end() {
    let lost = lost_in_boot(fake("flooding"));
    assert!(matches!(&lost.reason, Reason::Flooded(what) if what.contains("console")), "{lost}");
}

fn a_flooded_frame_line_is_an_end() {
    let lost = lost_in_boot(fake("noisy"));
    assert!(matches!(&lost.reason, Reason::Flooded(what) if what.contains("frame line")), "{lost}");
}

fn another_protocol_is_named() {
    let lost = lost_in_boot(fake("old"));
    assert!(matches!(&lost.reason, Reason::Protocol(what) if what.contains("version 0")), "{lost}");
}

fn a_guest_that_does_not_say_who_it_is_is_lost() {
    let lost = lost_in_boot(fake("refusing"));
    assert!(matches!(&lost.reason, Reason::Protocol(what) if what.contains("not today")), "{lost}");
}

fn a_missing_qemu_is_named_with_its_package() {
    let missing = PathBuf::from("/no/such/qemu-system-x86_64");
    let Err(error) = boot(|options| options.qemu = missing) else { panic!("it booted") };
    assert!(matches!(error, Error::QemuMissing { .. }));
    let text = error.to_string();
    assert!(
        text.contains("/no/such/qemu-system-x86_64 is not installed") && text.contains("qemu-system-x86"),
        "{text}"
    );
}
