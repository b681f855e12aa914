//! A booted guest: asked, watched, and gone when dropped.

mod boot;

use crate::accel::Accelerator;
use crate::console::Console;
use crate::error::{Error, Lost, Reason};
use crate::initramfs;
use crate::line;
use crate::monitor::{Monitor, MonitorError};
use crate::qemu::{self, Plan, Qemu, Start};
use crate::talk::{Over, Talk};
use atlas_wire::{Hello, PROTOCOL, Request, Response, Wake, window};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// CPU models in the order they are tried. With ERMS kernels and C libraries copy and clear memory by
/// `rep movsb` and `rep stosb` (Intel SDM vol. 1, 7.3.9.3), which emulation does byte by byte: a quarter of
/// a run's time. FSRM, which QEMU has since (seen: 10.0), goes with it: 5.10 and 6.1 take it to mean that ERMS is there
/// too (arch/x86/lib/memmove_64.S, `__memmove`), write beyond what they move, and hang. With SMAP emulation keeps the kernel's pages
/// twice, for accesses to user space and for others (target/i386/cpu.h, `MMU_KSMAP_IDX`): a fortieth; and kernels built
/// without CONFIG_X86_SMAP (seen: a 3.8 and a RHEL 7 3.10) cannot start PID 1.
const CPUS: [&str; 2] = ["max,-erms,-fsrm,-smap", "qemu64"];
/// What the kernel is told in every guest. A panic restarts at once, which ends QEMU; without
/// `earlyprintk` a damaged image would hang and not say why, as its decompressor has no other console. The
/// tests of its ciphers (crypto/testmgr.c) take a kernel a third of a boot under emulation.
const COMMAND_LINE: &str =
    "console=ttyS0 earlyprintk=ttyS0 quiet panic=-1 reboot=t rdinit=/init cryptomgr.notests";
/// What it is told besides where time is not counted in instructions: not to clear every page that it hands out
/// (mm/page_alloc.c, `init_on_alloc`, which Debian switches on), a fifteenth of a run's time. To kernels before 5.3
/// it is a variable of PID 1's environment, which nobody reads. The other word is for the guest, which moves its own
/// code onto huge pages, a thirtieth; to the kernel it is a module's that it does not have (init/main.c
/// unknown_bootoption).
const FASTER: &str = "init_on_alloc=0 atlas.huge=1";
/// How many of the console's last lines go with a loss.
const LAST_LINES: usize = 40;
/// How long a guest that is up may take to say who it is.
const GREETING: Duration = Duration::from_secs(20);
/// How long QEMU may take to save or restore a state, without what it takes to copy memory. It takes a tenth of a second.
const TRANSFER: Duration = Duration::from_secs(20);

/// How a guest is booted.
#[derive(Clone, Debug)]
pub struct BootOptions {
    /// What runs it.
    pub accelerator: Accelerator,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
    /// Whether to offer the shared window. Without it everything goes over the frame line.
    pub window: bool,
    /// Whether the guest's clocks count instructions: its time-stamp counter goes up by one with each.
    /// Needs emulation.
    pub icount: bool,
    /// How long a boot may take on one CPU model. On the first the unpacked kernel has a quarter of it before.
    pub limit: Duration,
    /// CPU models, in QEMU's words, in the order they are tried.
    pub cpus: Vec<String>,
    /// The program that runs guests: a path, or a name that is looked for in `PATH`.
    pub qemu: PathBuf,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self {
            accelerator: Accelerator::tcg(),
            append: Vec::new(),
            window: true,
            icount: false,
            limit: Duration::from_secs(60),
            cpus: CPUS.map(String::from).to_vec(),
            qemu: qemu::PROGRAM.into(),
        }
    }
}

impl BootOptions {
    /// The kernel's command line.
    pub(crate) fn words(&self) -> String {
        let mut words = vec![COMMAND_LINE.to_owned()];
        words.extend(self.window.then(qemu::window_words));
        words.extend((!self.icount).then(|| FASTER.to_owned()));
        words.extend(self.append.iter().cloned());
        words.join(" ")
    }
}

/// A booted guest.
///
/// It may move between threads. When it is dropped, or this process ends in whatever way, QEMU is
/// killed.
pub struct Machine {
    qemu: Qemu,
    console: Console,
    talk: Talk,
    hello: Hello,
    cpu: String,
    monitor: Option<UnixStream>,
    lost: Option<Lost>,
}

impl Machine {
    /// Starts a clone: a guest with a copy of this memory and in this state, on this CPU model (in QEMU's words,
    /// and as reports show it). It has a window, a wall clock and entropy of its own.
    ///
    /// # Errors
    /// [`Error`]; where QEMU does not take the state, [`Error::Clone`].
    pub(crate) fn wake(
        options: &BootOptions,
        (cpu, shown): (&str, &str),
        memory: &File,
        state: &File,
    ) -> Result<Self, Error> {
        let mut machine = Self::start(Start::Clone(memory), options, cpu)?;
        shown.clone_into(&mut machine.cpu);
        let problem = match machine.monitored(|monitor| monitor.restore(state)) {
            Ok(()) => match machine.awaken() {
                Ok(()) => return Ok(machine),
                Err(lost) => lost.to_string(),
            },
            Err(error) => {
                let complaint = machine.lose(Over::Closed).reason;
                format!("{error}; {complaint}")
            }
        };
        Err(Error::Clone(problem))
    }

