//! Results on disk: one JSON event a line, written as it happens, so that a killed run keeps what
//! it had.

use crate::event::{Event, Sink};
use crate::fold::Fold;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The file of events in a directory of results.
const EVENTS: &str = "events.jsonl";

/// How long a line may be, in bytes. The first one has the whole catalogue, and that is less than a hundredth of it.
const LINE: u64 = 64 << 20;

/// What can go wrong with stored results.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Nothing is stored there.
    #[error("there are no results in {0}; `atlas run --out {0}` makes some")]
    Nothing(PathBuf),
    /// A line is no event.
    #[error("{path}, line {line}: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Another run writes there.
    #[error("another run is writing to {0}; give this one a directory of its own with --out")]
    InUse(PathBuf),
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { what, path, source }
}

/// Writes events as they come. It holds the directory until it is dropped.
pub struct Writer {
    file: File,
    path: PathBuf,
    /// The first failure: the run goes on, and says at its end that its results are not whole.
    problem: Option<StoreError>,
}

impl Writer {
    /// Makes the directory and its file before the work starts, so that a bad path fails at once.
    ///
    /// # Errors
    /// [`StoreError::File`] and [`StoreError::InUse`].
    pub fn create(directory: &Path, resume: bool) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(failed("cannot make", directory))?;
        let path = directory.join(EVENTS);
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed("cannot write", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::InUse(directory.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(failed("cannot lock", &path)(error)),
        }
        if resume {
            trim(&mut file, &path)?;
        } else if file.metadata().is_ok_and(|meta| meta.is_file()) {
            file.set_len(0).map_err(failed("cannot empty", &path))?;
        }
        Ok(Self { file, path, problem: None })
    }

    /// The first failure to write, if there was one.
    pub fn finish(self) -> Result<(), StoreError> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }
}

/// A killed run may have left half a line at the end.
fn trim(file: &mut File, path: &Path) -> Result<(), StoreError> {
    let mut whole = 0;
    each_line(BufReader::new(&*file), path, |_, line| {
        whole += line.len() as u64;
        Ok(())
    })?;
    file.set_len(whole).map_err(failed("cannot write", path))?;
    io::Seek::seek(file, io::SeekFrom::End(0)).map_err(failed("cannot write", path))?;
    Ok(())
}

impl Sink for Writer {
    fn take(&mut self, event: &Event) {
        if self.problem.is_some() {
            return;
        }
        let written = serde_json::to_string(event)
            .map_err(io::Error::other)
            .and_then(|line| self.file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            self.problem = Some(failed("results are not whole: cannot write", &self.path)(error));
        }
    }
}

/// Replays stored events into a sink.
///
/// # Errors
/// [`StoreError`]. Half a line at the end is what a killed run leaves, and is passed over.
pub fn replay(directory: &Path, sink: &mut dyn Sink) -> Result<(), StoreError> {
    let path = directory.join(EVENTS);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::Nothing(directory.to_owned()));
        }
        Err(error) => return Err(failed("cannot read", &path)(error)),
    };
    let mut events = 0;
    each_line(BufReader::new(file), &path, |line, text| {
        let event: Event = serde_json::from_slice(text).map_err(|error| StoreError::Damaged {
            path: path.clone(),
            line,
            problem: error.to_string(),
        })?;
        sink.take(&event);
        events += 1;
        Ok(())
    })?;
    if events == 0 { Err(StoreError::Nothing(directory.to_owned())) } else { Ok(()) }
}

/// Goes through the lines that are whole, with their numbers from 1 and the newline.
fn each_line(
    mut reader: impl BufRead,
    path: &Path,
    mut take: impl FnMut(usize, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        reader.by_ref().take(LINE + 1).read_until(b'\n', &mut text).map_err(failed("cannot read", path))?;
        if text.len() as u64 > LINE {
            let problem = format!("it is longer than {} MiB", LINE >> 20);
            return Err(StoreError::Damaged { path: path.to_owned(), line, problem });
        }
        if text.last() != Some(&b'\n') {
            break;
        }
        take(line, &text)?;
    }
    Ok(())
}

/// The report of stored results.
///
/// # Errors
/// As [`replay`].
pub fn load(directory: &Path) -> Result<crate::results::Report, StoreError> {
    let mut fold = Fold::default();
    replay(directory, &mut fold)?;
    Ok(fold.report())
}
