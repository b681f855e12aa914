//! What the tests share.

use atlas_vm::kernels::{Kernel, Store};
use atlas_vm::{BootOptions, Error, Lost, Machine};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A test: its name and what it does. It fails by panicking.
pub(crate) type Test = (&'static str, fn());

/// Long enough on a busy machine; what needs it all fails.
pub(crate) const AMPLE: Duration = Duration::from_secs(120);

/// The kernel that is booted.
pub(crate) fn kernel() -> Kernel {
    let store = Store::open().expect("there is a store");
    let found = match std::env::var("ATLAS_TEST_KERNEL") {
        Ok(named) => store.resolve(&named).map(Some),
        Err(_) => store.default_kernels().map(|mut kernels| kernels.pop()),
    };
    match found {
        Ok(Some(kernel)) => kernel,
        Ok(None) => panic!("no kernel to boot: run `atlas kernels fetch`, or set ATLAS_TEST_KERNEL"),
        Err(error) => panic!("{error}"),
    }
}

/// Its image.
pub(crate) fn image() -> PathBuf {
    kernel().path
}

/// Options of a boot that may take long.
pub(crate) fn options() -> BootOptions {
    BootOptions { limit: AMPLE, ..BootOptions::default() }
}

/// Options that put a fake in QEMU's place.
pub(crate) fn fake(role: &'static str) -> impl FnOnce(&mut BootOptions) {
    move |options| {
        options.qemu = std::env::current_exe().expect("this program has a path");
        options.cpus = vec![role.into()];
    }
}

/// Whether the kernel is one that was asked for by name, which need not have what the default ones have.
pub(crate) fn is_named() -> bool {
    std::env::var("ATLAS_TEST_KERNEL").is_ok()
}

/// Boots with options that a test cares for.
pub(crate) fn boot(change: impl FnOnce(&mut BootOptions)) -> Result<Machine, Error> {
    boot_image(&image(), change)
}

/// Boots this image, with options that a test cares for.
pub(crate) fn boot_image(image: &Path, change: impl FnOnce(&mut BootOptions)) -> Result<Machine, Error> {
    let mut options = options();
    change(&mut options);
    Machine::boot(image, &options)
}

/// A boot that must succeed.
pub(crate) fn booted() -> Machine {
    boot(|_| {}).unwrap_or_else(|error| panic!("{error}"))
}

/// Tests a guest of each of these kernels.
pub(crate) fn on_each(test: impl Fn(&mut Machine)) {
    for kernel in kernels() {
        println!("on {}", kernel.name);
        test(&mut boot_image(&kernel.path, |_| {}).unwrap_or_else(|error| panic!("{error}")));
    }
}

/// A boot that must fail, and how the guest was lost.
pub(crate) fn lost_in_boot(change: impl FnOnce(&mut BootOptions)) -> Lost {
    match boot(change) {
        Err(Error::Boot { lost, .. }) => *lost,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it booted"),
    }
}

/// Whether a process is there and not only waiting to be reaped.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

/// Waits until a process is gone.
#[track_caller]
pub(crate) fn assert_ends(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while runs(pid) {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal.
pub(crate) fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a process id"));
    nix::sys::signal::kill(pid, signal).expect("the process is there");
}

/// The oldest and the newest kernel, or the one that is asked for.
pub(crate) fn kernels() -> Vec<Kernel> {
    let mut kernels = Store::open().and_then(|store| store.default_kernels()).unwrap_or_default();
    kernels.truncate(1);
    match kernels.first() {
        Some(oldest) if !is_named() && oldest.name != kernel().name => {
            kernels.push(kernel());
        }
        _ => kernels = vec![kernel()],
    }
    kernels
}
