//! A report that never was: every verdict, every answer of a probe, hostile text.

use seccomp_atlas::results::{
    CaseInfo, CaseResult, Host, Jit, KernelReport, ProbeKind, ProbeResult, Report, SCHEMA, Timeline, Verdict,
};

/// What a guest would say to take over a terminal, a page, an XML file or a Markdown comment.
pub(crate) const HOSTILE: &str = "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script> ]]> </pre></td> \
                           {{ page }} & \"quoted\" 'single' | `code` @someone #1 \u{202e}txt.exe \0";

const DISASSEMBLY: &str = " line  code  jt   jf   k
 0000: 0x20 0x00 0x00 0x00000004  A = arch
 0001: 0x15 0x01 0x00 0xc000003e  if (A == 0xc000003e) goto 0003  ; x86-64 or x32
 0002: 0x06 0x00 0x00 0x80000000  return KILL_PROCESS
 0003: 0x20 0x00 0x00 0x00000000  A = nr
 0004: 0x15 0x00 0x01 0x0000006e  if (A != 0x6e) goto 0006  ; getppid
 0005: 0x06 0x00 0x00 0x00051000  return ERRNO(4096)
 0006: 0x06 0x00 0x00 0x7fff0000  return ALLOW";

/// The sample.
pub(crate) fn sample() -> Report {
    let kernels = vec![
        kernel("5.10", "5.10.262-cloud-amd64"),
        kernel("6.1", "6.1.170-cloud-amd64"),
        never_booted(),
        kernel("6.12", "6.12.117+deb13-cloud-amd64"),
        kernel("7.3", "7.3.4+deb13-cloud-amd64"),
    ];
    let cases = vec![
        case("errno::cap_4095", "RET_ERRNO's data beyond 4095 must reach user space as 4095."),
        case("errno::zero", "RET_ERRNO with 0 must look like success and must not run the call."),
        case("abi::int80", "A call by int 0x80 must be seen with the arch of i386."),
        case("notify::order", "Notifications must be received in the order of the calls."),
        case("notify::wait_killable", "A listener may ask that only fatal signals interrupt."),
        case("limits::deep_chain", "A chain that is too long must be refused with ENOMEM."),
        case("kill::during_panic", "The guest must not survive what this does."),
        case("kill::forever", "A case that never ends must be ended."),
        case("strict::hostile", "Text <b>from</b> a guest must be shown and not obeyed."),
    ];
    let mut results = Vec::new();
    for kernel in &kernels {
        for case in &cases {
            let abis: &[&str] =
                if case.name == "errno::cap_4095" { &["x86-64", "i386"] } else { &["x86-64"] };
            for abi in abis {
                for jit in [Jit::On, Jit::Off] {
                    results.push(result(&kernel.name, &case.name, abi, jit));
                }
            }
        }
    }
    // The last case on the newest kernel was not reached.
    results.pop();
    results.pop();
    Report {
        schema: SCHEMA,
        tool: "0.1.0".into(),
        catalogue: "fedcba9876543210".repeat(4),
        shard: None,
        host: Host {
            arch: "x86_64".into(),
            cpus: 2,
            qemu: "QEMU emulator version 7.2.22".into(),
            kvm: "no guest answered under KVM within 3 s".into(),
        },
        kernels,
        cases,
        results,
        complete: false,
        exit: None,
    }
}

fn case(name: &str, about: &str) -> CaseInfo {
    let experiment =
        format!("task 0: attaches by seccomp(2), flags 0:\n{DISASSEMBLY}\ntask 0: calls getppid() by x86-64");
    CaseInfo { name: name.into(), about: about.into(), experiment }
}

