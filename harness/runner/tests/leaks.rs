//! Nothing is left behind: no process, no zombie, no descriptor; not after ten thousand evaluations, nor
//! where threads of the embedding program are at work.

use mruby_runner::{Ending, Limit, Limits, Policy, Sandbox};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Each test counts what the whole process has: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Every process that descends from this one, zombies too: pid and state.
fn descendants() -> Vec<(u32, String)> {
    let stat = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before may hold anything.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.to_owned();
        Some((pid, state, fields.next()?.parse::<u32>().ok()?))
    };
    let processes: Vec<(u32, String, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .collect();
    let mut found = vec![std::process::id()];
    let mut next = 0;
    while next < found.len() {
        let of = found[next];
        found.extend(processes.iter().filter(|(_, _, parent)| *parent == of).map(|(pid, ..)| *pid));
        next += 1;
    }
    let is_found = |pid: u32| found[1..].contains(&pid);
    processes.into_iter().filter(|(pid, ..)| is_found(*pid)).map(|(pid, state, _)| (pid, state)).collect()
}

fn sandbox(policy: Policy) -> Sandbox {
    let mut limits = Limits::default();
    limits.instructions = 2000;
    // Time is not under test here, and a busy machine takes its own.
    (limits.wall, limits.cpu) = (Duration::from_secs(30), Duration::from_secs(30));
    let getpid = |_: &[i64]| {
        // SAFETY: no memory is touched.
        unsafe { libc::syscall(libc::SYS_getpid) }
    };
    Sandbox::builder().policy(policy).limits(limits).native("forbidden", getpid).build().unwrap()
}

