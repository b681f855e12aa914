//! QEMU's monitor: the few commands of QMP that save a guest and wake it again.
//!
//! The protocol is a JSON object a line: commands, their answers, and events between them (QEMU's
//! docs/interop/qmp-spec). Descriptors go beside a line, as ancillary data.

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// The longest line that is read. QEMU's own are shorter by far.
const LONGEST: u64 = 1 << 20;
/// Under what name QEMU keeps the descriptor of the pipe that the state goes to or comes from.
const STATE: &str = "state";

/// A monitor that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MonitorError {
    /// The line to QEMU broke, or time was over.
    #[error("QEMU's monitor does not answer `{command}`: {source}")]
    Line {
        /// The command.
        command: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The memory could not be copied.
    #[error("its memory cannot be kept: {0}")]
    Memory(io::Error),
    /// QEMU refuses.
    #[error("QEMU refuses `{command}`: {why}")]
    Refused {
        /// The command.
        command: &'static str,
        /// In its words.
        why: String,
    },
}

/// A conversation with QEMU's monitor.
pub(crate) struct Monitor {
    line: BufReader<UnixStream>,
    deadline: Instant,
}

impl Monitor {
    /// Begins the conversation. Everything that is asked has to be answered before the time is over.
    pub(crate) fn begin(line: UnixStream, limit: Duration) -> Result<Self, MonitorError> {
        let mut monitor = Self { line: BufReader::new(line), deadline: Instant::now() + limit };
        monitor.read("greeting")?;
        monitor.ask("qmp_capabilities", &json!({}))?;
        // What lies in shared memory is in the file already; the end of a transfer is told, not asked for.
        let capabilities = ["x-ignore-shared", "events"];
        let on = capabilities.map(|capability| json!({ "capability": capability, "state": true }));
        monitor.ask("migrate-set-capabilities", &json!({ "capabilities": on }))?;
        Ok(monitor)
    }

    /// Stops the guest, writes its state, but for the memory, which is in a file and is copied then, and lets the guest go
    /// on, whatever came of that.
    pub(crate) fn save(
        &mut self,
        state: &File,
        copy: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), MonitorError> {
        self.ask("stop", &json!({}))?;
        let saved = self.write(state).and_then(|()| {
            let began = Instant::now();
            let copied = copy().map_err(MonitorError::Memory);
            // QEMU does nothing meanwhile.
            self.deadline += began.elapsed();
            copied
        });
        let went_on = self.ask("cont", &json!({}));
        saved.and(went_on.map(|_| ()))
    }

    /// Has QEMU write the state of the guest that stands. The end of the pipe shows that QEMU is done with it: what it
    /// tells of the transfer comes before, and a guest that goes on in between ends QEMU (its runstate_set).
    fn write(&mut self, state: &File) -> Result<(), MonitorError> {
        const COMMAND: &str = "migrate";
        let failed = |source| MonitorError::Line { command: COMMAND, source };
        let (mut from, to) = io::pipe().map_err(failed)?;
        let mut file = state.try_clone().map_err(failed)?;
        let (done, written) = channel();
        thread::spawn(move || done.send(io::copy(&mut from, &mut file)));
        self.transfer(COMMAND, to)?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let written = written.recv_timeout(left).map_err(|_| failed(ErrorKind::TimedOut.into()))?;
        written.map(|_| ()).map_err(failed)
    }

    /// Reads a state and lets the guest go on.
    pub(crate) fn restore(&mut self, state: &File) -> Result<(), MonitorError> {
        const COMMAND: &str = "migrate-incoming";
        let failed = |source| MonitorError::Line { command: COMMAND, source };
        let (from, mut to) = io::pipe().map_err(failed)?;
        let mut file = state.try_clone().map_err(failed)?;
        // Where QEMU does not read to the end it says so itself.
        thread::spawn(move || io::copy(&mut file, &mut to));
        self.transfer(COMMAND, from)?;
        self.ask("cont", &json!({})).map(|_| ())
    }

