//! Kernels that are unpacked by the host, and images that unpack themselves: which way was taken shows in the version
//! of the boot protocol.

use crate::clones::templates;
use crate::program::{guest, put_program, text};
use crate::support::{Test, fake, is_named, kernels, options};
use atlas_vm::kernels::Kernel;
use atlas_vm::templates::{Origin, ROOM};
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
fn clone(kernel: &Kernel, change: impl FnOnce(&mut BootOptions)) -> Machine {
    let (_directory, templates) = templates(ROOM);
    let mut options = options();
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
            assert!(was == UNPACKED || is_named(), "{was}, counted: {counted}");
        }
        let told = protocol(&mut clone(&kernel, |_| {}));
        assert_eq!(told, protocol(&mut guest(&kernel, |_| {})));
    }
}

/// By a QEMU that takes images alone, and one in which anything else hangs.
fn where_they_are_not_taken_their_image_is() {
    let choosy = || fake("choosy");
    let sleepy = |options: &mut BootOptions| {
        fake("sleepy")(options);
        // A part of it passes in vain.
        options.limit = Duration::from_secs(20);
    };
    for kernel in kernels() {
        println!("on {}", kernel.name);
        for (mut machine, says) in [
            (guest(&kernel, choosy()), "choosy (unpacked: QEMU ended"),
            (clone(&kernel, choosy()), "choosy (unpacked: QEMU ended"),
            (guest(&kernel, sleepy), "sleepy (unpacked: no answer within 5s)"),
        ] {
            assert!(machine.cpu().starts_with(says) || is_named(), "{}", machine.cpu());
            let protocol = protocol(&mut machine);
            assert!(is_named() || protocol.is_some_and(|protocol| protocol != UNPACKED));
        }
    }
}
