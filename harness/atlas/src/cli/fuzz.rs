//! `atlas fuzz`.

use super::place::{AccelChoice, accelerator, default_jobs, guests, kernels};
use super::{DEVIATES, ENVIRONMENT, Failure, interrupt};
use crate::cli::out::sayln;
use crate::fuzz::{self, Budget, Event, Finding, Plan, Reach, Tally};
use crate::plan::JitChoice;
use atlas_properties::Property;
use atlas_vm::BootOptions;
use atlas_vm::kernels::Store;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Trials on each kernel where nothing else is said.
const TRIALS: u64 = 2000;
/// The most trials of a property, and the highest number of the first.
const MOST: u64 = 1 << 48;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A kernel: series, release, name in the store, or path to an image [default: all default ones]
    #[arg(long, value_name = "S|PATH")]
    kernel: Vec<String>,
    /// A property by name [default: all]
    #[arg(long, value_name = "NAME")]
    property: Vec<String>,
    /// List the properties instead of trying them
    #[arg(long)]
    list: bool,
    /// Go on so long on each kernel, such as 10m
    #[arg(long = "for", value_name = "TIME", value_parser = some_time, conflicts_with = "cases")]
    time: Option<Duration>,
    /// Try so many trials on each kernel [default: 2000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    cases: Option<u64>,
    /// What the trials are made from [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Number of the first trial of each property
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MOST))]
    first: u64,
    /// JIT settings to run with
    #[arg(long, value_enum, default_value_t)]
    jit: JitChoice,
    /// How many guests run at once [default: one a processor, bounded by memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// What runs the guests
    #[arg(long, value_enum, default_value_t)]
    accel: AccelChoice,
    /// Boot every guest, instead of cloning templates, which are made where there are none
    #[arg(long)]
    cold: bool,
    /// Directory for case files of what is found; made when something is
    #[arg(long, value_name = "DIR", default_value = "atlas-findings")]
    out: PathBuf,
    /// Write the summary as JSON to standard output
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  atlas fuzz                                             2000 trials on each default kernel
  atlas fuzz --for 10m --kernel 7.3                      one kernel for ten minutes
  atlas fuzz --property checker --cases 50000            one property
  atlas fuzz --seed 7 --first 1234 --cases 1 --property data --kernel 6.12
                                                         one trial again
  atlas run --experiment atlas-findings/FILE             what was found, on every kernel

