//! Requests in, answers out.

use crate::link::Link;
use crate::{measure, program};
use atlas_edge::stage::{Stage, end_code};
use atlas_edge::{supervise, sys};
use atlas_model::observation::End;
use atlas_wire::frame::{Kind, MAX_INLINE};
use atlas_wire::{Fact, Hello, Item, Outcome, PROTOCOL, Request, Response, decode, encode};
use std::time::Duration;

/// The longest an item may take, whatever the host says.
const LONGEST: Duration = Duration::from_secs(120);
/// Where the JIT is switched.
const JIT: &str = "/proc/sys/net/core/bpf_jit_enable";

/// Serves until the line breaks, and gives the reason.
pub(crate) fn forever(link: &mut Link) -> String {
    let stage = match Stage::new() {
        Ok(stage) => stage,
        Err(errno) => return format!("no memory for facts: errno {}", -errno),
    };
    if let Err(problem) = link.send(Kind::Ready, 0, &[]) {
        return problem;
    }
    loop {
        let (id, payload) = match link.receive() {
            Ok(request) => request,
            Err(problem) => return problem,
        };
        let response = match decode(&payload) {
            Ok(request) => answer(&request, link, &stage),
            Err(error) => Response::Refused(error.to_string()),
        };
        let mut payload = encode(&response).unwrap_or_default();
        if payload.len() > MAX_INLINE {
            let refusal = Response::Refused(format!("the answer has {} bytes", payload.len()));
            payload = encode(&refusal).unwrap_or_default();
        }
        if let Err(problem) = link.send(Kind::Response, id, &payload) {
            return problem;
        }
    }
}

fn answer(request: &Request, link: &Link, stage: &Stage) -> Response {
    match request {
        Request::Hello => Response::Hello(hello(link)),
        Request::Wake(wake) => match crate::wake::wake(wake) {
            Ok(()) => Response::Hello(hello(link)),
            Err(problem) => Response::Refused(problem),
        },
        Request::Run { jit, limit_ms, items } => {
            if let Some(on) = *jit
                && let Err(problem) = switch_jit(on)
            {
                return Response::Refused(problem);
            }
            let (limit, close) = (bounded(*limit_ms), link.descriptors());
            Response::Ran(items.iter().map(|item| carry_out(item, limit, stage, &close)).collect())
        }
        Request::Sweep { jit, limit_ms, sweep } => {
            if let Some(on) = *jit
                && let Err(problem) = switch_jit(on)
            {
                return Response::Refused(problem);
            }
            match atlas_edge::sweep::carry_out(sweep, bounded(*limit_ms), &link.descriptors()) {
                Ok(swept) => Response::Swept(swept),
                Err(problem) => Response::Refused(problem),
            }
        }
        Request::Measure(asked) => {
            if let Some(on) = asked.jit
                && let Err(problem) = switch_jit(on)
            {
                return Response::Refused(problem);
            }
            Response::Measured(measure::carry_out(asked, bounded(asked.limit_ms), &link.descriptors()))
        }
        Request::Put(part) => program::put(part).map_or_else(Response::Refused, Response::Stored),
        Request::Trace(asked) => {
            if let Some(on) = asked.jit
                && let Err(problem) = switch_jit(on)
            {
                return Response::Refused(problem);
            }
            program::trace(asked, bounded(asked.limit_ms), &link.descriptors())
                .map_or_else(Response::Refused, Response::Traced)
        }
    }
}

fn bounded(limit_ms: u32) -> Duration {
    Duration::from_millis(limit_ms.into()).min(LONGEST)
}

fn hello(link: &Link) -> Hello {
    // SAFETY: all-zero is a valid utsname, and uname fills it with NUL-terminated strings.
    let names = unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        libc::uname(&raw mut names);
        names
    };
    let text = |field: &[libc::c_char]| {
        let bytes: Vec<u8> = field.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let cpuinfo = sys::read_file("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    Hello {
        protocol: PROTOCOL,
        release: text(&names.release),
        version: text(&names.version),
        machine: text(&names.machine),
        cpu: model.map(|rest| rest.trim_start_matches(['\t', ' ', ':']).to_owned()).unwrap_or_default(),
        jit: sys::read_file(JIT).map(|value| value.trim().to_owned()),
        window: link.has_window(),
    }
}

fn switch_jit(on: bool) -> Result<(), String> {
    let wanted = if on { "1" } else { "0" };
    let now = std::fs::read_to_string(JIT).map_err(|error| format!("{JIT}: {error}"))?;
    if now.trim() == wanted {
        return Ok(());
    }
    std::fs::write(JIT, wanted).map_err(|error| format!("{JIT} refuses {wanted}: {error}"))
}

fn carry_out(item: &Item, limit: Duration, stage: &Stage, close: &[i32]) -> Outcome {
    let observed = |result: Result<_, String>| result.map_or_else(Outcome::Impossible, Outcome::Observed);
    match item {
        Item::Experiment(experiment) => observed(supervise::carry_out(experiment, limit, close)),
        Item::Shared(experiment) => {
            sys::set_dumpable(false);
            let result = supervise::carry_out_shared(experiment, limit);
            sys::set_dumpable(true);
            observed(result)
        }
        Item::Choreography(name) => {
            let Some(observe) = atlas_cases::observe(name) else {
                return Outcome::Impossible(format!("this guest knows no choreography `{name}`"));
            };
            let end = match stage.play(observe, limit, close) {
                Ok(end) => end,
                Err(errno) => return Outcome::Impossible(format!("no process: errno {}", -errno)),
            };
            let facts = stage.facts().into_iter().map(|(name, value)| Fact { name, value }).collect();
            match end {
                Some(End::Exited(0)) => Outcome::Facts(facts),
                Some(end) => Outcome::Died { how: end.to_text(), code: end_code(end), facts },
                None => Outcome::TimedOut { facts },
            }
        }
    }
}