    /// Gives a guest time and entropy of its own, and hears who it is.
    pub(crate) fn awaken(&mut self) -> Result<(), Lost> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut seed = [0; 32];
        let entropy = File::open("/dev/urandom").and_then(|mut device| device.read_exact(&mut seed));
        if let Err(error) = entropy {
            let why = format!("the host has no entropy for it: {error}");
            return Err(self.lose(Over::Lost(Reason::Protocol(why))));
        }
        self.meet(&Request::Wake(Wake { unix_ns: now.as_nanos() as u64, seed }))
    }

    /// Stops the guest, writes its state, has its memory copied, which is in the file that it was booted with, and lets it
    /// go on, whatever came of that.
    pub(crate) fn save(
        &mut self,
        state: &File,
        copy: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let saved = self.monitored(|monitor| monitor.save(state, copy));
        saved.map_err(|error| Error::Template(error.to_string()))
    }

    fn monitored<T>(
        &mut self,
        what: impl FnOnce(&mut Monitor) -> Result<T, MonitorError>,
    ) -> Result<T, MonitorError> {
        let gone = || std::io::Error::other("it has none");
        let line = self.monitor.take().ok_or_else(gone);
        let line = line.map_err(|source| MonitorError::Line { command: "greeting", source })?;
        what(&mut Monitor::begin(line, TRANSFER)?)
    }

    /// Starts QEMU and the threads that watch it.
    fn start(start: Start<'_>, options: &BootOptions, cpu: &str) -> Result<Self, Error> {
        let system = |what| move |source| Error::System { what, source };
        let mut window = None;
        if options.window {
            let file = qemu::anonymous(window::TOKEN, window::LENGTH);
            window = Some(file.map_err(system("making a file for the window"))?);
        }
        let words = options.words();
        let plan = Plan {
            program: &options.qemu,
            start,
            command_line: &words,
            accelerator: options.accelerator.name(),
            icount: options.icount,
            cpu,
        };
        let (qemu, lines) = Qemu::start(&plan, &initramfs::get()?.file, window.as_ref())?;
        let console = Console::default();
        let (teller, events) = line::events();
        let frames = lines.frames.try_clone().map_err(system("duplicating the frame line"))?;
        let (killer, other_killer) = (qemu.killer(), qemu.killer());
        line::watch_console(lines.console, console.clone(), teller.clone(), move || killer.kill());
        line::watch_frames(frames, teller, move || other_killer.kill());
        let talk = Talk::new(lines.frames, events, window);
        let (hello, cpu) = (Hello::default(), cpu.to_owned());
        Ok(Self { qemu, console, talk, hello, cpu, monitor: lines.monitor, lost: None })
    }

    /// Waits until the guest is up and has said who it is.
    fn greet(&mut self, limit: Duration) -> Result<(), Lost> {
        self.talk.wait_ready(limit).map_err(|over| self.lose(over))?;
        self.meet(&Request::Hello)
    }

    /// Asks who the guest is.
    fn meet(&mut self, request: &Request) -> Result<(), Lost> {
        let wrong = match self.request(request, GREETING)? {
            Response::Hello(hello) if hello.protocol == PROTOCOL => {
                self.talk.agree_on_window(hello.window);
                self.hello = hello;
                return Ok(());
            }
            Response::Hello(Hello { protocol, .. }) => {
                format!(
                    "it speaks version {protocol}, and this build version {PROTOCOL}: build both from one checkout"
                )
            }
            other => format!("its greeting is {other:?}"),
        };
        Err(self.lose(Over::Lost(Reason::Protocol(wrong))))
    }

    /// What the guest said of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The CPU model it runs on, with the reason where that is not the first choice.
    #[must_use]
    pub fn cpu(&self) -> &str {
        &self.cpu
    }

    /// QEMU's process id.
    #[must_use]
    pub fn qemu_pid(&self) -> u32 {
        self.qemu.id()
    }

    /// The console so far: its first 16 KiB and its last 64 KiB, readable.
    #[must_use]
    pub fn console(&self) -> String {
        self.console.text()
    }

    /// The console's last lines that are not empty, at most this many.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> String {
        self.console.last_lines(count)
    }

    /// Asks, and waits for the answer at most this long. An answer that comes back is one to this
    /// request: as many outcomes as items, of kinds that they can have.
    ///
    /// # Errors
    /// [`Lost`]: the guest is gone, has been killed, and every later request gives the same.
    pub fn request(&mut self, request: &Request, limit: Duration) -> Result<Response, Lost> {
        match &self.lost {
            Some(lost) => Err(lost.clone()),
            None => self.talk.ask(request, limit).map_err(|over| self.lose(over)),
        }
    }

    fn lose(&mut self, over: Over) -> Lost {
        let reason = match over {
            Over::Lost(Reason::Timeout(limit)) => match self.qemu.complaint() {
                Some(said) => Reason::Stuck { limit, said },
                None => Reason::Timeout(limit),
            },
            Over::Lost(reason) => reason,
            Over::Closed => self.qemu.why_it_ended(),
        };
        self.qemu.end();
        let lost = Lost { reason, console: self.console.last_lines(LAST_LINES) };
        self.lost = Some(lost.clone());
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_last_word_and_counted_kernels_do_all_they_do() {
        let append = vec!["init_on_alloc=1".to_owned()];
        let options = BootOptions { append, ..BootOptions::default() };
        assert!(
            options.words().ends_with("init_on_alloc=0 atlas.huge=1 init_on_alloc=1"),
            "{}",
            options.words()
        );
        let counted = BootOptions { icount: true, ..BootOptions::default() };
        let told = |word| counted.words().contains(word);
        assert!(!FASTER.split(' ').any(told), "{}", counted.words());
    }
}
