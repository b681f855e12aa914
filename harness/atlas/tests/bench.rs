//! Figures of a real kernel: that they are the same twice, and that they count what they say.
//!
//! The kernel is the one that `ATLAS_KERNEL` names, else the newest of the default group.

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_model::{Action, bpf};
use atlas_vm::kernels::{Kernel, Store};
use seccomp_atlas::bench::item::{self, Item, REFERENCE};
use seccomp_atlas::bench::list;
use seccomp_atlas::bench::results::Bench;
use seccomp_atlas::bench::run::{Plan, Step, run};
use seccomp_atlas::bench::{filters, given};
use seccomp_atlas::guests::templates;
use seccomp_atlas::plan::JitChoice;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

fn kernel() -> Kernel {
    let store = Store::open().expect("there is a store");
    match std::env::var("ATLAS_KERNEL") {
        Ok(named) => store.resolve(&named).expect("the kernel is in the store"),
        Err(_) => store
            .default_kernels()
            .ok()
            .and_then(|mut all| all.pop())
            .expect("a kernel: `atlas kernels fetch`"),
    }
}

fn bench(items: Vec<Item>, jit: JitChoice) -> Bench {
    measured(items, jit, true)
}

/// By clones, or by guests that are booted.
fn measured(items: Vec<Item>, jit: JitChoice, by_clones: bool) -> Bench {
    measured_on(kernel(), items, jit, by_clones)
}

fn measured_on(kernel: Kernel, items: Vec<Item>, jit: JitChoice, by_clones: bool) -> Bench {
    let templates = by_clones.then(|| templates(&Store::open().unwrap()).unwrap());
    let (kernels, append) = (vec![kernel], vec![]);
    let plan = Plan { kernels, jit, items, mitigations: false, append, templates, jobs: 2 };
    run(&plan, &AtomicBool::new(false), &|step| {
        if let Step::TemplateTrouble(why) = step {
            panic!("{why}");
        }
    })
}

/// The exact ones of these themes, and what they are compared with.
fn items(themes: &[&str]) -> Vec<Item> {
    let wanted = |item: &Item| item.exact && themes.iter().any(|theme| item.name.starts_with(theme));
    list::all().into_iter().filter(wanted).collect()
}

/// The same twice, with both settings of the JIT: in guests that are booted, and in clones.
static TWICE: LazyLock<[Bench; 2]> = LazyLock::new(|| {
    let call = item::native("getppid", 0).unwrap();
    // A few of each kind; what only goes on for longer is no kind of its own.
    let mut all = items(&[
        "call/getppid",
        "call/read",
        "strict/",
        "compares/0",
        "compares/1",
        "compares/2",
        "compares/4094",
        "depth/1",
        "depth/64",
        "cache/defeated/1000",
        "entry/i386/none",
        "action/",
    ]);
    for (name, at) in [("first", 1), ("last", 101)] {
        let mut filter = filters::compares(100);
        filter.0.insert(at, bpf::jeq(0x7777, 0, 0));
        all.push(item::behind(name, vec![filter], call, Some(1)));
    }
    // One that is not the same in every run is among them, and no part of the JSON. It comes last, then first:
    // figures are to be the same whatever was measured before.
    let inexact = list::all().into_iter().find(|item| item.name == "load/seccomp/4096").unwrap();
    [(all.len(), false), (1, true)].map(|(place, by_clones)| {
        let mut items = all.clone();
        items.insert(place, inexact.clone());
        measured(items, JitChoice::Both, by_clones)
    })
});

#[test]
fn equal_inputs_give_equal_bytes() {
    let both = TWICE.clone();
    assert!(both[0].spreads().to_json().unwrap().contains("load/seccomp/4096"));
    let [one, other] = both.map(|bench| bench.exact().to_json().unwrap());
    assert!(!one.contains("spreads"));
    assert_same(&one, &other);
    let read: Bench = serde_json::from_str(&one).unwrap();
    assert_eq!(read.kernels[0].problem, None);
    assert!(!read.kernels[0].legs.is_empty());
    for leg in &read.kernels[0].legs {
        let without: Vec<_> = leg.rows.iter().filter(|row| row.instructions.is_none()).collect();
        assert!(without.is_empty(), "{without:?}");
        // A filter costs what its instructions cost, to the last one.
        assert_eq!(leg.fit.expect("the parts are measured").residual, 0, "{leg:?}");
    }
}

/// What getrandom(2) takes depends on whether the kernel has entropy on some kernels, of which the default ones are two.
#[test]
fn clones_have_what_booted_guests_have() {
    let kernels = Store::open().and_then(|store| store.default_kernels()).expect("there is a store");
    let knows = kernels.iter().find(|kernel| ["6.1", "6.18"].contains(&kernel.name.as_str()));
    let [booted, cloned] = [false, true].map(|by_clones| {
        let kernel = knows.cloned().unwrap_or_else(kernel);
        measured_on(kernel, items(&["call/getrandom"]), JitChoice::On, by_clones)
    });
    assert_eq!(booted.kernels[0].problem, None);
    assert_same(&booted.exact().to_json().unwrap(), &cloned.exact().to_json().unwrap());
}

fn assert_same(one: &str, other: &str) {
    let differing: Vec<_> = one.lines().zip(other.lines()).filter(|(one, other)| one != other).collect();
    assert!(one == other, "{differing:?}");
}

/// One instruction more in the filter is seen as exactly what one costs, wherever it stands.
#[test]
fn one_more_instruction_is_seen() {
    let bench = &TWICE[0];
    assert_eq!(bench.kernels[0].problem, None);
    assert!(!bench.kernels[0].legs.is_empty());
    for leg in &bench.kernels[0].legs {
        let one = leg.figure("compares/2").unwrap() - leg.figure("compares/1").unwrap();
        let base = leg.figure("compares/100").unwrap();
        assert_eq!(leg.figure("first"), Some(base + one), "{:?}", leg.jit);
        assert_eq!(leg.figure("last"), Some(base + one), "{:?}", leg.jit);
    }
}