    /// Has QEMU write a state into an end of a pipe or read one from it, and waits for the end of that.
    fn transfer(&mut self, command: &'static str, end: impl AsRawFd) -> Result<(), MonitorError> {
        self.hand_over(&end)?;
        // The last one to hold it has to be QEMU, or the pipe never ends.
        drop(end);
        self.ask(command, &json!({ "uri": format!("fd:{STATE}") }))?;
        self.transferred(command)
    }

    /// Gives QEMU an end of a pipe, which every QEMU takes. A file it does not: 11.1 refuses one that comes as a
    /// descriptor, and 7.2 does not know the `file:` that 11.1 wants instead.
    fn hand_over(&mut self, end: &impl AsRawFd) -> Result<(), MonitorError> {
        let line = json!({ "execute": "getfd", "arguments": { "fdname": STATE } }).to_string() + "\n";
        let descriptors = [end.as_raw_fd()];
        let beside = [ControlMessage::ScmRights(&descriptors)];
        let bytes = [IoSlice::new(line.as_bytes())];
        let socket = self.line.get_ref().as_raw_fd();
        let sent = sendmsg::<()>(socket, &bytes, &beside, MsgFlags::MSG_NOSIGNAL, None);
        let failed = |source| MonitorError::Line { command: "getfd", source };
        let rest = sent.map_err(|errno| failed(errno.into()))?;
        self.line.get_mut().write_all(&line.as_bytes()[rest..]).map_err(failed)?;
        self.answer("getfd").map(|_| ())
    }

    fn ask(&mut self, command: &'static str, arguments: &Value) -> Result<Value, MonitorError> {
        let line = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        let sent = self.line.get_mut().write_all(line.as_bytes());
        sent.map_err(|source| MonitorError::Line { command, source })?;
        self.answer(command)
    }

    fn answer(&mut self, command: &'static str) -> Result<Value, MonitorError> {
        loop {
            let mut message = self.read(command)?;
            if let Some(error) = message.get("error") {
                let why = error.get("desc").and_then(Value::as_str).unwrap_or("without a reason").to_owned();
                return Err(MonitorError::Refused { command, why });
            }
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }

    /// Waits for the event that says how a transfer ended.
    fn transferred(&mut self, command: &'static str) -> Result<(), MonitorError> {
        loop {
            let message = self.read(command)?;
            if message.get("event").and_then(Value::as_str) != Some("MIGRATION") {
                continue;
            }
            match message.pointer("/data/status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some(status @ ("failed" | "cancelled")) => {
                    let why = format!("the transfer {status}");
                    return Err(MonitorError::Refused { command, why });
                }
                _ => {}
            }
        }
    }

    fn read(&mut self, command: &'static str) -> Result<Value, MonitorError> {
        self.next_line().map_err(|source| MonitorError::Line { command, source })
    }

    fn next_line(&mut self) -> io::Result<Value> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.line.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        self.line.by_ref().take(LONGEST).read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "QEMU has ended"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    use std::io::IoSliceMut;
    use std::os::fd::{FromRawFd, RawFd};
    use std::os::unix::fs::{FileExt, FileTypeExt};
    use std::sync::mpsc::Receiver;