fn kernel(name: &str, release: &str) -> KernelReport {
    let old = ["5.10", "6.1"].contains(&name);
    let probe =
        |feature: &str, kind, present: Option<bool>, timeline, mainline: &str, about: &str| ProbeResult {
            feature: feature.into(),
            kind,
            present,
            timeline,
            mainline: mainline.into(),
            about: about.into(),
            instead: format!("A kernel without {feature} <does> | otherwise."),
            advice: format!("Do not rely on {feature}."),
            evidence: match present {
                Some(true) => "returned 0".into(),
                Some(false) => "failed with EINVAL".into(),
                None => format!("time ran out {HOSTILE}"),
            },
        };
    use ProbeKind::{Bug, Change, Feature};
    use Timeline::{AsMainline, Backported, Missing, Unknown};
    let later = |kernel| {
        if name == kernel { Backported } else { AsMainline }
    };
    let probes = vec![
        probe("filter", Feature, Some(true), AsMainline, "since 3.5", "Mode 2: filters."),
        probe(
            "wait-killable",
            Feature,
            Some(name != "5.10"),
            later("6.1"),
            "since 5.19",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.",
        ),
        probe(
            "x32",
            Feature,
            if name == "7.3" { None } else { Some(false) },
            if name == "7.3" { Unknown } else { Missing },
            "since 3.4",
            "Calls by the x32 ABI.",
        ),
        probe(
            "errno-uncapped",
            Change,
            Some(false),
            AsMainline,
            "before 4.0",
            "RET_ERRNO's data reaches user space beyond 4095.",
        ),
        probe(
            "notify-newest-first",
            Change,
            Some(old),
            if name == "6.1" { Missing } else { AsMainline },
            "before 5.19",
            "The newest notification is received first.",
        ),
        probe(
            "tsync-leak",
            Bug,
            Some(name == "5.10"),
            later("6.1"),
            "5.9 to before 6.3",
            "A refused TSYNC leaks a filter.",
        ),
    ];
    KernelReport {
        name: name.into(),
        release: release.into(),
        series: name.into(),
        source: format!("linux-image-{release} (from the archive)"),
        sha256: "0123456789abcdef".repeat(4),
        accelerator: "tcg".into(),
        cpu: "max".into(),
        jit: "on and off".into(),
        probes,
        faults: if name == "7.3" {
            vec![format!("guest lost in kill::during_panic: panic {HOSTILE}")]
        } else {
            vec![]
        },
        console: if name == "7.3" { panic() } else { String::new() },
    }
}

fn never_booted() -> KernelReport {
    KernelReport {
        release: String::new(),
        jit: String::new(),
        probes: vec![],
        faults: vec!["the kernel said nothing within 20 s of its start".into()],
        ..kernel("6.11", "6.11")
    }
}

fn panic() -> String {
    format!(
        "[    1.204117] kill::during_panic begins\n[    1.204901] {HOSTILE}\n\
         [    1.205377] Kernel panic - not syncing: sysrq triggered crash\n\
         [    1.206012] CPU: 0 PID: 1 Comm: init Not tainted 7.3.4+deb13-cloud-amd64 #1\n\
         [    1.206800] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---"
    )
}

