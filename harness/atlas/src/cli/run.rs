//! `atlas run`.

use super::outputs::{Outputs, write};
use super::place::{AccelChoice, accelerator, default_jobs, guests, kernels};
use super::resume::Earlier;
use super::{ENVIRONMENT, Failure, interrupt};
use crate::casefile::CaseFile;
use crate::cli::out::{say, sayln};
use crate::event::{Event, Sink, Wanted};
use crate::fold::Fold;
use crate::plan::{JitChoice, Plan, select};
use crate::progress::Progress;
use crate::report::{Format, render};
use crate::shard::Shard;
use crate::store::Writer;
use atlas_vm::BootOptions;
use atlas_vm::kernels::Store;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A kernel: series, release, name in the store, or path to an image [default: all default ones]
    #[arg(long, value_name = "S|PATH")]
    kernel: Vec<String>,
    /// Cases by glob over theme::case; a theme alone selects all of it [default: all]
    #[arg(long, value_name = "GLOB")]
    case: Vec<String>,
    /// Run the experiment of a case file, as `atlas fuzz` writes it, instead of the catalogue
    #[arg(long, value_name = "FILE", conflicts_with = "case")]
    experiment: Vec<PathBuf>,
    /// List the cases instead of running them
    #[arg(long)]
    list: bool,
    /// Take one share of the cases: the K-th of N, from 1; `atlas report --merge` puts them together
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    /// JIT settings to run with [default: both]
    #[arg(long, value_enum)]
    jit: Option<JitChoice>,
    /// More words for the kernels' command lines
    #[arg(long, value_name = "KERNEL_ARGS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// CPU model of the guests, in QEMU's words: `EPYC` is vulnerable to speculation, for one [default: what
    /// emulation can do, less what makes it slow]
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
    /// How many guests run at once [default: one a processor, bounded by memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Write the JSON report to a file, or to standard output with -
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Directory that keeps the results
    #[arg(long, value_name = "DIR", default_value = super::report::RESULTS)]
    out: PathBuf,
    /// Go on with the run whose results are in the directory: its cases on its kernels
    #[arg(long)]
    resume: bool,
    /// What runs the guests
    #[arg(long, value_enum, default_value_t)]
    accel: AccelChoice,
    /// How long one case may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// How often each case is asked; its worst verdict counts, and answers that differ make the status 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Talk over the serial line alone, without the shared window
    #[arg(long)]
    no_window: bool,
    /// Boot every guest, instead of cloning templates, which are made where there are none
    #[arg(long)]
    cold: bool,
    /// Add the cases that take the guest down on purpose, to see the harness notice
    #[arg(long)]
    faults: bool,
    #[command(flatten)]
    exit: super::exit::ExitArgs,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  atlas run                                        everything on every default kernel
  atlas run --kernel 5.10 --kernel 7.3 --jit off   two kernels, filters interpreted
  atlas run --case 'errno::*' --case kill          two themes
  atlas run --kernel ./bzImage --append nosmep     your own image
  atlas run --kernel 5.10 --cpu EPYC --case attach what filters do to mitigations of speculation
  atlas run --json - --quiet | jq .results[0]      for machines
  atlas run --experiment found.json                what a fuzz run found
  atlas run --shard 2/4                            every fourth case, from the second on
  atlas run --resume                               go on after an interruption
  atlas run --repeat 50 --case notify              is it the same each time?
  atlas run --fail-on new-deviation --baseline old.json
                                                   fail for what was not so before";

impl Args {
    /// The options that choose cases, of those that were given.
    fn selecting(&self) -> Vec<&'static str> {
        let given = [
            ("--case", !self.case.is_empty()),
            ("--experiment", !self.experiment.is_empty()),
            ("--faults", self.faults),
            ("--shard", self.shard.is_some()),
        ];
        given.into_iter().filter_map(|(name, given)| given.then_some(name)).collect()
    }
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let earlier = args.resume.then(|| Earlier::read(&args.out, args.repeat)).transpose()?;
    let selecting = args.selecting();
    let cases = if let Some(earlier) = earlier.as_ref().filter(|_| selecting.is_empty()) {
        earlier.cases()?
    } else if args.experiment.is_empty() {
        select(&args.case, args.faults)?
    } else {
        let files: Result<Vec<_>, _> = args.experiment.iter().map(|path| CaseFile::read(path)).collect();
        files?.into_iter().flat_map(CaseFile::into_cases).collect()
    };
    let cases = match args.shard {
        Some(shard) => shard.take(cases)?,
        None => cases,
    };
    if let Some(earlier) = &earlier {
        let advice = match &selecting[..] {
            ["--experiment", ..] => "give --experiment as it was given then".to_owned(),
            given => format!("leave {} out to go on with it", given.join(" and ")),
        };
        earlier.same_cases(&cases, &advice)?;
    }
    if args.list {
        for case in &cases {
            sayln!("{:44} {}", case.name, case.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let judge = args.exit.judge()?;
    atlas_vm::version()?;
    let store = Store::open()?;
    let kernels = match &earlier {
        Some(earlier) if args.kernel.is_empty() => earlier.kernels(&store)?,
        _ => kernels(&store, &args.kernel)?,
    };
    let wanted = Wanted { append: args.append, cpus: args.cpu.into_iter().collect() };
    let (jit, wanted) = match &earlier {
        Some(earlier) => {
            earlier.same_kernels(&kernels, "leave --kernel out to go on with it")?;
            (earlier.jit(args.jit)?, earlier.wanted(wanted)?)
        }
        None => (args.jit.unwrap_or_default(), wanted),
    };
    let shard = args.shard.or(earlier.as_ref().and_then(|earlier| earlier.shard));
    let (done, events) = earlier.map(|earlier| (earlier.done, earlier.events)).unwrap_or_default();
    // Outputs are opened before the work starts, so that a bad path fails at once.
    let mut writer = Writer::create(&args.out, args.resume)?;
    let _outputs = Outputs::open(args.json.iter())?;
    let stop = interrupt::watch()?;
    let accelerator = accelerator(args.accel, &store, &kernels)?;
    let mut options =
        BootOptions { accelerator, append: wanted.append, window: !args.no_window, ..BootOptions::default() };
    if !wanted.cpus.is_empty() {
        options.cpus = wanted.cpus;
    }
    let plan = Plan {
        kernels,
        cases,
        shard,
        jit,
        guests: guests(&store, args.cold, options)?,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
        limit: Duration::from_secs(args.limit.into()),
        repeat: args.repeat,
        done,
    };
    let mut fold = Fold::default();
    events.iter().for_each(|event| fold.take(event));
    let mut progress = Progress::new(args.quiet, args.repeat);
    crate::run::run(&plan, &stop, &mut |event: &Event| {
        writer.take(event);
        fold.take(event);
        progress.take(event);
    });
    let mut report = fold.report();
    let mut status = judge.put(&mut report);
    if stop.load(SeqCst) {
        status = ExitCode::from(ENVIRONMENT);
        report.exit.iter_mut().for_each(|exit| exit.status = ENVIRONMENT);
    }
    let kept = writer.finish();
    match &args.json {
        Some(path) => write(path, &render(&report, Format::Json)?)?,
        None => say!("{}", render(&report, Format::Terminal)?),
    }
    kept?;
    Ok(status)
}
