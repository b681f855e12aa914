//! From bytes to chunks of judged lines.

use crate::checker::Checker;
use crate::lines::{self, Line};
use crate::options::{AROUND, BESIDES};
use crate::verdict::Bad;
use crate::{Error, Options};
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Lines, in order, each an event or bad.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The first one's number.
    pub(crate) first: u64,
    pub(crate) lines: Vec<Result<Vec<u8>, Bad>>,
}

impl Chunk {
    /// The events.
    pub(crate) fn events(&self) -> Vec<&[u8]> {
        self.lines.iter().filter_map(|line| line.as_deref().ok()).collect()
    }
}

/// How many chunks may wait, before a tenant and behind it.
pub(crate) const WAITING: usize = 4;
/// How often the wish to stop is looked for while no line comes.
const LOOK: Duration = Duration::from_millis(50);

/// Starts to read. The thread is nobody's: it may wait for ever for a line that does not come.
pub(crate) fn read(
    from: impl Read + Send + 'static,
    most: usize,
) -> Result<Receiver<io::Result<Line>>, Error> {
    let (send, receive) = sync_channel(1024);
    let go = move || {
        let mut reader = BufReader::with_capacity(64 << 10, from);
        while let Some(line) = lines::next(&mut reader, most).transpose() {
            let failed = line.is_err();
            if send.send(line).is_err() || failed {
                return;
            }
        }
    };
    let spawned = std::thread::Builder::new().name("events".into()).spawn(go);
    spawned.map(|_| receive).map_err(|error| Error::Thread(error.to_string()))
}

/// Makes chunks of lines and hands them to `order` and to every tenant, until there are no more, or
/// nobody wants them, or `stop` is set.
pub(crate) fn distribute(
    lines: &Receiver<io::Result<Line>>,
    checker: &mut Checker<'_>,
    options: &Options,
    stop: &AtomicBool,
    order: &SyncSender<Result<Arc<Chunk>, Error>>,
    tenants: &[SyncSender<Arc<Chunk>>],
) {
    let mut first = 1;
    let mut held = None;
    loop {
        let chunk = match gather(lines, &mut held, options, stop) {
            Ok(raw) if raw.is_empty() => return,
            Ok(raw) => judge(raw, first, checker),
            Err(error) => Err(Error::Read(error)),
        };
        let chunk = chunk.map(Arc::new);
        let copy = chunk.as_ref().ok().cloned();
        if order.send(chunk).is_err() {
            return;
        }
        let Some(chunk) = copy else { return };
        first += chunk.lines.len() as u64;
        // A tenant whose thread is gone has said why.
        for tenant in tenants {
            let _ = tenant.send(chunk.clone());
        }
    }
}

/// Waits for a line, then takes what follows closely. Empty: there is no more.
fn gather(
    lines: &Receiver<io::Result<Line>>,
    held: &mut Option<Line>,
    options: &Options,
    stop: &AtomicBool,
) -> io::Result<Vec<Line>> {
    let most = options.limits.code - BESIDES;
    let (mut taken, mut size, mut last) = (Vec::new(), 0, Instant::now());
    while taken.len() < options.batch && !stop.load(Ordering::Relaxed) {
        let line = match held.take() {
            Some(line) => line,
            None => {
                let left = options.linger.saturating_sub(last.elapsed());
                match lines.recv_timeout(if taken.is_empty() { LOOK } else { left.min(LOOK) }) {
                    Ok(line) => line?,
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) if taken.is_empty() || last.elapsed() < options.linger => {
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
        };
        if let Line::Whole(bytes) = &line {
            size += bytes.len() + AROUND;
            if size > most && !taken.is_empty() {
                *held = Some(line);
                break;
            }
        }
        taken.push(line);
        last = Instant::now();
    }
    Ok(taken)
}

fn judge(raw: Vec<Line>, first: u64, checker: &mut Checker<'_>) -> Result<Chunk, Error> {
    let whole: Vec<&[u8]> = raw
        .iter()
        .filter_map(|line| match line {
            Line::Whole(bytes) => Some(bytes.as_slice()),
            Line::TooLong => None,
        })
        .collect();
    let mut judged = checker.check(&whole)?.into_iter();
    let lines = raw.into_iter().map(|line| match line {
        Line::TooLong => Err(Bad::TooLong),
        Line::Whole(bytes) => match judged.next() {
            Some(None) => Ok(bytes),
            Some(Some(bad)) => Err(bad),
            None => Err(Bad::Unreadable),
        },
    });
    Ok(Chunk { first, lines: lines.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_fits_a_request_and_no_line_is_lost_between_two() {
        let mut options =
            Options { batch: 10, line: 1000, linger: Duration::from_secs(9), ..Options::default() };
        options.limits.code = BESIDES + 2 * (1000 + AROUND);
        let (send, receive) = sync_channel(100);
        for n in 0..30_usize {
            send.send(Ok(Line::Whole(vec![b'x'; if n < 5 { 1000 } else { n }]))).unwrap();
        }
        drop(send);
        let (mut held, mut chunks, stop) = (None, Vec::new(), AtomicBool::new(false));
        loop {
            let chunk = gather(&receive, &mut held, &options, &stop).unwrap();
            if chunk.is_empty() {
                break;
            }
            chunks.push(chunk);
        }
        let sizes: Vec<usize> = chunks.iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 10, 10, 6]);
        let lengths = chunks.iter().flatten().map(|line| match line {
            Line::Whole(bytes) => bytes.len(),
            Line::TooLong => 0,
        });
        assert!(lengths.eq((0..30).map(|n| if n < 5 { 1000 } else { n })));
    }
}
