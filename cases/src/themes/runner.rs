//! The sandboxed mruby runner, inside the guest: ordinary Ruby, attacks by the language, attacks by the
//! raw call, and the master that lives through all of it.

use crate::attacks::{self, ALL, FORGERIES};
use crate::case::{is, says, staged};
use crate::rubies::{FIBER_BUG, HOSTILE, ORDINARY};
use crate::{Case, Fact};
use atlas_edge::Stage;
use atlas_model::traits::{Feature, Traits};
use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use mruby_runner::{Ending, Limits, Outcome, Policy, Sandbox};
use std::time::Duration;

const FILTER: &[Feature] = &[Feature::ModeFilter];
/// Mode 1 has no canary: that it holds is read from /proc.
const STRICT: &[Feature] = &[Feature::ModeStrict, Feature::StatusSeccomp];

/// The attacks by the language go in quarters: of halves one was seen to take ten seconds on a machine
/// with four times the work that it has processors for.
const QUARTER: usize = HOSTILE.len().div_ceil(4);

/// The attacks of a quarter, from 0.
fn quarter(which: usize) -> &'static [(&'static str, &'static str)] {
    let from = which * QUARTER;
    &HOSTILE[from..(from + QUARTER).min(HOSTILE.len())]
}

const _: () = assert!(HOSTILE.len() + ALL.len() >= 60 && ABIS.1 == ALL.len());

/// The groups of the attacks' table.
const FILES: (usize, usize) = (0, 21);
const PROCESSES: (usize, usize) = (21, 40);
const KERNEL: (usize, usize) = (40, 65);
const ABIS: (usize, usize) = (65, 72);

macro_rules! attack_case {
    ($name:literal, $about:literal, $group:ident, $policy:ident) => {
        staged(
            $name,
            $about,
            FILTER,
            |stage| observe_attacks(stage, $group, Policy::$policy),
            |traits| expect_attacks(traits, $group, Policy::$policy),
        )
    };
}

macro_rules! hostile_case {
    ($name:literal, $about:literal, $quarter:literal, $policy:ident) => {
        staged(
            $name,
            $about,
            FILTER,
            |stage| observe_hostile(stage, quarter($quarter), Policy::$policy),
            |_| expect_hostile(quarter($quarter)),
        )
    };
}

