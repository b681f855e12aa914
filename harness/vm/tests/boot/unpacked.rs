//! Kernels that are unpacked by the host, and images that unpack themselves: which way was taken shows in the version
//! of the boot protocol.

use crate::program::{guest, put_program, text};
use crate::support::{AMPLE, Test, kernels};
use atlas_vm::kernels::Kernel;
use atlas_vm::templates::{Origin, ROOM, Templates};
use atlas_vm::{BootOptions, Machine};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    ("kernels_are_entered_as_they_are", kernels_are_entered_as_they_are),
    ("where_they_are_not_taken_their_image_is", where_they_are_not_taken_their_image_is),
];

/// What the kernel is told that is entered as PVH guests are (arch/x86/platform/pvh/enlighten.c, `init_pvh_bootparams`);
/// an image says of itself which version it has, 2.15 by now.
const UNPACKED: &str = "0x020c";

fn protocol(machine: &mut Machine) -> Option<String> {
    text(machine, "/sys/kernel/boot_params/version")
}

/// A clone that comes from a template which is made for it.
fn clone(kernel: &Kernel, change: fn(&mut BootOptions)) -> Machine {
    let directory = tempfile::tempdir().expect("a directory");
    let templates = Templates::at(directory.path(), ROOM).unwrap_or_else(|error| panic!("{error}"));
    let mut options = BootOptions { limit: AMPLE, ..BootOptions::default() };
    change(&mut options);
    let guest = templates.guest(kernel, &options, &mut |line| panic!("{line}"));
    let (mut machine, origin) = guest.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(origin, Origin::NewTemplate);
    put_program(&mut machine);
    machine
}

fn kernels_are_entered_as_they_are() {
    for kernel in kernels() {
        println!("on {}", kernel.name);
        for counted in [false, true] {
            let Some(was) = protocol(&mut guest(&kernel, |options| options.icount = counted)) else {
                continue;
            };
            // A kernel that is asked for by name may have to come from its image.
            let named = std::env::var("ATLAS_TEST_KERNEL").is_ok();
            assert!(was == UNPACKED || named, "{was}, counted: {counted}");
        }
        let told = protocol(&mut clone(&kernel, |_| {}));
        assert_eq!(told, protocol(&mut guest(&kernel, |_| {})));
    }
}

/// By a QEMU that takes images alone, and one in which anything else hangs.
fn where_they_are_not_taken_their_image_is() {
    fn choosy(options: &mut BootOptions) {
        options.qemu = std::env::current_exe().expect("this program has a path");
        options.cpus = vec!["choosy".into()];
    }
    fn sleepy(options: &mut BootOptions) {
        choosy(options);
        options.cpus = vec!["sleepy".into()];
        // A part of it passes in vain.
        options.limit = Duration::from_secs(20);
    }
    for kernel in kernels() {
        println!("on {}", kernel.name);
        for (mut machine, says) in [
            (guest(&kernel, choosy), "choosy (unpacked: QEMU ended"),
            (clone(&kernel, choosy), "choosy (unpacked: QEMU ended"),
            (guest(&kernel, sleepy), "sleepy (unpacked: no answer within 5s)"),
        ] {
            let named = std::env::var("ATLAS_TEST_KERNEL").is_ok();
            assert!(machine.cpu().starts_with(says) || named, "{}", machine.cpu());
            let protocol = protocol(&mut machine);
            assert!(named || protocol.is_some_and(|protocol| protocol != UNPACKED));
        }
    }
}
