//! What guests change of what their kernels are by themselves, read by a program in guests of the oldest and the
//! newest kernel.

use crate::program::{guest, text};
use crate::support::{Test, kernels};
use atlas_vm::{BootOptions, Machine};

pub(crate) const TESTS: &[Test] = &[
    ("guests_change_what_they_say_they_do", guests_change_what_they_say_they_do),
    ("their_code_is_on_huge_pages_and_nothing_else", their_code_is_on_huge_pages_and_nothing_else),
];

fn guests_change_what_they_say_they_do() {
    for kernel in kernels() {
        println!("on {}", kernel.name);
        for counted in [false, true] {
            let machine = &mut guest(&kernel, |options| options.icount = counted);
            for (path, wanted) in [
                ("/proc/sys/debug/exception-trace", "0"),
                ("/sys/kernel/rcu_expedited", "1"),
                // A request is told by one byte, and the line says so at once.
                ("/sys/class/tty/ttyS1/rx_trig_bytes", "1"),
            ] {
                let Some(is) = text(machine, path) else { continue };
                assert_eq!(is, wanted, "{path}, counted: {counted}");
            }
            let flags = text(machine, "/proc/cpuinfo").expect("every kernel tells");
            let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
            assert!(has("lm") && !["smap", "erms", "fsrm"].iter().any(|flag| has(flag)), "{flags}");
            let told = text(machine, "/proc/cmdline").expect("every kernel tells");
            assert_eq!(told.contains("init_on_alloc=0"), !counted, "{told}");
        }
    }
}

/// A mapping of the guest's.
#[derive(Debug, PartialEq)]
struct Mapping {
    protection: String,
    of_its_file: bool,
    /// What it has in memory, and how much of that is anonymous huge pages, in kilobytes.
    resident: u64,
    huge: u64,
}

/// The mappings of a guest (proc_pid_smaps(5)).
fn mappings(machine: &mut Machine) -> Vec<Mapping> {
    let maps = text(machine, "/proc/1/smaps").expect("every kernel tells");
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in maps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let size = || words[1].parse().expect("a number");
        match (words[0], mappings.last_mut()) {
            ("Rss:", Some(last)) => last.resident = size(),
            ("AnonHugePages:", Some(last)) => last.huge = size(),
            (range, _) if range.contains('-') => mappings.push(Mapping {
                protection: words[1].into(),
                of_its_file: words.last() == Some(&"/init"),
                resident: 0,
                huge: 0,
            }),
            _ => {}
        }
    }
    mappings
}

fn their_code_is_on_huge_pages_and_nothing_else() {
    for kernel in kernels() {
        println!("on {}", kernel.name);
        // As they are, where instructions are counted, and where a user says that they shall not.
        let changes: [fn(&mut BootOptions); 3] =
            [|_| {}, |options| options.icount = true, |options| options.append = vec!["atlas.huge=0".into()]];
        let [(usual, was), others @ ..] = changes.map(|change| {
            let machine = &mut guest(&kernel, change);
            // What the kernel is asked for meanwhile is what it was again.
            let settings = ["/sys/kernel/mm/transparent_hugepage/enabled", "/proc/sys/vm/min_free_kbytes"];
            (mappings(machine), settings.map(|path| text(machine, path)))
        });
        let [Some(_), _] = &was else { continue };
        let huge: Vec<&Mapping> = usual.iter().filter(|mapping| mapping.huge > 0).collect();
        assert!(
            huge.iter().all(|mapping| mapping.huge == mapping.resident && !mapping.of_its_file),
            "{usual:?}"
        );
        let protections: Vec<&str> = huge.iter().map(|mapping| mapping.protection.as_str()).collect();
        assert_eq!(protections, ["r--p", "r-xp"]);
        let is_code = |mapping: &Mapping| mapping.of_its_file && mapping.protection == "r-xp";
        assert!(!usual.iter().any(is_code), "{usual:?}");
        for (other, is) in &others {
            assert_eq!(was, *is);
            assert!(other.iter().any(is_code) && other.iter().all(|mapping| mapping.huge == 0), "{other:?}");
        }
    }
}
