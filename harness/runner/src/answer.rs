//! What the master makes of a worker's frames and of its end. It believes nothing, and bounds everything.

use crate::frame::{Decoder, Fields, Kind};
use crate::outcome::killer;
use crate::signals::FAULTS;
use crate::vm::Answer;
use crate::worker::Step;
use crate::{Ending, Error, ForbiddenCall, Limit, Limits, Policy, Usage};
use nix::errno::Errno;

/// An answer as it comes.
#[derive(Debug, Default)]
pub(crate) struct Coming {
    decoder: Decoder,
    pub(crate) ready: bool,
    pub(crate) stdout: Vec<u8>,
    inspect: Vec<u8>,
    json: Vec<u8>,
    class: Vec<u8>,
    message: Vec<u8>,
    backtrace: Vec<u8>,
    place: (u32, u32),
    /// What ended it, as the worker says.
    last: Option<Last>,
    pub(crate) memory: u64,
    pub(crate) instructions: u64,
    /// Whether the worker stamps its steps, and the stamps: four by its set-up, two by its answer.
    timed: bool,
    pub(crate) stamps: ([u64; 4], [u64; 2]),
}

#[derive(Clone, Debug, PartialEq)]
enum Last {
    Answer(Answer),
    Limit(Limit),
    Forbidden(ForbiddenCall),
    Fault(i32),
    Unready(Step, Errno),
}

/// Why the worker need not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Limit(Limit),
    Broken(String),
}

impl Coming {
    /// From a worker that is new, or ready already: a session's second evaluation and later.
    pub(crate) fn from_worker(ready: bool, timed: bool) -> Self {
        Self { ready, timed, ..Self::default() }
    }

    /// Takes bytes.
    pub(crate) fn take(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), Stop> {
        self.decoder.push(bytes);
        let mut decoder = std::mem::take(&mut self.decoder);
        let done = loop {
            match decoder.next() {
                Ok(Some((kind, payload))) => {
                    if let Err(stop) = self.frame(kind, payload, limits) {
                        break Err(stop);
                    }
                }
                Ok(None) => break Ok(()),
                Err(why) => break Err(Stop::Broken(why)),
            }
        };
        self.decoder = decoder;
        done
    }

    /// Whether the worker has said its last word.
    pub(crate) fn is_whole(&self) -> bool {
        self.last.is_some()
    }

    fn frame(&mut self, kind: Kind, payload: &[u8], limits: &Limits) -> Result<(), Stop> {
        let broken = |why: &str| Err(Stop::Broken(why.into()));
        if self.last.is_some() {
            return broken("a frame after the last one");
        }
        match kind {
            // Set-up is over: whoever says so now is the code.
            Kind::Ready | Kind::Unready if self.ready => return broken("ready twice"),
            Kind::Ready | Kind::Unready | Kind::Forbidden | Kind::Fault => {}
            _ if !self.ready => return broken("an answer before it was ready"),
            _ => {}
        }
        let text = match kind {
            Kind::Stdout => &mut self.stdout,
            Kind::Inspect => &mut self.inspect,
            Kind::Json => &mut self.json,
            Kind::Class => &mut self.class,
            Kind::Message => &mut self.message,
            Kind::Backtrace => &mut self.backtrace,
            _ => {
                return if self.fixed(kind, payload).is_some() {
                    Ok(())
                } else {
                    broken("a frame that is misshapen")
                };
            }
        };
        // What has come within the limit is kept; what is beyond ends the worker. An exception's own
        // texts have room even where nothing may be printed.
        let most = if kind == Kind::Stdout { limits.output } else { limits.output.max(4096) };
        let room = most - text.len();
        text.extend_from_slice(&payload[..payload.len().min(room)]);
        if payload.len() > room { Err(Stop::Limit(Limit::Output)) } else { Ok(()) }
    }