/// What is not measured as it should be has no figure, and says why.
#[test]
fn what_is_not_measured_says_why() {
    let call = item::native("getppid", 0).unwrap();
    let with = |name: &str, action| item::behind(name, vec![filters::answer(110, action)], call, Some(1));
    let mut broken = filters::compares(1);
    broken.0[1].jt = 9;
    let items = vec![
        items(&["call/getppid"]).remove(0),
        with("errno", Action::Errno(7)),
        with("kill", Action::KillProcess),
        item::behind("broken", vec![filters::compares(1), broken], call, Some(1)),
    ];
    let bench = bench(items, JitChoice::On);
    assert_eq!(bench.kernels[0].problem, None);
    let notes: Vec<&str> = bench.kernels[0].legs[0].rows[1..].iter().map(|row| row.note.as_str()).collect();
    assert_eq!(
        notes,
        ["returned -7 instead of 1", "ended: process killed by 31 SIGSYS", "filter 1 refused: errno 22"]
    );
}

#[test]
fn the_command_measures_a_filter_of_mine() {
    let directory = tempfile::tempdir().unwrap();
    let mine = directory.path().join("mine.bpf");
    std::fs::write(&mine, filters::compares(3).to_bytes()).unwrap();
    assert_eq!(given::read(&mine).unwrap().filters, [(None, filters::compares(3))]);
    let json = directory.path().join("bench.json");
    let said = |arguments: &[&str]| {
        let output = cargo_bin_cmd!("atlas").arg("bench").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let path = |path: &Path| path.display().to_string();
    let kernel = kernel().path.display().to_string();
    let (status, text) =
        said(&["--kernel", &kernel, "--filter", &path(&mine), "--json", &path(&json), "--jit", "on"]);
    assert_eq!(status, Some(0), "{text}");
    let bench: Bench = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let row = bench.kernels[0].legs[0].rows.iter().find(|row| row.name == "filter/mine.bpf/getppid").unwrap();
    assert_eq!((row.length, row.steps), (5, 5));
    assert!(row.over.unwrap() > 0);
    // The same once more is no worse, and where it used to cost one instruction less it is.
    let again = |old: &str| {
        said(&["--kernel", &kernel, "--filter", &path(&mine), "--jit", "on", "--quiet", "--against", old])
    };
    let (status, text) = again(&path(&json));
    assert_eq!((status, text.contains("3 figures compared, 0 of them")), (Some(0), true), "{text}");
    let figure = row.instructions.unwrap();
    let cheaper = std::fs::read_to_string(&json)
        .unwrap()
        .replace(&format!("\"instructions\": {figure},"), &format!("\"instructions\": {},", figure - 1));
    let old = directory.path().join("old.json");
    std::fs::write(&old, cheaper).unwrap();
    let (status, text) = again(&path(&old));
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains(&format!("filter/mine.bpf/getppid: {} -> {figure}", figure - 1)), "{text}");
    std::fs::write(&mine, filters::answer(110, Action::Errno(1)).to_bytes()).unwrap();
    let (status, text) = said(&["--kernel", &kernel, "--filter", &path(&mine)]);
    assert_eq!(status, Some(2));
    assert!(text.contains("answers getppid with Errno(1), by instruction 2"), "{text}");
}

/// A profile is measured as every compiler has it, and what it says that has no meaning is said.
#[test]
fn the_command_measures_a_profile_of_mine() {
    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/profile.json");
    let output = cargo_bin_cmd!("atlas")
        .args(["bench", "--jit", "off", "--json", "-", "--quiet", "--call", "read", "--filter", profile])
        .args(["--kernel", &kernel().path.display().to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("profile.json: no calls of x86-64, i386, x32: arm_fadvise64_64, raed"), "{said}");
    let bench: Bench = serde_json::from_slice(&output.stdout).unwrap();
    let rows = &bench.kernels[0].legs[0].rows;
    for compiler in ["libseccomp", "libseccomp-tree", "linear"] {
        let name = format!("filter/profile.json/{compiler}/read");
        let row = rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(row.over.unwrap() > 0 && row.length > 20, "{row:?}");
    }
}

/// The runner's programs have values in the guest too, and a sandbox is not for nothing.
#[test]
fn ruby_is_measured_bare_and_sandboxed() {
    let wanted = |item: &Item| item.name == REFERENCE || item.name.starts_with("ruby/1 + 1/");
    let bench = bench(list::all().into_iter().filter(wanted).collect(), JitChoice::On);
    assert_eq!(bench.kernels[0].problem, None);
    let spreads = &bench.kernels[0].legs[0].spreads;
    let median = |place: &str| {
        let name = format!("ruby/1 + 1/{place}");
        let spread = spreads.iter().find(|spread| spread.name == name).unwrap();
        assert_eq!(spread.note, "", "{spread:?}");
        spread.p50
    };
    let (bare, session, worker) = (median("bare"), median("in a session"), median("by a new worker"));
    assert!(0 < bare && bare < session && session < worker, "{bare} {session} {worker}");
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bench.schema.json")
}

#[test]
fn schema_is_fresh() {
    let schema = Bench::json_schema().unwrap();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(committed(), &schema).unwrap();
    }
    assert!(
        std::fs::read_to_string(committed()).unwrap_or_default() == schema,
        "docs/bench.schema.json is stale: run `UPDATE_SCHEMA=1 cargo test -p seccomp-atlas --test bench \
         schema` and commit it"
    );
}
