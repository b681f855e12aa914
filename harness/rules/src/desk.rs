//! A tenant's desk: its sandbox, its session, its strikes.

use crate::intake::Chunk;
use crate::verdict::{self, Reason, Strike, Verdict};
use crate::{Error, Options, Tenant};
use mruby_runner::{Ending, Error as RunnerError, Request, Sandbox, Session};
use serde_json::Value;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

const CODE: &str = include_str!("../ruby/rule.rb");

/// What an evaluation of events brought.
enum Asked {
    /// An answer for each event.
    Answers(Vec<Result<Verdict, Reason>>),
    /// None, for this reason.
    Nothing(Reason),
    /// The rule did not load.
    Unloaded(Reason),
}

/// What a tenant's thread works with.
pub(crate) struct Desk<'a> {
    tenant: &'a Tenant,
    options: &'a Options,
    strikes: u32,
    /// Events in one evaluation, at most. One for good after a batch that failed though each of its
    /// events, alone, did not: otherwise a rule could waste its limits on batches and never be struck.
    batch: usize,
}

/// A sandbox for a tenant.
pub(crate) fn sandbox(options: &Options) -> Result<Sandbox, Error> {
    let mut builder = Sandbox::builder().policy(options.policy).limits(options.limits.clone());
    for (name, function) in &options.natives {
        builder = builder.native(name, *function);
    }
    Ok(builder.build()?)
}

impl<'a> Desk<'a> {
    pub(crate) fn new(tenant: &'a Tenant, options: &'a Options) -> Self {
        Self { tenant, options, strikes: 0, batch: options.batch }
    }

    /// Decides on chunks until there are no more, or nobody listens. An error is the last word.
    pub(crate) fn serve(
        mut self,
        sandbox: &mut Sandbox,
        chunks: &Receiver<Arc<Chunk>>,
        verdicts: &SyncSender<Result<Vec<Verdict>, Error>>,
    ) {
        let mut session = sandbox.session();
        let mut loaded = false;
        for chunk in chunks {
            let events = chunk.events();
            let mut decided = Vec::with_capacity(events.len());
            // Up to here events go one by one, since a batch with them failed.
            let (mut alone, mut before) = (0, self.strikes);
            while decided.len() < events.len() && !self.is_quarantined() {
                let at = decided.len();
                let many = if at < alone { 1 } else { self.batch.min(events.len() - at) };
                match self.ask(&mut session, &mut loaded, &events[at..at + many]) {
                    Err(error) => {
                        let _ = verdicts.send(Err(error));
                        return;
                    }
                    Ok(Asked::Answers(answers)) => {
                        decided.extend(answers.into_iter().map(|answer| match answer {
                            _ if self.is_quarantined() => Verdict::Quarantined,
                            Ok(verdict) => verdict,
                            Err(reason) => self.strike(reason, false),
                        }));
                    }
                    Ok(Asked::Unloaded(reason)) => {
                        decided.push(self.strike(reason, true));
                        drop(session);
                        session = sandbox.session();
                    }
                    Ok(Asked::Nothing(reason)) if many == 1 => decided.push(self.strike(reason, false)),
                    Ok(Asked::Nothing(_)) => {
                        (alone, before) = (at + many, self.strikes);
                        // The events come again: a state that has seen them would count them twice.
                        drop(session);
                        session = sandbox.session();
                    }
                }
                if alone > 0 && decided.len() >= alone {
                    if self.strikes == before {
                        self.batch = 1;
                    }
                    alone = 0;
                }
            }
            decided.resize(events.len(), Verdict::Quarantined);
            if self.is_quarantined() {
                drop(session);
                session = sandbox.session();
            }
            if verdicts.send(Ok(decided)).is_err() {
                return;
            }
        }
    }

    fn is_quarantined(&self) -> bool {
        self.strikes >= self.options.strikes
    }

    fn strike(&mut self, reason: Reason, loading: bool) -> Verdict {
        self.strikes += 1;
        let (strikes, quarantined) = (self.strikes, self.is_quarantined());
        Verdict::Strike(Strike { reason, loading, strikes, quarantined })
    }

    /// One evaluation. A zygote that is lost is made anew, once: no fault of the rule's.
    fn ask(&self, session: &mut Session<'_>, loaded: &mut bool, events: &[&[u8]]) -> Result<Asked, Error> {
        match self.try_ask(session, loaded, events) {
            Err(RunnerError::Zygote { .. }) => Ok(self.try_ask(session, loaded, events)?),
            asked => Ok(asked?),
        }
    }

    fn try_ask(
        &self,
        session: &mut Session<'_>,
        loaded: &mut bool,
        events: &[&[u8]],
    ) -> Result<Asked, RunnerError> {
        *loaded &= session.is_alive();
        if !*loaded {
            // What is ours comes last, so that a rule does not replace it by mistake.
            for code in [self.tenant.code.as_str(), CODE] {
                let outcome = session.eval(code)?;
                if !matches!(outcome.ending, Ending::Value { .. }) {
                    return Ok(Asked::Unloaded(Reason::of(&outcome.ending)));
                }
            }
            *loaded = true;
        }
        // The checker has said of each line that it is one value, so the commas are ours.
        let input = [b"[", events.join(b",".as_slice()).as_slice(), b"]"].concat();
        let outcome = session.eval(Request::new("__rules(INPUT)").input_text(input))?;
        Ok(match outcome.ending {
            Ending::Value { json: Some(Value::Array(items)), .. } if items.len() == events.len() => {
                let said = items.into_iter().map(|item| verdict::said(item, self.options.line));
                match said.collect() {
                    Some(answers) => Asked::Answers(answers),
                    None => Asked::Nothing(Reason::Broken { why: "answers of the wrong shape".into() }),
                }
            }
            Ending::Value { json: Some(_), .. } => {
                Asked::Nothing(Reason::Broken { why: "answers of the wrong number".into() })
            }
            ending => Asked::Nothing(Reason::of(&ending)),
        })
    }
}
