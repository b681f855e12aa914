//! Ruby, in the sandbox and without one, timed from asking for an evaluation to having its value.

use super::{Context, WARM_UP, fork, settle};
use atlas_edge::sys;
use atlas_wire::Measured;
use atlas_wire::measure::Place;
use mruby_runner::{Limits, Outcome, Sandbox, Session};
use mruby_sys as mrb;
use std::ffi::CString;
use std::time::Duration;

/// How long an evaluation may take by the guest's clock, which counts instructions here: no measured
/// program comes near it.
const LONG: Duration = Duration::from_secs(60);

/// Why there is no value.
type Problem = String;

pub(super) fn measure(context: &Context<'_>, code: &str, place: Place) -> Result<(), Measured> {
    let pid = fork(0);
    if pid == 0 {
        sys::prepare_descriptors(context.close);
        if let Err(problem) = rounds(context, code, place) {
            // The console is where a person looks; the host hears that the rounds were not taken.
            eprintln!("atlas-guest: Ruby: {problem}");
            sys::exit(1)
        }
        context.sheet.finish();
        sys::exit(0)
    }
    context.wait(pid)
}

fn rounds(context: &Context<'_>, code: &str, place: Place) -> Result<(), Problem> {
    match place {
        Place::Bare => {
            let mut bare = Bare::open()?;
            let code = CString::new(code).map_err(|_| "the code has a NUL")?;
            count(context, || bare.eval(&code))
        }
        Place::Session => {
            let mut sandbox = sandbox()?;
            let mut session: Session<'_> = sandbox.session();
            count(context, || value(session.eval(code)))
        }
        Place::Worker => {
            let mut sandbox = sandbox()?;
            count(context, || value(sandbox.eval(code)))
        }
    }
}

fn count(context: &Context<'_>, mut eval: impl FnMut() -> Result<i64, Problem>) -> Result<(), Problem> {
    let warm_up = WARM_UP.min(context.rounds);
    for round in 0..warm_up + context.rounds {
        settle();
        let before = sys::rdtsc();
        let returned = eval()?;
        let after = sys::rdtsc();
        if round >= warm_up {
            context.sheet.add(after.wrapping_sub(before));
        }
        context.sheet.give(returned);
    }
    Ok(())
}

fn sandbox() -> Result<Sandbox, Problem> {
    let mut limits = Limits::default();
    (limits.wall, limits.cpu) = (LONG, LONG);
    Sandbox::builder().limits(limits).build().map_err(|error| error.to_string())
}

fn value(evaluated: Result<Outcome, mruby_runner::Error>) -> Result<i64, Problem> {
    let outcome = evaluated.map_err(|error| error.to_string())?;
    let value = outcome.value().and_then(|text| text.parse().ok());
    value.ok_or_else(|| format!("no integer: {:?}", outcome.ending))
}

/// An interpreter in this process, with malloc(3) for its memory.
struct Bare(*mut mrb::mrb_state);

impl Bare {
    fn open() -> Result<Self, Problem> {
        // SAFETY: no arguments.
        let state = unsafe { mrb::mrb_open() };
        if state.is_null() { Err("mruby does not open".into()) } else { Ok(Self(state)) }
    }

    fn eval(&mut self, code: &CString) -> Result<i64, Problem> {
        // SAFETY: the state is open, the code is a C string. The arena is put back, or every value
        // would be kept alive.
        unsafe {
            let alive = (*self.0).gc.arena_idx;
            let value = mrb::mrb_load_string(self.0, code.as_ptr());
            if !(*self.0).exc.is_null() {
                return Err("it raises".into());
            }
            (*self.0).gc.arena_idx = alive;
            // A small integer is boxed as itself, shifted by one bit (include/mruby/boxing_word.h).
            Ok(value.w as i64 >> 1)
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: the state is open, and nobody has it any more.
        unsafe { mrb::mrb_close(self.0) };
    }
}