pub(crate) const CASES: &[Case] = &[
    staged(
        "runner::policies",
        "Each policy evaluates, but for the tutorial's first sample, behind which nothing runs.",
        FILTER,
        |stage| {
            for policy in [Policy::Strict, Policy::Diagnose, Policy::Base, Policy::Sample] {
                evaluate(stage, policy, limits(), &[policy.name()], &["puts 'out'; 6 * 7"]);
            }
        },
        |_| {
            [("strict", "value 42"), ("diagnose", "value 42"), ("base", "forbidden"), ("sample", "value 42")]
                .map(|(policy, end)| says(format!("{policy}: {end}")))
                .to_vec()
        },
    ),
    staged(
        "runner::mode1",
        "Strict mode is enough for Ruby; any other call ends the worker.",
        STRICT,
        |stage| {
            let (names, codes) = (["arithmetic", "getpid"], ["(1..10).sum", "attack(39)"]);
            evaluate(stage, Policy::Mode1, limits(), &names, &codes);
        },
        |_| vec![says("arithmetic: value 55".into()), says("getpid: forbidden".into())],
    ),
    staged(
        "runner::ordinary",
        "Ordinary Ruby has the values it has outside of the sandbox, in a session: one worker for all of it.",
        FILTER,
        |stage| {
            let codes: Vec<&str> = ORDINARY.iter().map(|(code, _)| *code).collect();
            match sandbox(Policy::Strict, limits()) {
                Ok(mut sandbox) => {
                    let mut session = sandbox.session();
                    say_ends(stage, &codes, &codes, |code| session.eval(code));
                    stage.fact("the worker is there yet", session.is_alive().into());
                }
                Err(error) => stage.says(&format!("no sandbox: {error}")),
            }
        },
        |_| {
            let values = ORDINARY.iter().map(|(code, value)| says(format!("{}: value {value}", short(code))));
            values.chain([is("the worker is there yet", 1)]).collect()
        },
    ),
    hostile_case!(
        "runner::hostile_ruby_strict",
        "Attacks by the language come to a typed end, and the next evaluation is none the worse.",
        0,
        Strict
    ),
    hostile_case!("runner::more_hostile_ruby_strict", "A second quarter of these attacks.", 1, Strict),
    hostile_case!("runner::yet_more_hostile_ruby_strict", "The third quarter.", 2, Strict),
    hostile_case!("runner::last_hostile_ruby_strict", "The last quarter.", 3, Strict),
    hostile_case!(
        "runner::hostile_ruby_diagnose",
        "The same, where a forbidden call would be named.",
        0,
        Diagnose
    ),
    hostile_case!("runner::more_hostile_ruby_diagnose", "A second quarter of these attacks.", 1, Diagnose),
    hostile_case!("runner::yet_more_hostile_ruby_diagnose", "The third quarter.", 2, Diagnose),
    hostile_case!("runner::last_hostile_ruby_diagnose", "The last quarter.", 3, Diagnose),
    attack_case!("runner::files_strict", "Raw calls for files end the worker.", FILES, Strict),
    attack_case!("runner::files_diagnose", "Raw calls for files are named.", FILES, Diagnose),
    attack_case!(
        "runner::processes_strict",
        "Raw calls against processes end the worker.",
        PROCESSES,
        Strict
    ),
    attack_case!("runner::processes_diagnose", "Raw calls against processes are named.", PROCESSES, Diagnose),
    attack_case!(
        "runner::kernel_strict",
        "Raw calls to the kernel's other doors end the worker.",
        KERNEL,
        Strict
    ),
    attack_case!(
        "runner::kernel_diagnose",
        "Raw calls to the kernel's other doors are named.",
        KERNEL,
        Diagnose
    ),
    attack_case!("runner::abis_strict", "Calls by another ABI end the worker.", ABIS, Strict),
    attack_case!("runner::abis_diagnose", "Calls by another ABI are named.", ABIS, Diagnose),
    staged(
        "runner::forgeries",
        "What a worker writes in place of an answer is taken for what it is.",
        FILTER,
        |stage| {
            let names: Vec<&str> = FORGERIES.iter().map(|(name, ..)| *name).collect();
            let codes: Vec<String> = (0..names.len()).map(|index| format!("forge({index})")).collect();
            evaluate(stage, Policy::Strict, limits(), &names, &codes);
        },
        |_| FORGERIES.iter().map(|(name, _, end)| says(format!("{name}: {end}"))).collect(),
    ),
    staged(
        "runner::no_seccomp",
        "Where the kernel gives no filter, nothing is run, and the error has the kernel's errno.",
        FILTER,
        observe_no_seccomp,
        |_| vec![is("refused with", libc::EINVAL.into())],
    ),
    staged(
        "runner::vsyscall",
        "The vsyscall page is no way around the filter, whether it is there or not.",
        FILTER,
        observe_vsyscall,
        |_| vec![is("stopped", 1)],
    ),
    staged(
        "runner::crash",
        "A worker that crashes, by a bug of mruby's own, hurts nobody.",
        FILTER,
        |stage| {
            let mut limits = limits();
            limits.memory = 2 << 20;
            ended(stage, "fibers without end", FIBER_BUG, limits);
        },
        |_| vec![says("fibers without end: crashed 11".into())],
    ),
    staged(
        "runner::clocks",
        "A worker that uses up its time, by either clock, is ended by the master.",
        FILTER,
        observe_clocks,
        |_| vec![says("wall: limit wall".into()), says("processor: limit cpu".into())],
    ),
    staged(
        "runner::nothing_left",
        "After twenty evaluations there is no process and no descriptor more than before.",
        FILTER,
        observe_left,
        |_| vec![is("evaluations that gave 2", 20), is("descriptors more", 0), is("children", 0)],
    ),
];

