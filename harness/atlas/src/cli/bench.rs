//! `atlas bench`.

use super::{DEVIATES, ENVIRONMENT, Failure, interrupt, run as run_command};
use crate::bench::list::{self, Item, REFERENCE};
use crate::bench::results::Bench;
use crate::bench::run::{Plan, Step, run};
use crate::bench::{table, user};
use crate::plan::JitChoice;
use atlas_vm::kernels::Store;
use globset::Glob;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

/// The name under which the look at mitigations is selected.
const MITIGATIONS: &str = "mitigations";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A kernel: series, release, name in the store, or path to an image [default: all default ones]
    #[arg(long, value_name = "S|PATH")]
    kernel: Vec<String>,
    /// JIT settings to measure with
    #[arg(long, value_enum, default_value_t)]
    jit: JitChoice,
    /// Measurements by glob over their names; a theme alone selects all of it [default: all, or with
    /// --filter none but that]
    #[arg(long, value_name = "GLOB")]
    measure: Vec<String>,
    /// List the measurements instead of taking them
    #[arg(long)]
    list: bool,
    /// A filter of your own: raw records of struct sock_filter
    #[arg(long, value_name = "FILE")]
    filter: Vec<PathBuf>,
    /// The call that your own filters are measured with, by name; its arguments are zero
    #[arg(long, value_name = "NAME", default_value = "getppid")]
    call: String,
    /// More words for the kernels' command lines
    #[arg(long, value_name = "KERNEL_ARGS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// How many guests run at once [default: one a processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Write JSON, of the schema in docs/bench.schema.json, to a file, or to standard output with -
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  atlas bench --kernel 6.12                          everything on one kernel, JIT on and off
  atlas bench --kernel 5.10 --kernel 7.3 --jit off --measure compares
                                                     what a longer filter costs, interpreted
  atlas bench --kernel 7.3 --filter mine.bpf --call read
                                                     your own filter
  atlas bench --json - --quiet | jq '.kernels[].legs[].fit'

Figures are instructions that the emulated machine executes: the same in every run, and no measure of
time. Exit status: 0 measured, 1 a figure that should be exact is not or could not be had, 2 usage or
environment.";

pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    let mut items = select(&args.measure, !args.filter.is_empty())?;
    for file in &args.filter {
        for item in user::items(file, &args.call)? {
            if items.iter().all(|there| there.name != item.name) {
                items.push(item);
            }
        }
    }
    if args.list {
        for item in &items {
            anstream::println!("{}", item.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    atlas_vm::version()?;
    let store = Store::open()?;
    let kernels = run_command::kernels(&store, &args.kernel)?;
    if let Some(path) = args.json.as_deref().filter(|path| *path != Path::new("-")) {
        std::fs::write(path, "").map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let stop = interrupt::watch()?;
    let plan = Plan {
        kernels,
        jit: args.jit,
        mitigations: args.filter.is_empty() && (args.measure.is_empty() || wants_mitigations(&args.measure)),
        items,
        append: args.append.clone(),
        jobs: args
            .jobs
            .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from),
    };
    let bench = with_progress(&plan, &stop, args.quiet);
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => anstream::print!("{}", bench.to_json()?),
        Some(path) => std::fs::write(path, bench.to_json()?)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?,
        None => anstream::print!("{}", table::table(&bench)),
    }
    if stop.load(SeqCst) {
        return Ok(ExitCode::from(ENVIRONMENT));
    }
    Ok(if is_whole(&bench) { ExitCode::SUCCESS } else { ExitCode::from(DEVIATES) })
}

/// Whether every figure that should be there is there. An ABI that a kernel does not have is none.
fn is_whole(bench: &Bench) -> bool {
    bench.kernels.iter().all(|kernel| {
        let rows = || kernel.legs.iter().flat_map(|leg| &leg.rows);
        kernel.problem.is_none() && rows().all(|row| row.note.is_empty() || row.note == "not there")
    })
}

fn wants_mitigations(patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| pattern == MITIGATIONS)
}

/// The measurements that patterns select, with those that they are compared with.
fn select(patterns: &[String], own: bool) -> Result<Vec<Item>, Failure> {
    let all = list::all();
    if patterns.is_empty() {
        return Ok(if own { vec![] } else { all });
    }
    let mut wanted = BTreeSet::from([REFERENCE.to_owned()]);
    for pattern in patterns.iter().filter(|pattern| *pattern != MITIGATIONS) {
        let glob = Glob::new(&format!("{{{pattern},{pattern}/*}}"))
            .map_err(|error| format!("`{pattern}` is not a pattern: {}", error.kind()))?;
        let matcher = glob.compile_matcher();
        let before = wanted.len();
        for item in all.iter().filter(|item| matcher.is_match(&item.name)) {
            wanted.insert(item.name.clone());
            wanted.extend(item.baseline.clone());
        }
        if wanted.len() == before && pattern != REFERENCE {
            return Err(
                format!("no measurement matches `{pattern}`; `atlas bench --list` shows them all").into()
            );
        }
    }
    Ok(all.into_iter().filter(|item| wanted.contains(&item.name)).collect())
}

fn with_progress(plan: &Plan, stop: &std::sync::atomic::AtomicBool, quiet: bool) -> Bench {
    let began = Instant::now();
    let total = plan.items.len() * plan.kernels.len() * plan.jit.settings(true).len();
    let taken = AtomicUsize::new(0);
    let terminal = std::io::stderr().is_terminal();
    let bar = indicatif::ProgressBar::with_draw_target(
        Some(total as u64),
        if quiet || !terminal {
            indicatif::ProgressDrawTarget::hidden()
        } else {
            indicatif::ProgressDrawTarget::stderr()
        },
    );
    let say = |text: String| {
        if terminal {
            bar.println(text);
        } else if !quiet {
            eprintln!("{text}");
        }
    };
    let bench = run(plan, stop, &|step| match step {
        Step::Boots(_) => {}
        Step::IsUp(kernel) => say(format!("{kernel} is up after {:.1} s", began.elapsed().as_secs_f64())),
        Step::Measured(kernel, jit, name) => {
            taken.fetch_add(1, SeqCst);
            bar.inc(1);
            bar.set_message(format!("{kernel} {} {name}", jit.name()));
        }
        Step::Done(kernel, problem) => {
            let how = problem.unwrap_or("measured");
            say(format!("{kernel}: {how} after {:.1} s", began.elapsed().as_secs_f64()));
        }
    });
    bar.finish_and_clear();
    let count = taken.load(SeqCst);
    say(format!("{count} measurements in {:.1} s", began.elapsed().as_secs_f64()));
    bench
}