    /// A monitor that answers each line of ours with the next of these.
    fn monitor(answers: &'static [&'static str]) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut line = BufReader::new(theirs);
            line.get_mut().write_all(b"{\"QMP\": {}}\n").unwrap();
            for answer in answers {
                line.read_line(&mut String::new()).unwrap();
                line.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        ours
    }

    const FINE: &str = "{\"return\": {}}\n";
    const LIMIT: Duration = Duration::from_secs(5);
    const DONE: &str = "{\"return\": {}}\n{\"event\": \"MIGRATION\", \"data\": {\"status\": \"active\"}}\n\
         {\"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}}\n";

    #[test]
    fn events_between_do_not_disturb() {
        const STOP: &str = "{\"event\": \"STOP\"}\n{\"return\": {}}\n";
        let mut monitor = Monitor::begin(monitor(&[FINE, FINE, STOP, FINE, DONE, FINE]), LIMIT).unwrap();
        monitor.save(&tempfile::tempfile().unwrap(), || Ok(())).unwrap();
    }

    /// What a QEMU does that writes this as its state, and what tells when it may let its guest go on: it takes a
    /// descriptor beside the third line.
    fn writing(state: &'static [u8]) -> (UnixStream, Receiver<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (written, is_written) = channel();
        thread::spawn(move || {
            let mut line = &theirs;
            line.write_all(b"{\"QMP\": {}}\n").unwrap();
            let mut bytes = [0; 4096];
            for _ in 0..3 {
                let _ = line.read(&mut bytes).unwrap();
                line.write_all(FINE.as_bytes()).unwrap();
            }
            let mut room = nix::cmsg_space!(RawFd);
            let mut slices = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::empty();
            let message = recvmsg::<()>(theirs.as_raw_fd(), &mut slices, Some(&mut room), flags).unwrap();
            let Some(ControlMessageOwned::ScmRights(given)) = message.cmsgs().unwrap().next() else {
                panic!("no descriptor came")
            };
            // SAFETY: it came just now and belongs to nobody else.
            let mut pipe = unsafe { File::from_raw_fd(given[0]) };
            assert!(pipe.metadata().unwrap().file_type().is_fifo());
            line.write_all(FINE.as_bytes()).unwrap();
            let _ = line.read(&mut [0; 4096]).unwrap();
            pipe.write_all(state).unwrap();
            drop(pipe);
            line.write_all(DONE.as_bytes()).unwrap();
            let _ = line.read(&mut [0; 4096]).unwrap();
            let _ = written.send(());
            let _ = line.write_all(FINE.as_bytes());
        });
        (ours, is_written)
    }

    #[test]
    fn a_state_comes_through_a_pipe_into_its_file_and_the_guest_stands_while_its_memory_is_copied() {
        let file = tempfile::tempfile().unwrap();
        let (line, went_on) = writing(b"a state");
        let copy = || {
            assert!(went_on.recv_timeout(Duration::from_millis(50)).is_err(), "it goes on meanwhile");
            Ok(())
        };
        Monitor::begin(line, LIMIT).unwrap().save(&file, copy).unwrap();
        went_on.recv().unwrap();
        let mut kept = [0; 7];
        assert_eq!((file.metadata().unwrap().len(), file.read_at(&mut kept, 0).unwrap()), (7, 7));
        assert_eq!(&kept, b"a state");
    }

    #[test]
    fn refusals_and_failures_are_told_in_its_words() {
        const NO: &str = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not today\"}}\n";
        const FAILED: &str =
            "{\"return\": {}}\n{\"event\": \"MIGRATION\", \"data\": {\"status\": \"failed\"}}\n";
        let null = File::open("/dev/null").unwrap();
        let mut refusing = Monitor::begin(monitor(&[FINE, FINE, NO]), LIMIT).unwrap();
        let error = refusing.save(&null, || Ok(())).unwrap_err().to_string();
        assert_eq!(error, "QEMU refuses `stop`: not today");
        let (file, (line, _went_on)) = (tempfile::tempfile().unwrap(), writing(b"a state"));
        let mut full = Monitor::begin(line, LIMIT).unwrap();
        let error = full.save(&file, || Err(ErrorKind::StorageFull.into())).unwrap_err().to_string();
        assert_eq!(error, "its memory cannot be kept: no storage space");
        let mut failing = Monitor::begin(monitor(&[FINE, FINE, FINE, FAILED]), LIMIT).unwrap();
        let error = failing.restore(&null).unwrap_err().to_string();
        assert_eq!(error, "QEMU refuses `migrate-incoming`: the transfer failed");
    }

    #[test]
    fn silence_and_an_end_are_errors() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let silent = Monitor::begin(ours, Duration::from_millis(20)).err().unwrap();
        assert!(matches!(silent, MonitorError::Line { command: "greeting", .. }));
        let gone = Monitor::begin(monitor(&[]), LIMIT).err().unwrap();
        assert!(gone.to_string().starts_with("QEMU's monitor does not answer"), "{gone}");
    }
}