/// Code, and whether it ended as it should.
type Case = (&'static str, fn(&Ending) -> bool);

const MIXED: [Case; 6] = [
    ("1 + 1", |ending| matches!(ending, Ending::Value { .. })),
    ("puts 'x' * 100; [1] * 10", |ending| matches!(ending, Ending::Value { .. })),
    ("raise 'x'", |ending| matches!(ending, Ending::Exception { .. })),
    ("(", |ending| matches!(ending, Ending::Syntax { .. })),
    ("forbidden", |ending| matches!(ending, Ending::Forbidden { .. })),
    ("loop {}", |ending| matches!(ending, Ending::Limit { limit: Limit::Instructions, .. })),
];

#[test]
fn ten_thousand_evaluations_leave_nothing() {
    let _alone = alone();
    let before = (descriptors(), descendants());
    for policy in [Policy::Strict, Policy::Diagnose] {
        let mut sandbox = sandbox(policy);
        sandbox.eval("nil").unwrap();
        let with_zygote = (descriptors(), descendants().len());
        assert_eq!(with_zygote, (before.0 + 1, before.1.len() + 1), "a control line and a zygote");
        for (code, is_right) in MIXED.iter().cycle().take(4000) {
            let outcome = sandbox.eval(*code).unwrap();
            assert!(is_right(&outcome.ending), "{code}: {outcome:?}");
        }
        for (code, is_right) in MIXED.iter().cycle().take(1000) {
            let mut session = sandbox.session();
            session.eval("nil").unwrap();
            let outcome = session.eval(*code).unwrap();
            assert!(is_right(&outcome.ending), "{code}: {outcome:?}");
        }
        assert_eq!((descriptors(), descendants().len()), with_zygote, "{:?}", descendants());
    }
    assert_eq!((descriptors(), descendants()), before);
}

#[test]
fn two_hundred_sandboxes_leave_nothing() {
    let _alone = alone();
    let before = (descriptors(), descendants());
    for index in 0..200 {
        let mut sandbox = sandbox(Policy::Strict);
        match index % 4 {
            0 => {}
            // Dropped in the middle of a session.
            1 => drop(sandbox.session().eval("1")),
            _ => drop(sandbox.eval("1").unwrap()),
        }
    }
    assert_eq!((descriptors(), descendants()), before);
}

#[test]
fn a_sandbox_that_cannot_start_leaves_nothing() {
    let _alone = alone();
    let before = (descriptors(), descendants());
    let mut refused = 0;
    for _ in 0..20 {
        let mut builder = Sandbox::builder().limits({
            let mut limits = Limits::default();
            limits.memory = 2 << 20;
            limits
        });
        // So many natives that their prelude does not fit the interpreter's memory.
        for index in 0..5000 {
            builder = builder.native(&format!("native_{index}"), |_| 0);
        }
        refused += usize::from(builder.build().is_err());
    }
    assert_eq!(refused, 20);
    assert_eq!((descriptors(), descendants()), before);
}

#[test]
fn a_zygote_that_is_killed_is_replaced_and_leaves_nothing() {
    let _alone = alone();
    let before = (descriptors(), descendants());
    let mut sandbox = sandbox(Policy::Strict);
    for _ in 0..20 {
        let zygote = descendants().into_iter().find(|one| !before.1.contains(one)).unwrap();
        // SAFETY: the zygote is a child of this process that nobody has waited for.
        unsafe { libc::kill(zygote.0 as i32, libc::SIGKILL) };
        assert!(sandbox.eval("1").is_err());
        assert_eq!(sandbox.eval("1 + 1").unwrap().value(), Some("2"));
    }
    drop(sandbox);
    assert_eq!((descriptors(), descendants()), before);
}

#[test]
fn a_zygote_that_is_stopped_is_not_waited_for_for_ever() {
    let _alone = alone();
    let before = (descriptors(), descendants());
    let sandbox = sandbox(Policy::Strict);
    let zygote = descendants().into_iter().find(|one| !before.1.contains(one)).unwrap();
    // SAFETY: as above.
    unsafe { libc::kill(zygote.0 as i32, libc::SIGSTOP) };
    let began = Instant::now();
    drop(sandbox);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((descriptors(), descendants()), before);
}

/// A child of another thread's may have been forked between the making of a pipe and the closing of its end.
#[test]
fn children_of_other_threads_do_not_keep_an_evaluation() {
    let _alone = alone();
    let before = (descriptors(), descendants());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let forking = scope.spawn(|| {
            let mut children = Vec::new();
            while !done.load(Relaxed) && children.len() < 4000 {
                // SAFETY: the child makes system calls alone, until it is killed.
                match unsafe { libc::fork() } {
                    0 => loop {
                        // SAFETY: as above.
                        unsafe { libc::pause() };
                    },
                    child => children.push(child),
                }
                std::thread::sleep(Duration::from_micros(300));
            }
            children
        });
        let mut sandbox = sandbox(Policy::Strict);
        let began = Instant::now();
        for _ in 0..300 {
            assert_eq!(sandbox.eval("1 + 1").unwrap().value(), Some("2"));
        }
        let took = began.elapsed();
        done.store(true, Relaxed);
        for child in forking.join().unwrap() {
            // SAFETY: they are this process's own, and not yet waited for.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, std::ptr::null_mut(), 0);
            }
        }
        assert!(took < Duration::from_secs(25), "{took:?}");
    });
    assert_eq!((descriptors(), descendants()), before);
}

#[test]
fn threads_at_work_do_not_disturb_a_fork() {
    let _alone = alone();
    let before = (descriptors(), descendants());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..8_usize {
            let done = &done;
            // They hold the allocator's locks and stdout's most of the time, and descriptors come and go.
            scope.spawn(move || {
                let mut kept: Vec<Vec<usize>> = Vec::new();
                while !done.load(Relaxed) {
                    kept.push(vec![seed; 1 + (kept.len() * 7919 + seed) % 5000]);
                    if kept.len() > 200 {
                        kept.clear();
                        let _ = std::hint::black_box(std::fs::read_to_string("/proc/self/comm"));
                        let _ = std::io::Write::flush(&mut std::io::stdout().lock());
                    }
                }
            });
        }
        let forking = scope.spawn(|| {
            let began = Instant::now();
            for round in 0..200 {
                let mut sandbox = sandbox(Policy::Strict);
                let outcome = sandbox.eval(&format!("{round} + 1")).unwrap();
                assert_eq!(outcome.value(), Some((round + 1).to_string().as_str()), "{outcome:?}");
            }
            began.elapsed()
        });
        let took = forking.join();
        done.store(true, Relaxed);
        assert!(took.unwrap() < Duration::from_secs(300));
    });
    assert_eq!((descriptors(), descendants()), before);
}