Exit status: 0 every property held on every kernel, 1 something was found, lost or not run, 2 usage,
environment, or interrupted.";

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    if args.list {
        for property in atlas_properties::all() {
            sayln!("{:12} {}", property.name, property.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let properties = properties(&args.property)?;
    if args.out.exists() && !args.out.is_dir() {
        return Err(format!("--out {}: it is there and no directory", args.out.display()).into());
    }
    atlas_vm::version()?;
    let store = Store::open()?;
    let kernels = kernels(&store, &args.kernel)?;
    let stop = interrupt::watch()?;
    let accelerator = accelerator(args.accel, &store, &kernels)?;
    let plan = Plan {
        kernels,
        properties,
        seed: args.seed.unwrap_or_else(rand_seed),
        first: args.first,
        budget: args.time.map_or(Budget::Trials(args.cases.unwrap_or(TRIALS)), Budget::Time),
        regressions: Vec::new(),
        jit: args.jit,
        guests: guests(&store, args.cold, BootOptions { accelerator, ..BootOptions::default() })?,
        jobs: args.jobs.map_or_else(default_jobs, usize::from),
    };
    let mut summary = Summary::new(args.quiet, args.out);
    summary.line(&format!("seed {}", plan.seed));
    let reach = fuzz::run(&plan, &stop, &mut |event| summary.take(event));
    let stopped = stop.load(SeqCst);
    if !stopped {
        summary.miss(&plan);
    }
    summary.finish(&plan, reach, stopped, args.json);
    if let Some(failure) = summary.failure {
        return Err(failure);
    }
    Ok(match (stopped, summary.bad) {
        (true, _) => ExitCode::from(ENVIRONMENT),
        (false, true) => ExitCode::from(DEVIATES),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn properties(names: &[String]) -> Result<Vec<&'static Property>, Failure> {
    if names.is_empty() {
        return Ok(atlas_properties::all().iter().collect());
    }
    let of = |name: &String| {
        atlas_properties::named(name)
            .ok_or_else(|| format!("no property `{name}`; `atlas fuzz --list` shows them all").into())
    };
    names.iter().map(of).collect()
}

fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("that is no time at all".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

/// Another seed each time, short enough to be typed.
fn rand_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ u64::from(std::process::id()) << 20
}

/// Shows what happens and keeps what was found.
struct Summary {
    bars: Option<MultiProgress>,
    legs: BTreeMap<String, ProgressBar>,
    quiet: bool,
    out: PathBuf,
    done: BTreeMap<String, Tally>,
    found: Vec<Finding>,
    problems: Vec<String>,
    bad: bool,
    failure: Option<Failure>,
    reach: Reach,
    start: Instant,
    shown: Instant,
}

impl Summary {
    fn new(quiet: bool, out: PathBuf) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        let now = Instant::now();
        Self {
            bars,
            legs: BTreeMap::new(),
            quiet,
            out,
            done: BTreeMap::new(),
            found: Vec::new(),
            problems: Vec::new(),
            bad: false,
            failure: None,
            reach: Reach::default(),
            start: now,
            shown: now,
        }
    }

    fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                // A line that cannot be shown is only a line of progress.
                let _ = bars.println(text);
            }
            None if !self.quiet => eprintln!("{text}"),
            None => {}
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Booted { kernel, release } => {
                self.done.insert(kernel.clone(), Tally::default());
                match &self.bars {
                    Some(bars) => {
                        let style = ProgressStyle::with_template("{prefix:>10} {spinner} {wide_msg}");
                        let bar = bars.add(ProgressBar::new_spinner()).with_prefix(kernel.clone());
                        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                        bar.enable_steady_tick(Duration::from_millis(200));
                        self.legs.insert(kernel.clone(), bar);
                    }
                    None => self.line(&format!("{kernel}: {release} is up")),
                }
            }
            Event::Progress { kernel, tally, reach } => {
                self.reach = *reach;
                if let Some(bar) = self.legs.get(kernel) {
                    bar.set_message(text(tally, self.reach));
                } else if self.shown.elapsed() > Duration::from_secs(10) {
                    self.shown = Instant::now();
                    self.line(&format!("{kernel}: {}", text(tally, self.reach)));
                }
                self.done.insert(kernel.clone(), tally.clone());
            }
            Event::Finished { kernel, tally } => {
                if let Some(bar) = self.legs.get(kernel) {
                    bar.finish_with_message(text(tally, self.reach));
                } else {
                    self.line(&format!("{kernel}: {}", text(tally, self.reach)));
                }
                self.done.insert(kernel.clone(), tally.clone());
                self.bad |= tally.all_broken() > 0 || tally.lost > 0;
            }
            Event::Lost { kernel, why } => {
                self.line(&format!("{kernel}: guest lost, {why}"));
                self.bad = true;
            }
            Event::TemplateTrouble { why, .. } => self.line(why),
            Event::NotRun { kernel, why } => {
                self.problem(format!("{kernel}: not run: {why}"));
            }
            Event::Found(finding) => self.keep(finding),
        }
    }

    /// Tells of kernels on which nothing was tried, and nothing says why.
    fn miss(&mut self, plan: &Plan) {
        for kernel in &plan.kernels {
            let head = format!("{}: ", kernel.name);
            let tried = self.done.get(&kernel.name).is_some_and(|tally| tally.trials() > 0);
            if !tried && !self.problems.iter().any(|problem| problem.starts_with(&head)) {
                self.problem(format!("{head}not run: it came to no trial"));
            }
        }
    }

    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
        self.bad = true;
    }

    fn keep(&mut self, finding: &Finding) {
        self.bad = true;
        let name = format!(
            "{}-{}-{}-{}.json",
            finding.property,
            finding.kernel.replace('/', "_"),
            finding.seed,
            finding.number
        );
        let path = self.out.join(name);
        let kept = std::fs::create_dir_all(&self.out)
            .map_err(Failure::from)
            .and_then(|()| finding.case_file().write(&path).map_err(Failure::from));
        match kept {
            Ok(()) => self.line(&format!("{}kept as {}\n", finding.text, path.display())),
            Err(failure) => {
                // What was found is not lost with its file.
                eprintln!("{}", finding.text);
                self.failure = Some(failure);
            }
        }
        self.found.push(finding.clone());
    }

    fn finish(&self, plan: &Plan, reach: Reach, stopped: bool, json: bool) {
        let experiments: u64 = self.done.values().map(|tally| tally.experiments).sum();
        if json {
            let found: Vec<_> = self.found.iter().map(Finding::case_file).collect();
            let kernels: BTreeMap<_, _> = self
                .done
                .iter()
                .map(|(kernel, tally)| {
                    let Tally { judged, experiments, attached, accepted, broken, lost, .. } = tally;
                    let rate = tally.rate().round();
                    (
                        kernel,
                        json!({ "trials": judged, "experiments": experiments, "per_second": rate,
                        "attached": attached, "accepted": accepted, "broken": broken, "lost": lost }),
                    )
                })
                .collect();
            let summary = json!({ "format": 1, "seed": plan.seed, "first": plan.first, "complete": !stopped,
                "kernels": kernels, "problems": self.problems, "found": found,
                "opcodes": reach.opcodes, "actions": reach.actions });
            sayln!("{summary:#}");
            return;
        }
        for problem in &self.problems {
            sayln!("{problem}");
        }
        let properties: Vec<&str> = plan.properties.iter().map(|property| property.name).collect();
        sayln!(
            "{}{experiments} experiments on {} kernels in {:.0} s; properties: {}; {} of {} opcodes and {} of {} actions reached; {} found{}",
            if stopped { "interrupted after " } else { "" },
            self.done.len(),
            self.start.elapsed().as_secs_f64(),
            properties.join(", "),
            reach.opcodes.0,
            reach.opcodes.1,
            reach.actions.0,
            reach.actions.1,
            self.found.len(),
            if self.found.is_empty() { String::new() } else { format!(", kept in {}", self.out.display()) },
        );
    }
}

fn text(tally: &Tally, reach: Reach) -> String {
    format!(
        "{} trials, {} experiments, {:.0} a second, {} of {} filters accepted ({} %), \
         {} of {} opcodes and {} of {} actions reached, {} broken, {} guests lost",
        tally.trials(),
        tally.experiments,
        tally.rate(),
        tally.accepted,
        tally.attached,
        tally.accepted_percent(),
        reach.opcodes.0,
        reach.opcodes.1,
        reach.actions.0,
        reach.actions.1,
        tally.all_broken(),
        tally.lost
    )
}
