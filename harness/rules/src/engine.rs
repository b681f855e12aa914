//! The engine: one reader, one checker, a thread for each tenant, and one writer that keeps the order.

use crate::checker::{self, Checker};
use crate::desk::{self, Desk};
use crate::intake::{self, Chunk, WAITING};
use crate::{Error, Options, Record, Summary, Tally, Tenant, Verdict};
use mruby_runner::Sandbox;
use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;

/// Tenants, their sandboxes, and the checker's.
#[derive(Debug)]
pub struct Engine {
    tenants: Vec<Tenant>,
    options: Options,
    sandboxes: Vec<Sandbox>,
    checker: Sandbox,
}

impl Engine {
    /// Makes every tenant's sandbox. Do this early, while the program is small and has one thread.
    ///
    /// # Errors
    /// No tenant, two of one name, an option out of its range, or no sandbox.
    pub fn new(tenants: Vec<Tenant>, options: Options) -> Result<Self, Error> {
        options.check()?;
        if tenants.is_empty() {
            return Err(Error::Nobody);
        }
        let mut names = HashSet::new();
        if let Some(twice) = tenants.iter().find(|tenant| !names.insert(&tenant.name)) {
            return Err(Error::Tenant { name: twice.name.clone(), why: "the name is taken" });
        }
        let sandboxes = tenants.iter().map(|_| desk::sandbox(&options)).collect::<Result<_, _>>()?;
        let checker = checker::sandbox(&options)?;
        Ok(Self { tenants, options, sandboxes, checker })
    }

    /// Has every tenant decide on every event, and gives the records to `sink` in order: by event, then
    /// by tenant, as many at a time as are done. Ends with the events, or soon after `stop` is set: lines
    /// that were taken by then are decided on, in full.
    ///
    /// # Errors
    /// Where the events cannot be read, the sink fails, or the runner cannot run. Rules cannot cause one.
    pub fn run(
        mut self,
        events: impl Read + Send + 'static,
        stop: &AtomicBool,
        sink: impl FnMut(&[Record<'_>]) -> io::Result<()>,
    ) -> Result<Summary, Error> {
        let began = Instant::now();
        let (options, names) = (&self.options, &self.tenants);
        let no_thread = |error: io::Error| Error::Thread(error.to_string());
        let lines = intake::read(events, options.line)?;
        let (order, ordered) = sync_channel(WAITING);
        let ended = thread::scope(|scope| {
            let (mut chunks, mut verdicts) = (Vec::new(), Vec::new());
            for (tenant, sandbox) in self.tenants.iter().zip(&mut self.sandboxes) {
                let (send_chunk, take_chunk) = sync_channel(WAITING);
                let (send_verdicts, take_verdicts) = sync_channel(WAITING);
                chunks.push(send_chunk);
                verdicts.push(take_verdicts);
                let desk = Desk::new(tenant, options);
                let serve = move || desk.serve(sandbox, &take_chunk, &send_verdicts);
                let name = format!("tenant {}", tenant.name);
                thread::Builder::new().name(name).spawn_scoped(scope, serve).map_err(no_thread)?;
            }
            let checker = &mut self.checker;
            let distribute = move || {
                let mut checker = Checker::new(checker);
                intake::distribute(&lines, &mut checker, options, stop, &order, &chunks);
            };
            thread::Builder::new()
                .name("intake".into())
                .spawn_scoped(scope, distribute)
                .map_err(no_thread)?;
            // By value: where this ends early, so do the channels, and with them every thread.
            write(names, ordered, verdicts, sink)
        });
        let mut summary = ended?;
        summary.interrupted = stop.load(Ordering::Relaxed);
        summary.took(began.elapsed());
        Ok(summary)
    }
}

/// Takes chunk after chunk, and for each every tenant's verdicts.
#[expect(clippy::needless_pass_by_value, reason = "dropping the receivers ends the threads")]
fn write(
    tenants: &[Tenant],
    ordered: Receiver<Result<Arc<Chunk>, Error>>,
    verdicts: Vec<Receiver<Result<Vec<Verdict>, Error>>>,
    mut sink: impl FnMut(&[Record<'_>]) -> io::Result<()>,
) -> Result<Summary, Error> {
    let tally = |tenant: &Tenant| Tally { tenant: tenant.name.clone(), ..Tally::default() };
    let mut summary = Summary { tenants: tenants.iter().map(tally).collect(), ..Summary::default() };
    for chunk in ordered {
        let chunk = chunk?;
        let mut decided = Vec::with_capacity(verdicts.len());
        for tenant in &verdicts {
            let ended = |_| Error::Thread("a tenant's thread ended early".into());
            decided.push(tenant.recv().map_err(ended)??);
        }
        let mut decided: Vec<_> = decided.iter().map(|verdicts| verdicts.iter()).collect();
        let bad: Vec<_> = chunk.lines.iter().map(|line| line.as_ref().err().map(Verdict::bad)).collect();
        let mut records = Vec::with_capacity(bad.len() * tenants.len());
        for (seq, bad) in (chunk.first..).zip(&bad) {
            summary.events += 1;
            if let Some(verdict) = bad {
                summary.bad_lines += 1;
                records.push(Record { seq, tenant: None, verdict });
                continue;
            }
            for ((decided, tenant), tally) in decided.iter_mut().zip(tenants).zip(&mut summary.tenants) {
                let verdict = decided.next().ok_or_else(|| Error::Thread("a verdict is missing".into()))?;
                tally.count(seq, verdict);
                records.push(Record { seq, tenant: Some(&tenant.name), verdict });
            }
        }
        sink(&records).map_err(Error::Write)?;
    }
    Ok(summary)
}
