//! Progress of a run: bars on a terminal, plain lines elsewhere.

use crate::event::{Event, Sink};
use crate::results::Verdict;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shows how a run goes on, on standard error.
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
    legs: BTreeMap<String, Leg>,
    quiet: bool,
    /// How often each case is asked: what is counted is repetitions.
    repeat: u32,
}

struct Leg {
    bar: ProgressBar,
    start: Instant,
    /// Whether a guest has been up.
    up: bool,
    counts: BTreeMap<Verdict, usize>,
}

impl Progress {
    /// Bars where standard error is a terminal, lines elsewhere, nothing when quiet.
    pub(crate) fn new(quiet: bool, repeat: u32) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { bars, legs: BTreeMap::new(), quiet, repeat }
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

    fn leg(&mut self, kernel: &str) -> &mut Leg {
        let bars = self.bars.clone();
        self.legs.entry(kernel.to_owned()).or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
            let bar = bars.map_or(bar, |bars| {
                let bar = bars.add(ProgressBar::new(0));
                let style = ProgressStyle::with_template("{prefix:>10} {bar:20} {pos:>4}/{len:4} {wide_msg}");
                if let Ok(style) = style {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(Duration::from_millis(200));
                bar
            });
            bar.set_prefix(kernel.to_owned());
            Leg { bar, start: Instant::now(), up: false, counts: BTreeMap::new() }
        })
    }
}

fn counted(counts: &BTreeMap<Verdict, usize>) -> String {
    counts.iter().map(|(verdict, count)| format!("{count} {}", verdict.name())).collect::<Vec<_>>().join(", ")
}

impl Sink for Progress {
    fn take(&mut self, event: &Event) {
        match event {
            Event::RunStarted { host, kernels, cases, .. } => {
                self.line(&format!("{}; {}", host.qemu, host.kvm));
                let each = if self.repeat > 1 { format!(", {} times each", self.repeat) } else { "".into() };
                self.line(&format!("{} kernels, {} cases{each}", kernels.len(), cases.len()));
            }
            Event::KernelBooting { kernel } => {
                let leg = self.leg(kernel);
                if !leg.up {
                    leg.bar.set_message("boots");
                }
            }
            Event::KernelBooted { kernel, release, accelerator, cpu } => {
                let leg = self.leg(kernel);
                // Further guests are others' helpers, or come in place of lost ones.
                if std::mem::replace(&mut leg.up, true) {
                    return;
                }
                leg.bar.set_message("is probed");
                let took = leg.start.elapsed().as_secs_f64();
                let text = format!("{kernel}: {release} is up after {took:.1} s, {accelerator}, CPU {cpu}");
                if self.bars.is_none() {
                    self.line(&text);
                }
            }
            Event::KernelProbed { kernel, total, .. } => {
                let length = *total as u64 * u64::from(self.repeat);
                let leg = self.leg(kernel);
                leg.bar.set_length(length);
                leg.bar.set_message("");
            }
            Event::CaseFinished(result) => {
                let repeat = self.repeat;
                let leg = self.leg(&result.kernel);
                *leg.counts.entry(result.verdict).or_default() += 1;
                leg.bar.inc(repeat.into());
                leg.bar.set_message(result.case.clone());
                if result.verdict.fails() || result.flaky() {
                    let first = result.note.lines().next().unwrap_or_default().to_owned();
                    self.line(&format!(
                        "{}: {} {} {} {}: {first}",
                        result.kernel,
                        result.verdict.name(),
                        result.case,
                        result.abi,
                        result.jit.name()
                    ));
                }
            }
            Event::TemplateTrouble { trouble, .. } => self.line(trouble),
            Event::GuestLost { kernel, reason, .. } => self.line(&format!("{kernel}: guest lost, {reason}")),
            Event::KernelFinished { kernel } => {
                let leg = self.leg(kernel);
                leg.bar.finish_with_message(counted(&leg.counts));
                let text = format!(
                    "{kernel}: {} in {:.1} s",
                    counted(&leg.counts),
                    leg.start.elapsed().as_secs_f64()
                );
                if self.bars.is_none() {
                    self.line(&text);
                }
            }
            Event::RunFinished { complete: false } => {
                self.line("interrupted; what was there is kept, --resume goes on");
            }
            Event::RunFinished { complete: true } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Work;
    use crate::results::Jit;
    use atlas_model::Abi;
    use atlas_model::traits::Traits;

    #[test]
    fn what_is_counted_is_repetitions() {
        let mut progress = Progress::new(true, 5);
        let (kernel, probes) = ("6.12".to_owned(), Vec::new());
        progress.take(&Event::KernelProbed { kernel: kernel.clone(), jit: String::new(), total: 3, probes });
        let case = crate::plan::select(&["errno::value".into()], false).unwrap()[0];
        let result =
            Work::prepare(case, Abi::X86_64, &Traits::newest()).not_run(&kernel, Jit::On, "no guest");
        progress.take(&Event::CaseFinished(Box::new(result)));
        let bar = &progress.legs[&kernel].bar;
        assert_eq!((bar.position(), bar.length()), (5, Some(15)));
    }
}
