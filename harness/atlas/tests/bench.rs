//! Figures of a real kernel: that they are the same twice, and that they count what they say.
//!
//! The kernel is the one that `ATLAS_KERNEL` names, else the newest of the default group.

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_model::{Action, bpf};
use atlas_vm::kernels::{Kernel, Store};
use seccomp_atlas::bench::list::{self, Item};
use seccomp_atlas::bench::results::Bench;
use seccomp_atlas::bench::run::{Plan, run};
use seccomp_atlas::bench::{filters, user};
use seccomp_atlas::plan::JitChoice;
use std::path::{Path, PathBuf};
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
    let plan = Plan { kernels: vec![kernel()], jit, items, mitigations: false, append: vec![], jobs: 1 };
    run(&plan, &AtomicBool::new(false), &|_| {})
}

/// The exact ones of these themes, and what they are compared with.
fn items(themes: &[&str]) -> Vec<Item> {
    let wanted = |item: &Item| item.exact && themes.iter().any(|theme| item.name.starts_with(theme));
    list::all().into_iter().filter(wanted).collect()
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let all = || {
        items(&["call/", "strict/", "compares/", "length/64", "depth/", "cache/", "entry/i386", "action/"])
    };
    let [one, other] = [(), ()].map(|()| bench(all(), JitChoice::Both).to_json().unwrap());
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

fn assert_same(one: &str, other: &str) {
    let differing: Vec<_> = one.lines().zip(other.lines()).filter(|(one, other)| one != other).collect();
    assert!(one == other, "{differing:?}");
}

/// One instruction more in the filter is seen as exactly what one costs, wherever it stands.
#[test]
fn one_more_instruction_is_seen() {
    let call = list::native("getppid", 0).unwrap();
    let mut items = items(&["call/getppid", "compares/"]);
    let mut more = |name: &str, at: usize| {
        let mut filter = filters::compares(100);
        filter.0.insert(at, bpf::jeq(0x7777, 0, 0));
        items.push(list::behind(name, vec![filter], call, Some(1)));
    };
    more("first", 1);
    more("last", 101);
    let bench = bench(items, JitChoice::Both);
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
    let call = list::native("getppid", 0).unwrap();
    let with = |name: &str, action| list::behind(name, vec![filters::answer(110, action)], call, Some(1));
    let mut broken = filters::compares(1);
    broken.0[1].jt = 9;
    let items = vec![
        items(&["call/getppid"]).remove(0),
        with("errno", Action::Errno(7)),
        with("kill", Action::KillProcess),
        list::behind("broken", vec![filters::compares(1), broken], call, Some(1)),
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
    assert_eq!(user::read(&mine).unwrap(), filters::compares(3));
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
    let row = &bench.kernels[0].legs[0].rows[1];
    assert_eq!((row.name.as_str(), row.length, row.steps), ("filter/mine.bpf/getppid", 5, 5));
    assert!(row.over.unwrap() > 0);
    std::fs::write(&mine, filters::answer(110, Action::Errno(1)).to_bytes()).unwrap();
    let (status, text) = said(&["--kernel", &kernel, "--filter", &path(&mine)]);
    assert_eq!(status, Some(2));
    assert!(text.contains("answers getppid with Errno(1), by instruction 2"), "{text}");
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
