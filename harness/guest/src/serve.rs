//! Requests in, answers out.

use crate::link::Link;
use crate::{jit, measure, program};
use atlas_edge::stage::{Stage, end_code};
use atlas_edge::{supervise, sys};
use atlas_model::observation::End;
use atlas_wire::frame::{Kind, MAX_INLINE};
use atlas_wire::{Fact, Hello, Item, Outcome, PROTOCOL, Request, Response, decode, encode};
use std::time::Duration;

/// The longest an item may take, whatever the host says.
const LONGEST: Duration = Duration::from_secs(120);

/// Serves until the line breaks, and gives the reason.
pub(crate) fn forever(link: &mut Link) -> String {
    let stage = match Stage::new() {
        Ok(stage) => stage,
        Err(errno) => return format!("no memory for facts: errno {}", -errno),
    };
    let switch = jit::Switch::open();
    if let Err(problem) = link.send(Kind::Ready, 0, &[]) {
        return problem;
    }
    loop {
        let (id, payload) = match link.receive() {
            Ok(request) => request,
            Err(problem) => return problem,
        };
        let response = match decode(&payload) {
            Ok(request) => answer(&request, link, &switch, &stage),
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

fn answer(request: &Request, link: &Link, switch: &jit::Switch, stage: &Stage) -> Response {
    let close: Vec<i32> = link.descriptors().into_iter().chain(switch.descriptor()).collect();
    let jit = match request {
        Request::Run { jit, .. } | Request::Sweep { jit, .. } => *jit,
        Request::Measure(asked) => asked.jit,
        Request::Trace(asked) => asked.jit,
        Request::Hello | Request::Wake(_) | Request::Put(_) => None,
    };
    if let Some(on) = jit
        && let Err(problem) = switch.turn(on)
    {
        return Response::Refused(problem);
    }
    match request {
        Request::Hello => Response::Hello(hello(link)),
        Request::Wake(wake) => match crate::wake::wake(wake) {
            Ok(()) => Response::Hello(hello(link)),
            Err(problem) => Response::Refused(problem),
        },
        Request::Run { limit_ms, items, .. } => {
            let limit = bounded(*limit_ms);
            Response::Ran(items.iter().map(|item| carry_out(item, limit, stage, &close)).collect())
        }
        Request::Sweep { limit_ms, sweep, .. } => {
            match atlas_edge::sweep::carry_out(sweep, bounded(*limit_ms), &close) {
                Ok(swept) => Response::Swept(swept),
                Err(problem) => Response::Refused(problem),
            }
        }
        Request::Measure(asked) => {
            Response::Measured(measure::carry_out(asked, bounded(asked.limit_ms), &close))
        }
        Request::Put(part) => program::put(part).map_or_else(Response::Refused, Response::Stored),
        Request::Trace(asked) => program::trace(asked, bounded(asked.limit_ms), &close)
            .map_or_else(Response::Refused, Response::Traced),
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
        jit: sys::read_file(jit::PATH).map(|value| value.trim().to_owned()),
        window: link.has_window(),
    }
}

fn carry_out(item: &Item, limit: Duration, stage: &Stage, close: &[i32]) -> Outcome {
    let observed = |result: Result<_, String>| result.map_or_else(Outcome::Impossible, Outcome::Observed);
    match item {
        Item::Experiment(experiment) => observed(supervise::carry_out(experiment, limit, close)),
        Item::Bare(experiment) => observed(supervise::carry_out_bare(experiment, limit)),
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
