//! What guests change of what their kernels are by themselves, read by a program in guests of the oldest and the
//! newest kernel.

use crate::program::{asked, guest, traced};
use crate::support::{Test, kernels};
use atlas_model::observation::End;
use atlas_vm::Machine;

pub(crate) const TESTS: &[Test] = &[
    ("guests_change_what_they_say_they_do", guests_change_what_they_say_they_do),
    ("their_code_is_on_huge_pages_and_nothing_else", their_code_is_on_huge_pages_and_nothing_else),
];

/// The text of a file in the guest.
fn text(machine: &mut Machine, path: &str) -> String {
    let mut show = asked("show", None);
    show.arguments.push(path.into());
    let shown = traced(machine, show);
    assert_eq!(shown.end, Some(End::Exited(7)), "{path}: {shown:?}");
    String::from_utf8_lossy(&shown.stdout).trim().to_owned()
}

fn guests_change_what_they_say_they_do() {
    for kernel in kernels() {
        println!("on {}", kernel.name);
        for counted in [false, true] {
            let machine = &mut guest(&kernel, counted);
            for (path, wanted) in [
                ("/proc/sys/debug/exception-trace", "0"),
                ("/sys/kernel/rcu_expedited", "1"),
                // A request is told by one byte, and the line says so at once.
                ("/sys/class/tty/ttyS1/rx_trig_bytes", "1"),
            ] {
                assert_eq!(text(machine, path), wanted, "{path}, counted: {counted}");
            }
            let flags = text(machine, "/proc/cpuinfo");
            let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
            assert!(has("avx2") && !has("smap") && !has("erms"), "{flags}");
            let told = text(machine, "/proc/cmdline");
            assert_eq!(told.contains("init_on_alloc=0"), !counted, "{told}");
        }
    }
}

fn their_code_is_on_huge_pages_and_nothing_else() {
    for kernel in kernels() {
        println!("on {}", kernel.name);
        let [usual, counted] = [false, true].map(|counted| {
            let machine = &mut guest(&kernel, counted);
            let maps = text(machine, "/proc/1/maps");
            let memory = text(machine, "/proc/meminfo");
            let line =
                memory.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).expect("such a line");
            let huge: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
            // What the kernel is asked for meanwhile is what it was again.
            let settings = ["/sys/kernel/mm/transparent_hugepage/enabled", "/proc/sys/vm/min_free_kbytes"];
            (maps, huge, settings.map(|path| text(machine, path)))
        });
        assert_eq!(usual.2, counted.2);
        // In kilobytes, what lies below the first mapping that is written to and belongs to no file.
        let fixed = usual.0.lines().take_while(|line| !line.contains("/init") && !line.contains(" rw"));
        let sizes = fixed.map(|line| {
            let hex = |digits| u64::from_str_radix(digits, 16).expect("an address");
            let (start, end) = line.split_once(' ').expect("words").0.split_once('-').expect("two addresses");
            (hex(end) - hex(start)) >> 10
        });
        assert_eq!((usual.1, usual.0.contains(" r-xp 00000000 00:00 0")), (sizes.sum(), true), "{}", usual.0);
        assert!(usual.1 > 0 && !usual.0.lines().any(|line| line.contains("r-xp") && line.ends_with("/init")));
        assert!(
            counted.1 == 0 && counted.0.lines().any(|line| line.contains("r-xp") && line.ends_with("/init"))
        );
    }
}
