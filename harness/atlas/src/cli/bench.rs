//! `atlas bench`.

mod advise;
mod files;
mod select;

use super::outputs::{Outputs, write};
use super::place::{default_jobs, kernels};
use super::{DEVIATES, ENVIRONMENT, Failure, interrupt};
use crate::bench::given::{self, Given};
use crate::bench::item::Item;
use crate::bench::results::Bench;
use crate::bench::run::{Plan, Step, run};
use crate::bench::{against, document, page, table, user};
use crate::cli::out::{say, sayln};
use crate::guests::templates;
use crate::plan::JitChoice;
use atlas_vm::kernels::Store;
use files::{read, stored};
use select::{select, wants_mitigations};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

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
    /// A filter of your own, raw records of struct sock_filter, or a profile of your own, in the notation of
    /// OCI runtimes, of Docker, or of `atlas sweep --policy`: compiled by every compiler that can
    #[arg(long, value_name = "FILE")]
    filter: Vec<PathBuf>,
    /// The call that your own filters are measured with, by name; its arguments are zero
    #[arg(long, value_name = "NAME", default_value = "getppid")]
    call: String,
    /// More words for the kernels' command lines
    #[arg(long, value_name = "KERNEL_ARGS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Boot every guest, instead of cloning those that count from templates, which are made where there are none
    #[arg(long)]
    cold: bool,
    /// How many guests run at once [default: one a processor, bounded by memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Write the exact figures as JSON, of the schema in docs/bench.schema.json, to a file, or to standard
    /// output with -: the same bytes in every run
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The same of what is not one figure (loads, logs, deaths, Ruby), which may differ by some instructions
    #[arg(long, value_name = "FILE")]
    spreads: Option<PathBuf>,
    /// Write the tables of a Markdown document, such as docs/benchmarks.md, anew between its marks
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Measure nothing: show what --json has written, and with a second one what --spreads has
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "measure", "filter", "list", "weights"])]
    from: Vec<PathBuf>,
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
  atlas bench --kernel 7.3 --filter profile.json --call openat
                                                     a container's profile, by every compiler
  atlas bench --against old.json --fail-over 2%      for CI
  atlas bench --document docs/benchmarks.md          the tables of the documentation
  atlas bench --json - --quiet | jq '.kernels[].legs[].fit'

Figures are instructions that the emulated machine executes: the same in every run, and no measure of
time. Exit status: 0 measured, 1 a figure that should be exact is not, could not be had, or
is worse than before, 2 usage or environment.";

pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    let sources = args.filter.iter().map(|path| given::read(path)).collect::<Result<Vec<_>, _>>()?;
    for (source, note) in sources.iter().flat_map(|it| it.notes.iter().map(move |note| (it, note))) {
        eprintln!("{}: {note}", source.name);
    }
    let items = items(args, &sources)?;
    if args.list {
        for item in &items {
            sayln!("{}", item.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let advice = args.weights.as_deref().map(|file| advise::advise(file, &sources)).transpose()?;
    let old = args.against.as_deref().map(stored).transpose()?;
    let document = args.document.as_deref().map(read).transpose()?;
    let _outputs =
        Outputs::open([&args.json, &args.spreads, &args.html, &args.document].into_iter().flatten())?;
    let stop = interrupt::watch()?;
    let bench = if args.from.is_empty() {
        atlas_vm::version()?;
        let store = Store::open()?;
        let plan = Plan {
            kernels: kernels(&store, &args.kernel)?,
            jit: args.jit,
            mitigations: args.filter.is_empty()
                && (args.measure.is_empty() || wants_mitigations(&args.measure)),
            items,
            append: args.append.clone(),
            templates: if args.cold { None } else { Some(templates(&store)?) },
            jobs: args.jobs.map_or_else(default_jobs, usize::from),
        };
        with_progress(&plan, &stop, args.quiet)
    } else {
        files::together(&args.from)?
    };
    if stop.load(SeqCst) && bench.kernels.iter().any(|kernel| kernel.problem.is_some()) {
        return Ok(interrupted(bench, args));
    }
    if let Some(path) = &args.json {
        write(path, &bench.exact().to_json()?)?;
    }
    if let Some(path) = &args.spreads {
        write(path, &bench.spreads().to_json()?)?;
    }
    if let Some(path) = &args.html {
        write(path, &page::page(&bench)?)?;
    }
    if let Some((path, text)) = args.document.as_deref().zip(document) {
        let filled = document::fill(&text, &bench, &files::today())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        write(path, &filled)?;
    }
    if [&args.json, &args.spreads, &args.html, &args.document].iter().all(|path| path.is_none()) {
        say!("{}", table::table(&bench));
    }
    if let Some(advice) = advice {
        anstream::eprint!("{advice}");
    }
    let got_worse = old.is_some_and(|old| say_worse(&old, &bench, args.fail_over));
    Ok(if is_whole(&bench) && !got_worse { ExitCode::SUCCESS } else { ExitCode::from(DEVIATES) })
}

/// Shows what was measured to the end when the run was ended. Files are not written: half a measurement
/// shall not take the place of a whole one.
fn interrupted(mut bench: Bench, args: &Args) -> ExitCode {
    let all = bench.kernels.len();
    bench.kernels.retain(|kernel| kernel.problem.is_none());
    if !bench.kernels.is_empty() {
        say!("{}", table::table(&bench));
    }
    let outputs = [&args.json, &args.spreads, &args.html, &args.document];
    let left = if outputs.iter().any(|path| path.is_some()) { "; files are left as they were" } else { "" };
    eprintln!("interrupted: {} of {all} kernels were measured{left}", bench.kernels.len());
    ExitCode::from(ENVIRONMENT)
}

/// What is measured: what is selected, and the user's own filters with what shows that they are measured
/// as they should be.
fn items(args: &Args, sources: &[Given]) -> Result<Vec<Item>, Failure> {
    let mut items = select(&args.measure, !sources.is_empty())?;
    let mut add = |more: Vec<Item>| {
        for item in more {
            if items.iter().all(|there| there.name != item.name) {
                items.push(item);
            }
        }
    };
    for source in sources {
        add(user::checks());
        add(user::items(source, &args.call)?);
    }
    Ok(items)
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    number.ok().filter(|number| *number >= 0.0).ok_or_else(|| "a number of per cent, such as 2%".into())
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
        Step::Wants(_) => {}
        Step::TemplateTrouble(why) => say(why.into()),
        Step::IsUp(kernel, jit) => {
            say(format!("{kernel} ({}) is up after {:.1} s", jit.name(), began.elapsed().as_secs_f64()));
        }
        Step::Measured(kernel, jit, name) => {
            taken.fetch_add(1, SeqCst);
            bar.inc(1);
            bar.set_message(format!("{kernel} {} {name}", jit.name()));
        }
        // What was under way at Ctrl-C was ended by it.
        Step::Done(_, Some(_)) if stop.load(SeqCst) => {}
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
