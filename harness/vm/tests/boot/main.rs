//! Guests booted, watched, lost and gone: with real kernels, and with processes that play QEMU.
//!
//! The kernel is the one that `ATLAS_TEST_KERNEL` names (a series, a release or the path of an
//! image), else the newest of the default group in the store.

mod clones;
mod fake;
mod faults;
mod images;
mod lives;
mod orphans;
mod program;
mod settings;
mod support;
mod tasks;
mod unpacked;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    // As QEMU, by the command line; as a parent, by the environment.
    if let Some(role) = fake::role() {
        return fake::play(&role);
    }
    if let Some(role) = orphans::role() {
        return orphans::play(&role);
    }
    let mut trials = Vec::new();
    for (theme, tests) in [
        ("clones", clones::TESTS),
        ("lives", lives::TESTS),
        ("faults", faults::TESTS),
        ("images", images::TESTS),
        ("orphans", orphans::TESTS),
        ("program", program::TESTS),
        ("settings", settings::TESTS),
        ("tasks", tasks::TESTS),
        ("unpacked", unpacked::TESTS),
    ] {
        for (name, test) in tests {
            trials.push(Trial::test(format!("{theme}::{name}"), move || {
                test();
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