    /// A frame of fixed shape.
    fn fixed(&mut self, kind: Kind, payload: &[u8]) -> Option<()> {
        let mut fields = Fields(payload);
        match kind {
            Kind::Ready => {
                self.ready = true;
                if self.timed {
                    self.stamps.0 = fields.u64s()?;
                }
            }
            Kind::Place => self.place = (fields.u32()?, fields.u32()?),
            Kind::End => {
                self.last = Some(Last::Answer(Answer::of(fields.u8()?)?));
                (self.instructions, self.memory) = (fields.u64()?, fields.u64()?);
                if self.timed {
                    self.stamps.1 = fields.u64s()?;
                }
            }
            Kind::Limit => {
                let limit = match fields.u8()? {
                    0 => Limit::Instructions,
                    1 => Limit::Depth,
                    _ => return None,
                };
                (self.instructions, self.memory) = (fields.u64()?, fields.u64()?);
                self.last = Some(Last::Limit(limit));
            }
            Kind::Forbidden => {
                let (number, arch, ip) = (fields.u32()? as i32, fields.u32()?, fields.u64()?);
                let call = ForbiddenCall::new(number, arch, fields.u64s()?, ip, fields.u32()?);
                self.last = Some(Last::Forbidden(call));
            }
            Kind::Fault => {
                let signal = fields.u32()? as i32;
                self.last = Some(Last::Fault(FAULTS.contains(&signal).then_some(signal)?));
            }
            Kind::Unready => {
                let step = Step::of(fields.u8()?)?;
                self.last = Some(Last::Unready(step, Errno::from_raw(fields.u32()? as i32)));
            }
            _ => return None,
        }
        fields.0.is_empty().then_some(())
    }

    /// What all of it comes to. `status` is the worker's wait status, if it has ended; `stop` why the
    /// master ended it, if it did.
    pub(crate) fn ending(
        &self,
        policy: Policy,
        limits: &Limits,
        status: Option<i32>,
        stop: Option<Stop>,
    ) -> Result<Ending, Error> {
        let limit = |limit: Limit| Ending::Limit { limit, value: limits.value(limit) };
        match stop {
            Some(Stop::Limit(reached)) => return Ok(limit(reached)),
            Some(Stop::Broken(why)) => return Ok(Ending::Broken { why }),
            None => {}
        }
        let signal = status.filter(|status| libc::WIFSIGNALED(*status)).map(|status| libc::WTERMSIG(status));
        if let Some(signal) = signal {
            return Ok(match signal {
                libc::SIGXCPU => limit(Limit::Cpu),
                _ if signal == killer(policy) => Ending::Forbidden { call: None },
                _ => Ending::Crashed { signal },
            });
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(match &self.last {
            None if self.decoder.is_torn() => Ending::Broken { why: "it ended within a frame".into() },
            None => Ending::Broken { why: "it ended without an answer".into() },
            Some(Last::Unready(step, errno)) => return Err(unready(*step, *errno)),
            Some(Last::Limit(reached)) => limit(*reached),
            Some(Last::Forbidden(_)) if policy != Policy::Diagnose => {
                Ending::Broken { why: "it named a call, which nothing in it does under this policy".into() }
            }
            Some(Last::Forbidden(call)) => Ending::Forbidden { call: Some(call.clone()) },
            Some(Last::Fault(signal)) => Ending::Crashed { signal: *signal },
            Some(Last::Answer(Answer::NoMemory)) => limit(Limit::Memory),
            Some(Last::Answer(Answer::TooDeep)) => limit(Limit::Depth),
            Some(Last::Answer(Answer::Syntax)) => {
                let (line, column) = self.place;
                Ending::Syntax { line, column, message: text(&self.message) }
            }
            Some(Last::Answer(Answer::Exception)) => Ending::Exception {
                class: text(&self.class),
                message: text(&self.message),
                backtrace: text(&self.backtrace).lines().map(str::to_owned).collect(),
            },
            Some(Last::Answer(Answer::Value)) => {
                let json = match self.json.as_slice() {
                    [] => None,
                    bytes => match serde_json::from_slice(bytes) {
                        Ok(json) => Some(json),
                        Err(error) => {
                            return Ok(Ending::Broken { why: format!("its JSON is none: {error}") });
                        }
                    },
                };
                Ending::Value { inspect: text(&self.inspect), json }
            }
        })
    }

    /// What it used, as far as the worker says.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            memory: self.memory,
            instructions: self.instructions,
            output: self.stdout.len() as u64,
            ..Usage::default()
        }
    }
}

fn unready(step: Step, errno: Errno) -> Error {
    match step {
        Step::NoNewPrivs | Step::Load => Error::NoSeccomp { what: step.what(), errno },
        Step::Canary => Error::NotFiltered { why: "the canary call was answered by the kernel".into() },
        _ => Error::Setup { step: step.what(), errno },
    }
}
