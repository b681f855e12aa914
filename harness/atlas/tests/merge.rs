//! Shards and legs, merged.

#[path = "report/sample.rs"]
mod sample;

use assert_cmd::cargo::cargo_bin_cmd;
use atlas_cases::Subject;
use atlas_model::traits::Feature;
use sample::{large, sample};
use seccomp_atlas::catalogue;
use seccomp_atlas::event::{Event, KernelInfo, Sink as _};
use seccomp_atlas::exit::exit;
use seccomp_atlas::fold::Fold;
use seccomp_atlas::merge::{Leg, merge};
use seccomp_atlas::report::{Format, render};
use seccomp_atlas::results::{ProbeResult, Report, Timeline, Verdict};
use seccomp_atlas::shard::Shard;
use std::path::{Path, PathBuf};

fn shard(text: &str) -> Shard {
    text.parse().unwrap()
}

/// What a run that ends in this report tells, of the whole or of a shard.
fn folded(report: &Report, shard: Option<Shard>) -> Report {
    let mut fold = Fold::default();
    tell(&mut fold, report, shard);
    fold.report()
}

fn tell(fold: &mut Fold, report: &Report, shard: Option<Shard>) {
    let cases = match shard {
        Some(shard) => shard.take(report.cases.clone()).unwrap(),
        None => report.cases.clone(),
    };
    let info = |kernel: &seccomp_atlas::results::KernelReport| KernelInfo {
        name: kernel.name.clone(),
        series: kernel.series.clone(),
        source: kernel.source.clone(),
        sha256: kernel.sha256.clone(),
    };
    fold.take(&Event::RunStarted {
        tool: report.tool.clone(),
        catalogue: report.catalogue.clone(),
        shard,
        jit: None,
        wanted: None,
        host: report.host.clone(),
        cases: cases.clone(),
        kernels: report.kernels.iter().map(info).collect(),
    });
    for kernel in &report.kernels {
        if kernel.release.is_empty() {
            continue;
        }
        fold.take(&Event::KernelBooted {
            kernel: kernel.name.clone(),
            release: kernel.release.clone(),
            accelerator: kernel.accelerator.clone(),
            cpu: kernel.cpu.clone(),
        });
        fold.take(&Event::KernelProbed {
            kernel: kernel.name.clone(),
            jit: kernel.jit.clone(),
            total: 0,
            probes: kernel.probes.clone(),
        });
    }
    for result in report.results.iter().filter(|result| cases.iter().any(|case| case.name == result.case)) {
        fold.take(&Event::CaseFinished(Box::new(result.clone())));
    }
    fold.take(&Event::RunFinished { complete: true });
}

fn leg(name: &str, report: Report) -> Leg {
    Leg { name: name.into(), report }
}

fn shards(report: &Report, of: usize) -> Vec<Leg> {
    (1..=of)
        .map(|number| {
            let shard = shard(&format!("{number}/{of}"));
            leg(&format!("shard-{number}"), folded(report, Some(shard)))
        })
        .collect()
}

#[test]
fn merged_shards_are_the_whole_run() {
    let mut many = large();
    many.kernels.iter_mut().for_each(|kernel| kernel.series.clone_from(&kernel.name));
    for (report, counts) in [(sample(), [1, 2, 3, 9]), (many, [2, 3, 7, 64])] {
        let whole = folded(&report, None);
        for of in counts {
            let mut legs = shards(&report, of);
            legs.reverse();
            let merged = merge(legs).unwrap();
            assert_eq!(merged.missing, [""; 0]);
            let mut wanted = whole.clone();
            if of == 1 {
                wanted.shard = Some(shard("1/1"));
            }
            for format in Format::ALL {
                let (merged, whole) =
                    (render(&merged.report, format).unwrap(), render(&wanted, format).unwrap());
                assert!(merged == whole, "{of} shards, {format:?}");
            }
        }
    }
}