/// Limits under which the tables' ends do not depend on the machine: time is not among what is reached.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.wall = Duration::from_secs(60);
    limits.cpu = Duration::from_secs(60);
    limits.memory = 4 << 20;
    limits.output = 64 << 10;
    limits.code = 128 << 10;
    limits.instructions = 200_000;
    limits.depth = 5000;
    limits
}

/// Makes a sandbox as the cases have it.
fn sandbox(policy: Policy, limits: Limits) -> Result<Sandbox, mruby_runner::Error> {
    Sandbox::builder()
        .policy(policy)
        .limits(limits)
        .native("attack", attacks::attempt)
        .native("forge", attacks::forge)
        .native("vsyscall", attacks::vsyscall)
        .build()
}

/// Evaluates each code and says what it came to. That the sandbox outlives each shows in the next one's
/// end, which is as typed as its own, and after the last in `1 + 1`, where the policy lets that be.
fn evaluate(stage: &Stage, policy: Policy, limits: Limits, names: &[&str], codes: &[impl AsRef<str>]) {
    let mut sandbox = match sandbox(policy, limits) {
        Ok(sandbox) => sandbox,
        Err(error) => return stage.says(&format!("no sandbox: {error}")),
    };
    say_ends(stage, names, codes, |code| sandbox.eval(code));
    match sandbox.eval("1 + 1") {
        Ok(outcome) if policy == Policy::Base || outcome.value() == Some("2") => {}
        Ok(outcome) => stage.says(&format!("and then 1 + 1: {}", text(&outcome))),
        Err(error) => stage.says(&format!("and then 1 + 1 is not tried: {error}")),
    }
}

/// Says what each code comes to.
fn say_ends(
    stage: &Stage,
    names: &[&str],
    codes: &[impl AsRef<str>],
    mut eval: impl FnMut(&str) -> Result<Outcome, mruby_runner::Error>,
) {
    for (name, code) in names.iter().zip(codes) {
        let came = match eval(code.as_ref()) {
            Ok(outcome) => text(&outcome),
            Err(error) => format!("not tried: {error}"),
        };
        stage.says(&format!("{}: {came}", short(name)));
    }
}

/// An end in a few words.
fn text(outcome: &Outcome) -> String {
    match &outcome.ending {
        Ending::Value { inspect, .. } => format!("value {inspect}"),
        Ending::Exception { class, .. } => format!("raises {class}"),
        Ending::Forbidden { call: None } => "forbidden".into(),
        Ending::Forbidden { call: Some(call) } => {
            format!("forbidden {} by {}", call.name.unwrap_or("no call"), call.abi)
        }
        Ending::Limit { limit, .. } => format!("limit {}", limit.name()),
        Ending::Crashed { signal } => format!("crashed {signal}"),
        Ending::Broken { why } => format!("broken {why}"),
        other => other.kind().to_owned(),
    }
}

/// The head of a code: the name of its fact.
fn short(code: &str) -> &str {
    let end = code.char_indices().map(|(at, _)| at).take_while(|at| *at <= 48).last().unwrap_or(0);
    if code.len() > 48 { &code[..end] } else { code }
}

fn observe_hostile(stage: &Stage, attacks: &[(&str, &str)], policy: Policy) {
    let codes: Vec<&str> = attacks.iter().map(|(code, _)| *code).collect();
    // As little as the ends allow: most attacks go on until a limit is reached.
    let mut limits = limits();
    limits.instructions = 20_000;
    limits.memory = 2304 << 10;
    limits.depth = 500;
    evaluate(stage, policy, limits, &codes, &codes);
}

fn expect_hostile(attacks: &[(&str, &str)]) -> Vec<Fact> {
    attacks.iter().map(|(code, end)| says(format!("{}: {end}", short(code)))).collect()
}

