//! What the runner is measured against: mruby in this process without any sandbox, and the bare calls
//! of the kernel that a worker's life is made of.

pub mod jit;

use mruby_sys as mrb;
use std::ffi::CString;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// An interpreter in this process, unconfined, with malloc(3) for its memory.
#[derive(Debug)]
pub struct InProcess(*mut mrb::mrb_state);

impl InProcess {
    /// Opens one.
    ///
    /// # Panics
    /// Without memory.
    #[must_use]
    pub fn open() -> Self {
        // SAFETY: no arguments.
        let state = unsafe { mrb::mrb_open() };
        assert!(!state.is_null(), "mruby does not open");
        Self(state)
    }

    /// Evaluates code whose value is a small integer.
    ///
    /// # Panics
    /// Where it raises.
    pub fn eval(&mut self, code: &CString) -> i64 {
        // SAFETY: the state is open, the code is a C string. The arena is put back, or every value
        // would be kept alive.
        unsafe {
            let alive = (*self.0).gc.arena_idx;
            let value = mrb::mrb_load_string(self.0, code.as_ptr());
            assert!((*self.0).exc.is_null(), "the code raises");
            (*self.0).gc.arena_idx = alive;
            // A small integer is boxed as itself, shifted by one bit (include/mruby/boxing_word.h).
            value.w as i64 >> 1
        }
    }

    /// Has the interpreter call a hook with every instruction, as the runner does to count them.
    pub fn count_instructions(&mut self) {
        unsafe extern "C" fn hook(
            _: *mut mrb::mrb_state,
            _: *const mrb::mrb_irep,
            at: *const mrb::mrb_code,
            _: *mut mrb::mrb_value,
        ) {
            black_box(at);
        }
        // SAFETY: the state is open, and the hook is of mruby's signature.
        unsafe { (*self.0).code_fetch_hook = Some(hook) };
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        // SAFETY: the state is open, and nobody has it any more.
        unsafe { mrb::mrb_close(self.0) };
    }
}

/// What a forked child does before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// Nothing.
    Exit,
    /// The program true(1), by execve(2).
    Exec,
}

/// Forks, and waits for the child's end.
///
/// # Panics
/// Where the kernel refuses.
pub fn fork(child: Child) {
    const TRUE: [&std::ffi::CStr; 2] = [c"/bin/true", c"/usr/bin/true"];
    // SAFETY: the child calls nothing but execve(2) and _exit(2).
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            if child == Child::Exec {
                for path in TRUE {
                    let arguments = [path.as_ptr(), std::ptr::null()];
                    libc::execv(path.as_ptr(), arguments.as_ptr());
                }
                libc::_exit(1);
            }
            libc::_exit(0);
        }
        let mut status = 0;
        assert!(pid > 0 && libc::waitpid(pid, &raw mut status, 0) == pid, "no fork");
        assert_eq!(status, 0, "the child failed");
    }
}

/// The time that each of so many rounds takes, sorted.
pub fn times<T>(rounds: usize, mut round: impl FnMut() -> T) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            black_box(round());
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

/// The time below which so many of a hundred lie.
///
/// # Panics
/// Without times.
#[must_use]
pub fn percentile(times: &[Duration], of_hundred: usize) -> Duration {
    times[(times.len() * of_hundred / 100).min(times.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&times, 50), Duration::from_micros(101));
        assert_eq!(percentile(&times, 99), Duration::from_micros(199));
        assert_eq!(percentile(&times[..1], 99), Duration::from_micros(1));
    }

    #[test]
    fn what_is_measured_against_works() {
        let mut mruby = InProcess::open();
        let code = c"x = 40; [1, 1].each { |i| x += i }; x".to_owned();
        assert_eq!(mruby.eval(&code), 42);
        mruby.count_instructions();
        assert_eq!(mruby.eval(&code), 42);
        fork(Child::Exit);
        fork(Child::Exec);
    }
}