/// `--resume` may ask for more than the run that it goes on with.
#[test]
fn a_shard_that_goes_on_as_the_whole_is_the_whole() {
    let whole = folded(&sample(), None);
    let mut rest = sample();
    let part = shard("2/3").take(rest.cases.clone()).unwrap();
    rest.results.retain(|result| part.iter().all(|case| case.name != result.case));
    let mut fold = Fold::default();
    tell(&mut fold, &sample(), Some(shard("2/3")));
    tell(&mut fold, &rest, None);
    assert_eq!(fold.report(), whole);
}

/// Cases of this build's catalogue keep its order, whatever legs were chosen by.
#[test]
fn legs_of_other_cases_keep_the_order_of_the_catalogue() {
    let mut report = sample();
    report.catalogue = catalogue::digest().into();
    let names = ["kill::process", "errno::value", "errno::highest"];
    for (case, name) in report.cases.iter_mut().zip(names) {
        for result in report.results.iter_mut().filter(|result| result.case == case.name) {
            result.case = name.into();
        }
        case.name = name.into();
    }
    report.cases.truncate(3);
    report.results.retain(|result| names.contains(&result.case.as_str()));
    let of = |wanted: &str| {
        let mut part = report.clone();
        part.cases.retain(|case| case.name.starts_with(wanted));
        part.results.retain(|result| result.case.starts_with(wanted));
        leg(wanted, part)
    };
    let merged = merge(vec![of("kill"), of("errno")]).unwrap().report;
    let order: Vec<&str> = merged.cases.iter().map(|case| case.name.as_str()).collect();
    let places: Vec<_> = order.iter().map(|name| catalogue::place(name)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{order:?} {places:?}");
    assert_eq!(merged.results.len(), report.results.len());
}

#[test]
fn legs_of_other_kernels_stand_oldest_first() {
    let whole = folded(&sample(), None);
    let of = |name: &str| {
        let mut part = whole.clone();
        part.kernels.retain(|kernel| kernel.name == name);
        part.results.retain(|result| result.kernel == name);
        leg(name, part)
    };
    let mut legs: Vec<Leg> = ["7.3", "6.12", "5.10", "6.11", "6.1"].map(of).into();
    legs[0].report.host.cpus = 64;
    legs[0].report.host.kvm = "it works".into();
    let merged = merge(legs).unwrap().report;
    let mut wanted = whole.clone();
    wanted.host.cpus = 64;
    wanted.host.kvm = format!("{} / it works", wanted.host.kvm);
    assert_eq!(merged, wanted);
}

#[test]
fn a_missing_shard_is_said_and_no_success() {
    let mut legs = shards(&sample(), 3);
    legs.remove(1);
    let merged = merge(legs).unwrap();
    assert!(!merged.report.complete);
    assert_eq!(merged.missing.len(), 5);
    assert_eq!(merged.missing[0], "shard 2/3 of 5.10 is missing");
    // What several kernels bring of one shard is that shard.
    let part = folded(&sample(), Some(shard("2/3")));
    let of = |name: &str| {
        let mut part = part.clone();
        part.kernels.retain(|kernel| kernel.name == name);
        part.results.retain(|result| result.kernel == name);
        leg(name, part)
    };
    let merged = merge(vec![of("5.10"), of("7.3")]).unwrap();
    assert_eq!((merged.report.shard, merged.report.complete), (Some(shard("2/3")), true));
    let mut legs = shards(&sample(), 3);
    legs[2].report.complete = false;
    assert!(!merge(legs).unwrap().report.complete);
}

#[test]
fn a_kernel_that_booted_in_one_shard_alone_is_no_contradiction() {
    let mut legs = shards(&sample(), 2);
    let kernel = &mut legs[0].report.kernels[0];
    let whole = kernel.clone();
    kernel.release.clear();
    kernel.accelerator.clear();
    kernel.cpu.clear();
    kernel.jit = "no boot: it said nothing".into();
    kernel.faults = vec!["no boot: it said nothing".into()];
    kernel.probes.iter_mut().for_each(|probe| probe.present = None);
    let merged = merge(legs).unwrap().report;
    assert_eq!(merged.kernels[0].faults, ["no boot: it said nothing"]);
    assert_eq!(merged.kernels[0].probes, whole.probes);
    assert_eq!((&merged.kernels[0].release, &merged.kernels[0].jit), (&whole.release, &whole.jit));
}

/// Two shards, one of them changed, must be refused with these words.
fn refused(change: impl Fn(&mut Report), says: &[&str]) {
    let mut legs = shards(&sample(), 2);
    change(&mut legs[1].report);
    let error = merge(legs).expect_err(says[0]).to_string();
    for word in says {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(error.contains("shard-2"), "{error}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    refused(
        |report| report.tool = "0.2.0".into(),
        &["version of seccomp-atlas", "0.1.0", "0.2.0", "shard-1"],
    );
    refused(|report| report.catalogue = "0123".into(), &["another catalogue", "0123", "shard-1"]);
    refused(|report| report.catalogue.clear(), &["does not say of which catalogue"]);
    refused(|report| report.kernels[0].sha256 = "ff".into(), &["5.10 has another image", "ff", "shard-1"]);
    refused(
        |report| report.kernels[1].accelerator = "kvm".into(),
        &["6.1 has another accelerator", "kvm", "tcg"],
    );
    refused(|report| report.kernels[1].release = "6.1.99".into(), &["6.1 has another release", "6.1.99"]);
    refused(
        |report| report.kernels[4].probes[1].present = Some(false),
        &["the trait wait-killable of 7.3 is there in shard-1 and not there in shard-2"],
    );
    refused(
        |report| report.kernels[4].probes[1].present = None,
        &["the trait wait-killable of 7.3 is there in shard-1 and not known in shard-2"],
    );
    refused(
        |report| _ = report.kernels[4].probes.pop(),
        &["the trait tsync-leak of 7.3 is not there in shard-1 and not probed in shard-2"],
    );
    refused(
        |report| {
            let twice = sample().results[0].clone();
            report.cases.push(sample().cases[0].clone());
            report.results.push(twice);
        },
        &["5.10 errno::cap_4095 x86-64 jit_on is in shard-1 and in shard-2"],
    );
    refused(
        |report| {
            let mut other = sample().cases[0].clone();
            other.experiment.push('x');
            report.cases.push(other);
        },
        &["errno::cap_4095 is another experiment", "shard-1"],
    );
    refused(|report| report.results[0].kernel = "9.9".into(), &["does not list", "9.9 errno::zero"]);
    refused(|report| report.shard = Some(shard("3/4")), &["5.10 has shard 1/2", "3/4", "different wholes"]);
    assert!(merge(Vec::new()).unwrap_err().to_string().contains("no reports"));
}

fn write(directory: &Path, leg: &Leg) -> PathBuf {
    let path = directory.join(format!("{}.json", leg.name));
    std::fs::write(&path, render(&leg.report, Format::Json).unwrap()).unwrap();
    path
}

/// `atlas` with these arguments: status, standard output, standard error.
fn atlas(arguments: &[&std::ffi::OsStr]) -> (i32, String, String) {
    let output = cargo_bin_cmd!("atlas").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_merges_and_says_what_it_cannot() {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = shards(&sample(), 2).iter().map(|leg| write(directory.path(), leg)).collect();
    let of = |paths: &[&Path], more: &[&str]| {
        let mut arguments: Vec<&std::ffi::OsStr> = vec!["report".as_ref(), "--merge".as_ref()];
        arguments.extend(paths.iter().map(|path| path.as_os_str()));
        arguments.extend(more.iter().map(std::ffi::OsStr::new));
        atlas(&arguments)
    };
    let (one, other) = (paths[0].as_path(), paths[1].as_path());
    let (status, out, error) = of(&[one, other], &["--json", "-"]);
    assert_eq!((status, error.as_str()), (1, ""));
    let mut whole = folded(&sample(), None);
    whole.exit = Some(exit(&whole, &[], None));
    assert!(out == render(&whole, Format::Json).unwrap(), "{out}");
    let (status, out, _) = of(&[one, other], &["--ktap", "-"]);
    assert!(status == 1 && out.starts_with("KTAP version 1\n1..5\n"), "{out}");
    assert!(of(&[one, other], &[]).1.contains("of 9 cases"), "the terminal's report");
    // What conforms, conforms after a merge; a shard alone is not the whole.
    let mut fine = sample();
    fine.kernels.retain(|kernel| kernel.name != "6.11");
    fine.results.retain(|result| result.kernel != "6.11");
    fine.results.iter_mut().for_each(|result| result.verdict = Verdict::Conforms);
    let fine: Vec<PathBuf> = shards(&fine, 3)
        .into_iter()
        .map(|shard| write(directory.path(), &Leg { name: format!("fine-{}", shard.name), ..shard }))
        .collect();
    assert_eq!(of(&[&fine[0], &fine[1], &fine[2]], &[]).0, 0);
    let (status, _, error) = of(&[&fine[0], &fine[2]], &[]);
    assert!(status == 1 && error.contains("shard 2/3 of 7.3 is missing"), "{status} {error}");
    assert!(of(&[&fine[1]], &[]).1.contains("shard 2/3"), "a shard says that it is one");
    // No report, another schema, a report twice.
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let newer = std::fs::read_to_string(one).unwrap().replace("\"schema\": 1", "\"schema\": 7");
    for (path, says) in [
        (file("newer.json", &newer), "newer.json is a report of schema 7, and this atlas reads schema 1"),
        (file("other.json", "{\"schema\": 1}"), "other.json is no JSON report"),
        (file("text", "hello"), "text is no JSON report"),
        (directory.path().join("no-such"), "cannot read"),
        (directory.path().to_owned(), "there are no results in"),
        (one.to_owned(), "is in "),
    ] {
        let (status, out, error) = of(&[one, &path], &[]);
        assert!(status == 2 && out.is_empty() && error.contains(says), "{status} {error}");
    }
}

/// The same with a guest: a few cases by halves and as a whole.
#[test]
fn shards_of_a_real_run_are_the_whole_run() {
    let directory = tempfile::tempdir().unwrap();
    let store = atlas_vm::kernels::Store::open().unwrap();
    let kernel = store.default_kernels().unwrap().remove(0).name;
    let run = |out: &str, shard: Option<&str>| {
        let out = directory.path().join(out);
        let mut command = cargo_bin_cmd!("atlas");
        command.args(["run", "--quiet", "--accel", "tcg", "--case", "errno", "--kernel", &kernel, "--out"]);
        command.arg(&out).args(shard.map(|shard| ["--shard", shard]).into_iter().flatten());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        out
    };
    let whole = run("whole", None);
    let one = run("one", Some("1/2"));
    let other = run("other", Some("2/2"));
    // One probe takes times: what it saw differs from run to run, and on a busy machine its answer may.
    let read = |path: &Path| {
        let mut leg = Leg::read(path).unwrap();
        let of = |probe: &&mut ProbeResult| probe.feature == Subject::Feature(Feature::ActionCache).name();
        let timed = leg.report.kernels[0].probes.iter_mut().find(of).unwrap();
        timed.evidence.clear();
        (timed.present, timed.timeline) = (None, Timeline::Unknown);
        leg
    };
    let part = read(&one).report;
    assert_eq!(part.shard, Some(shard("1/2")));
    assert!(!part.cases.is_empty() && part.catalogue == catalogue::digest());
    let whole = read(&whole).report;
    let merged = merge(vec![read(&other), read(&one)]).unwrap().report;
    assert!(
        merged.complete
            && merged.results.len() >= 2 * merged.cases.len()
            && merged.cases.len() > part.cases.len()
    );
    assert_eq!(merged.kernels, whole.kernels);
    for (merged, whole) in merged.results.iter().zip(&whole.results) {
        assert_eq!(merged, whole);
    }
    for format in Format::ALL {
        assert!(render(&merged, format).unwrap() == render(&whole, format).unwrap(), "{format:?}");
    }
}