fn observe_attacks(stage: &Stage, (from, to): (usize, usize), policy: Policy) {
    let names: Vec<&str> = ALL[from..to].iter().map(|attack| attack.name).collect();
    let codes: Vec<String> = (from..to).map(|index| format!("attack({index})")).collect();
    evaluate(stage, policy, limits(), &names, &codes);
}

fn expect_attacks(traits: &Traits, (from, to): (usize, usize), policy: Policy) -> Vec<Fact> {
    let expected = |attack: &attacks::Attack| {
        // Without that entry the processor faults, and the kernel sends SIGSEGV.
        let end = match (policy, traits.has(Feature::AbiI386) || !attack.call.ends_with("i386")) {
            (_, false) => "crashed 11".into(),
            (Policy::Diagnose, true) => format!("forbidden {}", attack.call),
            (_, true) => "forbidden".to_owned(),
        };
        says(format!("{}: {end}", attack.name))
    };
    ALL[from..to].iter().map(expected).collect()
}

fn ended(stage: &Stage, name: &str, code: &str, limits: Limits) {
    let ended = Sandbox::builder().limits(limits).build().and_then(|mut sandbox| sandbox.eval(code));
    match ended {
        Ok(outcome) => stage.says(&format!("{name}: {}", text(&outcome))),
        Err(error) => stage.says(&format!("{name}: not tried: {error}")),
    }
}

/// An outer filter plays a kernel that was built without them.
fn observe_no_seccomp(stage: &Stage) {
    let invalid = ScmpAction::Errno(libc::EINVAL);
    let filter = ScmpFilterContext::new(ScmpAction::Allow).and_then(|mut filter| {
        let option = ScmpArgCompare::new(0, ScmpCompareOp::Equal, libc::PR_SET_SECCOMP as u64);
        filter.add_rule(ScmpAction::Errno(libc::ENOSYS), ScmpSyscall::from_name("seccomp")?)?;
        filter.add_rule_conditional(invalid, ScmpSyscall::from_name("prctl")?, &[option])?;
        filter.load()
    });
    if let Err(error) = filter {
        return stage.says(&format!("no outer filter: {error}"));
    }
    let refused = sandbox(Policy::Strict, limits()).and_then(|mut sandbox| sandbox.eval("1 + 1"));
    let errno = match refused {
        Err(mruby_runner::Error::NoSeccomp { errno, .. }) => errno as i64,
        _ => 0,
    };
    stage.fact("refused with", errno);
}

fn observe_vsyscall(stage: &Stage) {
    let ended = sandbox(Policy::Strict, limits()).and_then(|mut sandbox| sandbox.eval("vsyscall"));
    let stopped = ended.is_ok_and(|outcome| {
        matches!(outcome.ending, Ending::Forbidden { .. } | Ending::Crashed { signal: libc::SIGSEGV })
    });
    stage.fact("stopped", stopped.into());
}

fn observe_clocks(stage: &Stage) {
    let mut wall = limits();
    wall.instructions = u64::MAX >> 1;
    let mut cpu = wall.clone();
    wall.wall = Duration::from_millis(20);
    cpu.cpu = Duration::from_millis(20);
    ended(stage, "wall", "loop {}", wall);
    ended(stage, "processor", "loop {}", cpu);
}

fn observe_left(stage: &Stage) {
    let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(-1, |list| list.count() as i64);
    let before = descriptors();
    let mut good = 0;
    match sandbox(Policy::Strict, limits()) {
        Ok(mut sandbox) => {
            good = (0..20)
                .filter(|_| sandbox.eval("1 + 1").is_ok_and(|outcome| outcome.value() == Some("2")))
                .count();
        }
        Err(error) => stage.says(&format!("no sandbox: {error}")),
    }
    stage.fact("evaluations that gave 2", good as i64);
    stage.fact("descriptors more", descriptors() - before);
    let left = atlas_edge::sys::wait_for(-1, libc::__WALL);
    stage.fact("children", i64::from(left != -i64::from(libc::ECHILD)));
}
