//! `atlas kernels`.

mod warm;

use super::{DEVIATES, ENVIRONMENT, Failure, interrupt};
use crate::cli::out::sayln;
use crate::guests::{self, Guests};
use crate::results::{ProbeResult, Timeline};
use crate::run::{FirstGuest, first_guest};
use atlas_vm::kernels::{
    Archive, Error, FetchEvent, FetchOptions, Kernel, Lock, Manifest, Proof, Store, Stored,
};
use atlas_vm::{Accel, Accelerator, BootOptions};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the kernels on this machine
    List {
        /// For machines
        #[arg(long)]
        json: bool,
    },
    /// Fetch kernels from an archive, boot each once, and keep what its probes say
    #[command(after_help = FETCH_EXAMPLES)]
    Fetch(Fetch),
    /// Make the templates that guests are cloned from, and ask their probes
    #[command(after_help = warm::EXAMPLES)]
    Warm(warm::Args),
    /// Hold every image against its recorded SHA-256
    Verify,
    /// Add an image of your own (bzImage, vmlinuz or .deb) and boot it once
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// The image, or a Debian package that holds one
        file: PathBuf,
        /// Its name in reports [default: its release]
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove a kernel from this machine, and its templates
    Remove {
        /// Its name or release
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Fetch {
    /// These series only
    #[arg(long, value_name = "SERIES")]
    kernel: Vec<String>,
    /// A group of the manifest
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Take the newest packages, whatever the lock says
    #[arg(long)]
    update: bool,
    /// Another archive than this machine's own: the address below which dists/ lies
    #[arg(long, value_name = "URL")]
    archive: Option<String>,
    /// The keys that sign that archive
    #[arg(long, value_name = "FILE", requires = "archive")]
    keyring: Option<PathBuf>,
    /// Believe that archive WITHOUT a signature
    #[arg(long, requires = "archive")]
    trust_unsigned: bool,
    /// Another manifest than the one built in
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Read this lock instead of the one built in, and write what was taken
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

const FETCH_EXAMPLES: &str = "\
Examples:
  atlas kernels fetch                                    the default kernels
  atlas kernels fetch --kernel 6.12                      one of them
  atlas kernels fetch --update --lock vm-images/kernels.lock
  atlas kernels fetch --group historic --archive file:///srv/old-debian --keyring keys.gpg";

const ADD_EXAMPLES: &str = "\
Examples:
  atlas kernels add arch/x86/boot/bzImage --name mine
  atlas kernels add linux-image-4.19.0-27-cloud-amd64_4.19.316-1_amd64.deb
  atlas run --kernel mine";

pub(super) fn main(command: Command) -> Result<ExitCode, Failure> {
    let store = Store::open()?;
    match command {
        Command::List { json } => list(&store, json),
        Command::Fetch(fetch) => fetch.main(&store),
        Command::Warm(args) => args.main(&store),
        Command::Verify => verify(&store),
        Command::Add { file, name } => add(&store, &file, name.as_deref()),
        Command::Remove { name } => {
            let removed = store.remove(&name)?;
            // Another name of the same image goes on using them.
            if store.list()?.iter().all(|kernel| kernel.sha256 != removed.sha256) {
                let templates = guests::templates(&store)?;
                let of_it =
                    templates.list().into_iter().filter(|template| template.release == removed.release);
                of_it.for_each(|template| templates.drop_key(&template.key));
            }
            sayln!("removed {} ({})", removed.name, removed.release);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(store: &Store, json: bool) -> Result<ExitCode, Failure> {
    let kernels = store.list()?;
    if json {
        sayln!("{}", serde_json::to_string_pretty(&kernels)?);
        return Ok(ExitCode::SUCCESS);
    }
    if kernels.is_empty() {
        eprintln!("no kernels yet: `atlas kernels fetch` fetches the default ones");
    }
    for kernel in &kernels {
        let verified = if store.verify(kernel).is_ok() { "verified" } else { "CHANGED ON DISK" };
        sayln!("{}, {verified}", row(kernel));
    }
    warm::list(store)?;
    Ok(ExitCode::SUCCESS)
}

fn row(kernel: &Stored) -> String {
    let size = kernel.size as f64 / f64::from(1 << 20);
    format!(
        "{:8} {:32} {size:5.1} MiB  {:28} {}",
        kernel.name,
        kernel.release,
        state(&kernel.proof),
        kernel.source
    )
}

fn state(proof: &Proof) -> String {
    match proof {
        Proof::NotYet => "not booted yet".into(),
        Proof::Booted { accelerator, cpu, .. } => {
            let cpu = cpu.split(" (").next().unwrap_or_default();
            format!("booted ({accelerator}, CPU {cpu})")
        }
        Proof::Failed { reason } => format!("does not boot: {}", reason.lines().next().unwrap_or_default()),
    }
}

fn verify(store: &Store) -> Result<ExitCode, Failure> {
    let mut status = ExitCode::SUCCESS;
    for kernel in store.list()? {
        match store.verify(&kernel) {
            Ok(()) => sayln!("{:8} {} as recorded", kernel.name, &kernel.sha256[..16]),
            Err(error) => {
                eprintln!("atlas: {error}");
                status = ExitCode::from(DEVIATES);
            }
        }
    }
    Ok(status)
}

fn add(store: &Store, file: &std::path::Path, name: Option<&str>) -> Result<ExitCode, Failure> {
    atlas_vm::version()?;
    let stop = interrupt::watch()?;
    let stored = store.add(file, name)?;
    eprintln!("{}: {}, boots for the first time", stored.name, stored.release);
    let proof = prove(store, &store.resolve_unproven(&stored)?);
    if stop.load(SeqCst) {
        store.take_back(&stored)?;
        eprintln!("interrupted: {} was not added", stored.name);
        return Ok(ExitCode::from(ENVIRONMENT));
    }
    store.prove(&stored.name, proof.clone())?;
    match proof {
        Proof::Failed { reason } => Err(Box::new(Error::NotProven { name: stored.name, reason })),
        proof => {
            sayln!("{}", row(&Stored { proof, ..stored }));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Boots a kernel and asks its probes. What guests of it are cloned from is left behind.
fn prove(store: &Store, kernel: &Kernel) -> Proof {
    let accelerator = match Accelerator::find(Accel::Auto, &kernel.path, Some(&store.root().join("kvm"))) {
        Ok(accelerator) => accelerator,
        Err(error) => return Proof::Failed { reason: error.to_string() },
    };
    let options = BootOptions { accelerator: accelerator.clone(), ..BootOptions::default() };
    let guests = match Guests::warm(options, store) {
        Ok(guests) => guests,
        Err(error) => return Proof::Failed { reason: error.to_string() },
    };
    // A proof is a boot, and no clone of what booted once.
    guests.forget(kernel);
    match first_guest(kernel, &guests, &mut |trouble| eprintln!("atlas: {trouble}")) {
        Ok(FirstGuest { machine, probes, .. }) => Proof::Booted {
            release: machine.hello().release.clone(),
            accelerator: accelerator.name().into(),
            cpu: machine.cpu().into(),
            probes: counted(&probes),
        },
        Err(reason) => Proof::Failed { reason },
    }
}

fn counted(probes: &[ProbeResult]) -> String {
    let of = |timeline| probes.iter().filter(|probe| probe.timeline == timeline).count();
    format!(
        "{} as mainline, {} backported, {} missing, {} unknown",
        of(Timeline::AsMainline),
        of(Timeline::Backported),
        of(Timeline::Missing),
        of(Timeline::Unknown)
    )
}

impl Fetch {
    fn main(self, store: &Store) -> Result<ExitCode, Failure> {
        atlas_vm::version()?;
        let stop = interrupt::watch()?;
        let manifest = match &self.manifest {
            Some(path) => Manifest::read(path)?,
            None => Manifest::embedded()?,
        };
        let mut lock = match &self.lock {
            Some(path) => Lock::read(path)?,
            None => Lock::embedded()?,
        };
        if self.trust_unsigned {
            eprintln!("warning: packages of this archive are taken without any signature");
        }
        let archive = self.archive.map(|address| Archive {
            address,
            keyring: self.keyring,
            trusted: self.trust_unsigned,
        });
        let options = FetchOptions { series: self.kernel, group: self.group, archive, update: self.update };
        let mut show = Show::new();
        let fetched =
            store.fetch(&manifest, &lock, &options, &mut |event| show.event(&event), &mut |kernel| {
                prove(store, kernel)
            });
        let stopped = stop.load(SeqCst);
        let errors = match fetched {
            // It has come to nothing for that reason.
            Err(_) if stopped => vec![],
            fetched => fetched?,
        };
        if let Some(path) = &self.lock {
            store.list()?.iter().for_each(|stored| lock.record(stored));
            lock.write(path)?;
        }
        for error in &errors {
            eprintln!("atlas: {error}");
        }
        if stopped {
            eprintln!("interrupted; the same command goes on with what is left");
            return Ok(ExitCode::from(ENVIRONMENT));
        }
        Ok(if errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DEVIATES) })
    }
}

/// Progress of a fetch: a bar on a terminal, a line a package elsewhere.
struct Show {
    bar: Option<ProgressBar>,
    package: String,
}

impl Show {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = "{prefix:>8} {bar:20} {bytes:>10}/{total_bytes:10} {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, package: String::new() }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn event(&mut self, event: &FetchEvent) {
        match event {
            FetchEvent::Lists => self.line("reading the archive's lists"),
            FetchEvent::Present { series } => self.line(&format!("{series}: there already")),
            FetchEvent::FellForward { series, locked, taken } => {
                self.line(&format!("{series}: {locked} has left the archive, taking {taken}"));
            }
            FetchEvent::Downloading { series, package, done, total } => {
                if self.package != *package {
                    self.package.clone_from(package);
                    self.line(&format!(
                        "{series}: downloading {package}, {:.1} MiB",
                        *total as f64 / f64::from(1 << 20)
                    ));
                }
                if let Some(bar) = &self.bar {
                    bar.set_prefix(series.clone());
                    bar.set_length(*total);
                    bar.set_position(*done);
                }
            }
            FetchEvent::Proving { series } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("{series} boots for the first time"));
                }
            }
            FetchEvent::Ready(stored) => self.line(&row(stored)),
        }
    }
}
