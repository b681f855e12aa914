//! `atlas bench`.

use super::{DEVIATES, ENVIRONMENT, Failure, interrupt, run as run_command};
use crate::bench::compilers::{self, COMPILERS};
use crate::bench::list::{self, Item, REFERENCE};
use crate::bench::results::{Bench, SCHEMA};
use crate::bench::run::{Plan, Step, run};
use crate::bench::weights::{self, Weights};
use crate::bench::{against, page, table, user};
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
    /// Write one self-contained page with charts; - is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Calls as a program makes them, `call count` lines or a table of `strace -c`: say what your filters
    /// do for them, and what another order of their rules would save
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Earlier JSON to compare with; exit status 1 when a figure is worse
    #[arg(long, value_name = "OLD.json")]
    against: Option<PathBuf>,
    /// By how much a figure has to be worse
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent, requires = "against")]
    fail_over: f64,
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
  atlas bench --kernel 7.3 --filter mine.bpf --weights strace.txt
                                                     and which of its rules are used most
  atlas bench --against old.json --fail-over 2%      for CI
  atlas bench --json - --quiet | jq '.kernels[].legs[].fit'

Figures are instructions that the emulated machine executes: the same in every run, and no measure of
time. Exit status: 0 measured, 1 a figure that should be exact is not, could not be had, or
is worse than before, 2 usage or environment.";

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
    let advice = args.weights.as_deref().map(|file| advise(file, &args.filter)).transpose()?;
    let old = args.against.as_deref().map(earlier).transpose()?;
    atlas_vm::version()?;
    let store = Store::open()?;
    let kernels = run_command::kernels(&store, &args.kernel)?;
    // Outputs are opened before the work starts, so that a bad path fails at once.
    for path in [&args.json, &args.html].into_iter().flatten().filter(|path| *path != Path::new("-")) {
        write(path, "")?;
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
    if let Some(path) = &args.json {
        write(path, &bench.to_json()?)?;
    }
    if let Some(path) = &args.html {
        write(path, &page::page(&bench)?)?;
    }
    if args.json.is_none() && args.html.is_none() {
        anstream::print!("{}", table::table(&bench));
    }
    if let Some(advice) = advice {
        anstream::eprint!("{advice}");
    }
    let got_worse = old.is_some_and(|old| say_worse(&old, &bench, args.fail_over));
    if stop.load(SeqCst) {
        return Ok(ExitCode::from(ENVIRONMENT));
    }
    Ok(if is_whole(&bench) && !got_worse { ExitCode::SUCCESS } else { ExitCode::from(DEVIATES) })
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    number.ok().filter(|number| *number >= 0.0).ok_or_else(|| "a number of per cent, such as 2%".into())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path == Path::new("-") {
        anstream::print!("{text}");
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

fn earlier(path: &Path) -> Result<Bench, Failure> {
    let bench: Bench = serde_json::from_str(&read(path)?)
        .map_err(|error| format!("{} is no JSON of `atlas bench`: {error}", path.display()))?;
    if bench.schema == SCHEMA {
        Ok(bench)
    } else {
        Err(format!("{} is of version {}, and this is version {SCHEMA}", path.display(), bench.schema).into())
    }
}

/// What the filters do for a program's calls: the user's own, or else the samples as libseccomp has them.
fn advise(file: &Path, own: &[PathBuf]) -> Result<String, Failure> {
    let weights = Weights::parse(&read(file)?).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut named = Vec::new();
    for path in own {
        named.push((path.display().to_string(), user::read(path)?));
    }
    if own.is_empty() {
        let (compiler, compile) = COMPILERS[0];
        let samples = compilers::samples().into_iter();
        named.extend(
            samples.filter_map(|it| Some((format!("{}/{compiler}", it.name), compile(&it.policy).ok()?))),
        );
    }
    Ok(named
        .iter()
        .map(|(name, filter)| weights::in_words(name, &weights::advise(filter, &weights)))
        .collect())
}

/// Says which figures are worse than they were, and whether any is. Nothing to compare is worse, too.
fn say_worse(old: &Bench, new: &Bench, percent: f64) -> bool {
    let (worse, compared) = against::worse(old, new, percent);
    eprintln!("{compared} figures compared, {} of them more than {percent} % worse", worse.len());
    for one in &worse {
        eprintln!("  {}: {} -> {} (+{:.2} %)", one.name, one.before, one.now, one.percent());
    }
    !worse.is_empty() || compared == 0
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