fn result(kernel: &str, case: &str, abi: &str, jit: Jit) -> CaseResult {
    let said = "  0  task 0  seccomp(SET_MODE_FILTER): 0\n  1  task 0  getppid(): -4095\n\
                task 0: exited with 0";
    let fine = CaseResult {
        kernel: kernel.into(),
        case: case.into(),
        jit,
        abi: abi.into(),
        verdict: Verdict::Conforms,
        observed: said.into(),
        expected: said.into(),
        decided: "  1  filter 0, instruction 5: ERRNO(4096)".into(),
        note: String::new(),
        quirks: vec![],
        console: String::new(),
        repetitions: None,
    };
    let unseen = CaseResult { observed: String::new(), decided: String::new(), ..fine.clone() };
    if kernel == "6.11" {
        let note = "the kernel never booted".into();
        return CaseResult { verdict: Verdict::NotRun, note, ..unseen };
    }
    let old = ["5.10", "6.1"].contains(&kernel);
    match (case, kernel) {
        ("errno::cap_4095", "7.3") if abi == "i386" && jit == Jit::Off => CaseResult {
            verdict: Verdict::Deviates,
            observed: said.replace("-4095", "-4096") + "\ntask 1: alive",
            note: "step 1: expected -4095, observed -4096".into(),
            ..fine
        },
        ("abi::int80", "5.10") => CaseResult {
            verdict: Verdict::Absent,
            expected: String::new(),
            note: "the kernel has no i386, as the probe found".into(),
            ..unseen
        },
        ("notify::order", _) if old => CaseResult {
            quirks: vec!["notify-newest-first".into()],
            note: "notify-newest-first (before 5.19): The newest notification is received first.".into(),
            ..fine
        },
        ("notify::wait_killable", "5.10") => CaseResult {
            verdict: Verdict::KnownBug,
            quirks: vec!["tsync-leak".into()],
            note: "tsync-leak (5.9 to before 6.3): A refused TSYNC leaks a filter.".into(),
            ..fine
        },
        ("limits::deep_chain", "6.12") => CaseResult {
            observed: format!("{said}\nfree memory: 4093 kB"),
            expected: format!("{said}\nfree memory: 4000 kB or more"),
            ..fine
        },
        ("limits::deep_chain", "6.1") => CaseResult {
            verdict: Verdict::Deviates,
            observed: said.replace(": 0", ": -12"),
            note: "step 0: expected 0, observed -12 (ENOMEM)".into(),
            ..fine
        },
        ("kill::during_panic", "7.3") => CaseResult {
            verdict: Verdict::Crashed,
            note: "kernel panic: sysrq triggered crash".into(),
            console: panic(),
            ..unseen
        },
        ("kill::forever", "6.12" | "7.3") => CaseResult {
            verdict: Verdict::Hung,
            note: "it did not end in 10 s; the guest ended it".into(),
            console: if kernel == "7.3" { panic() } else { String::new() },
            ..unseen
        },
        ("strict::hostile", "6.12") => CaseResult {
            verdict: Verdict::Deviates,
            observed: format!("{said}\n{HOSTILE}"),
            note: format!("unexpected {HOSTILE}"),
            console: format!("last words: {HOSTILE}"),
            ..fine
        },
        _ => fine,
    }
}

/// As many kernels, cases, settings and probes as a full run has, with every observation
/// different, which is the worst for the page's size.
pub(crate) fn large() -> Report {
    let small = sample();
    let mut report = Report { kernels: vec![], cases: vec![], results: vec![], ..sample() };
    for number in 0..100 {
        let name = format!("theme{:02}::case_{number}", number / 6);
        report.cases.push(CaseInfo { name, ..small.cases[0].clone() });
    }
    for number in 0..11 {
        let name = format!("6.{number}");
        let mut kernel = KernelReport { name, ..small.kernels[0].clone() };
        let probes = (0..60).map(|probe| ProbeResult {
            feature: format!("feature-{probe}"),
            evidence: format!("returned {number}; exited with 0"),
            ..small.kernels[0].probes[0].clone()
        });
        kernel.probes = probes.collect();
        report.kernels.push(kernel);
    }
    for kernel in &report.kernels {
        for case in &report.cases {
            for abi in ["x86-64", "i386"] {
                for jit in [Jit::On, Jit::Off] {
                    let text = format!(
                        "  0  task 0  seccomp(SET_MODE_FILTER): 0\n  1  task 0  clone(): {} {abi} \
                         {jit:?}\ntask 0: exited with 0",
                        kernel.name
                    );
                    report.results.push(CaseResult {
                        kernel: kernel.name.clone(),
                        case: case.name.clone(),
                        abi: abi.into(),
                        jit,
                        observed: text.clone(),
                        expected: text,
                        ..small.results[0].clone()
                    });
                }
            }
        }
    }
    report
}
