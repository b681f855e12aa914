//! `atlas kernels warm`, and the list of templates.

use super::super::each::on_each;
use super::super::place::{AccelChoice, accelerator, kernels};
use super::super::{DEVIATES, Failure, interrupt};
use crate::cli::out::sayln;
use crate::guests::{self, Guests};
use crate::run::first_guest;
use atlas_vm::BootOptions;
use atlas_vm::kernels::{Kernel, Store};
use atlas_vm::templates::ROOM;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A kernel: series, release, name in the store, or path to an image [default: all default ones]
    #[arg(long, value_name = "S|PATH")]
    kernel: Vec<String>,
    /// More words for the kernels' command lines
    #[arg(long, value_name = "KERNEL_ARGS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// What runs the guests
    #[arg(long, value_enum, default_value_t)]
    accel: AccelChoice,
    /// Drop all templates instead
    #[arg(long, conflicts_with_all = ["kernel", "append"])]
    drop: bool,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  atlas kernels warm                     all default kernels
  atlas kernels warm --kernel 6.12       one
  atlas kernels warm --drop              gives the disk back

Runs make the templates that they miss; `atlas kernels list` shows what is there.";

/// A size in MiB.
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The templates that are there, for people.
pub(super) fn list(store: &Store) -> Result<(), Failure> {
    let templates = guests::templates(store)?.list();
    if templates.is_empty() {
        return Ok(());
    }
    let all: u64 = templates.iter().map(|template| template.size).sum();
    sayln!(
        "\ntemplates: {}, which take {:.0} MiB of {:.0} at most",
        templates.len(),
        mebibytes(all),
        mebibytes(ROOM)
    );
    for template in templates {
        sayln!(
            "{:8} {:32} {:5.1} MiB  {}{}",
            template.kernel,
            template.release,
            mebibytes(template.size),
            template.key,
            if template.counts { "  counts instructions" } else { "" }
        );
    }
    Ok(())
}

impl Args {
    pub(super) fn main(self, store: &Store) -> Result<ExitCode, Failure> {
        let templates = guests::templates(store)?;
        if self.drop {
            templates.list().iter().for_each(|template| templates.drop_key(&template.key));
            return Ok(ExitCode::SUCCESS);
        }
        atlas_vm::version()?;
        let kernels = kernels(store, &self.kernel)?;
        let stop = interrupt::watch()?;
        let accelerator = accelerator(self.accel, store, &kernels)?;
        let options = BootOptions { accelerator, append: self.append, ..BootOptions::default() };
        Ok(warm(&kernels, &Guests::warm(options, store)?, &stop))
    }
}

fn warm(kernels: &[Kernel], guests: &Guests, stop: &AtomicBool) -> ExitCode {
    let warm = on_each(kernels, stop, |kernel| vec![is_warm(kernel, guests)]);
    let all = warm.len() == kernels.len() && warm.into_iter().all(|warm| warm);
    if all { ExitCode::SUCCESS } else { ExitCode::from(DEVIATES) }
}

/// Warms one kernel, and says how that went.
fn is_warm(kernel: &Kernel, guests: &Guests) -> bool {
    let start = Instant::now();
    let mut troubles = 0;
    let first = first_guest(kernel, guests, &mut |trouble| {
        troubles += 1;
        eprintln!("atlas: {trouble}");
    });
    let there = guests.templates.as_ref().is_some_and(|all| all.has(kernel, &guests.options));
    match first {
        Ok(first) if there => {
            let (release, took) = (&first.machine.hello().release, start.elapsed().as_secs_f64());
            sayln!("{:8} {release:32} {} probes, {took:.1} s", kernel.name, first.probes.len());
            true
        }
        Ok(_) => {
            eprintln!("atlas: {}: there is no template", kernel.name);
            false
        }
        Err(why) => {
            eprintln!("atlas: {}: {why}", kernel.name);
            false
        }
    }
}
