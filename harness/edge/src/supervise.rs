//! The supervisor's half of an experiment: makes the first task, passes over the steps of tasks
//! that are gone, ends what outstays its time, and reads the board.

use crate::board::{board, tid_word};
use crate::first::{First, Undumped};
use crate::world::{self, Watch};
use crate::{memory, resume, sys, task, tracer};
use atlas_model::experiment::{Experiment, MAX_STEPS, MAX_TASKS, Op, SHARES, TaskId};
use atlas_model::observation::{End, Observation, TaskSeen};
use core::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// How often a supervisor of several tasks looks at them: a thread ends without a signal to anyone.
const LOOK: Duration = Duration::from_micros(300);

/// What is known of one task while the experiment runs.
#[derive(Clone, Default)]
struct Known {
    /// The task that leads this task's process.
    leader: usize,
    /// The step that makes the task; `None` for task 0.
    made_by: Option<usize>,
    /// 0 until the task is made.
    tid: i32,
    /// The thread's word was found cleared when the other threads had beaten this often.
    cleared: Option<u32>,
    end: Option<End>,
}

/// Carries an experiment out and reports what was seen. Every other process of the guest is gone
/// afterwards. `close` lists descriptors that no task shall have.
///
/// # Errors
/// A sentence, when the experiment is not one that can be carried out (too many steps or tasks, a
/// step of a task that nobody makes) or when the first task could not be made.
pub fn carry_out(experiment: &Experiment, limit: Duration, close: &[i32]) -> Result<Observation, String> {
    let first = First { close: Some(close), watched: experiment.watch, gated: gated(experiment) };
    if experiment.leaves_memory_alone() {
        return sharing(experiment, limit, true, &first);
    }
    follow(experiment, limit, true, || first.make_with_copy(experiment))
}

/// As [`carry_out`], in half the time, for experiments whose calls touch neither memory nor descriptors. The first task
/// has this process's memory, and a copy of its descriptors without those of
/// [`layout`](atlas_model::experiment::layout). That it is such an experiment is for the caller to see to; a call that a
/// filter forbids may be any call.
///
/// # Errors
/// As for [`carry_out`], and for an experiment that is watched or traced, or executes an image.
pub fn carry_out_bare(experiment: &Experiment, limit: Duration) -> Result<Observation, String> {
    if gated(experiment) || experiment.steps.iter().any(|step| step.op == Op::Exec) {
        return Err(
            "an experiment that is watched or traced, or executes an image, needs descriptors of its own"
                .into(),
        );
    }
    sharing(experiment, limit, false, &First { close: None, watched: false, gated: false })
}

/// Carries out an experiment whose first task has the memory of this process.
fn sharing(
    experiment: &Experiment,
    limit: Duration,
    touches: bool,
    first: &First<'_>,
) -> Result<Observation, String> {
    let _undumped = Undumped::begin();
    let seen = follow(experiment, limit, touches, || first.make_sharing());
    if first.watched {
        // The task has mapped it here.
        memory::unmap_window();
    }
    seen
}

/// Makes the first task, sees it and the others through, and reads the board. Whether calls `touch` the scratch area is
/// for [`memory::fill_scratch`].
fn follow(
    experiment: &Experiment,
    limit: Duration,
    touches: bool,
    first_task: impl FnOnce() -> i64,
) -> Result<Observation, String> {
    let mut known = plan(experiment)?;
    memory::fill_scratch(&experiment.memory, touches);
    board().reset(experiment.steps.len());
    if experiment.steps.iter().any(|step| step.op == Op::Exec) {
        resume::store(experiment)?;
    }
    let mut watched = if experiment.watch {
        Some(Watch::begin()?)
    } else {
        world::put_away();
        None
    };
    task::set_current(experiment);
    let deadline = Instant::now() + limit;
    let tid = first_task();
    if tid < 0 {
        return Err(format!("the first task could not be made: errno {}", -tid));
    }
    known[0].tid = tid as i32;
    if gated(experiment) {
        let ready = board().await_arrival(deadline);
        if let Some(watched) = watched.as_mut().filter(|_| ready) {
            watched.before(known[0].tid);
        }
        let seized = if experiment.tracer { tracer::seize(known[0].tid) } else { Ok(()) };
        board().open_gate();
        if let Err(errno) = seized {
            sys::kill_everything(known.iter().map(|task| task.tid));
            return Err(format!("the first task could not be traced: errno {}", -errno));
        }
    }
    let in_time = watch(experiment, &mut known, deadline);
    note_made(&mut known);
    let late = if in_time { None } else { holder(experiment) };
    let mut observation = read(&known, experiment.steps.len(), late);
    if let Some(watched) = watched {
        let living = observation.tasks.iter().enumerate().filter(|(_, task)| task.end == End::Alive);
        // After `execve` a thread goes by its leader's id: the word on the board has it.
        let tid = |task: usize| (task as TaskId, tid_word(task as u8).load(SeqCst));
        observation.world = watched.after(living.map(|(task, _)| tid(task)));
    }
    // A lone task that was reaped has left nobody behind.
    if known.len() > 1 || known[0].end.is_none() || experiment.watch {
        sys::kill_everything(known.iter().map(|task| task.tid));
    }
    if !in_time {
        // A task that was late may have gone on after the look.
        world::put_away();
    }
    Ok(observation)
}

/// Whether the first task has to wait until it was looked at or seized.
fn gated(experiment: &Experiment) -> bool {
    experiment.watch || experiment.tracer
}

/// Says for each task which process it belongs to and which step makes it.
fn plan(experiment: &Experiment) -> Result<Vec<Known>, String> {
    if experiment.steps.len() > MAX_STEPS {
        return Err(format!("{} steps, and {MAX_STEPS} is the most", experiment.steps.len()));
    }
    let mut known = vec![Known::default()];
    for (index, step) in experiment.steps.iter().enumerate() {
        let Some(maker) = known.get(usize::from(step.task)) else {
            return Err(format!("step {index} belongs to task {}, which no earlier step makes", step.task));
        };
        if let Op::Clone { shares, .. } = step.op
            && shares & !SHARES != 0
        {
            return Err(format!("step {index} shares {shares:#x}, which is more than {SHARES:#x}"));
        }
        let Some(child) = step.op.makes().map(usize::from) else { continue };
        let leader = if matches!(step.op, Op::Thread { .. }) { maker.leader } else { child };
        if child != known.len() || child >= MAX_TASKS {
            return Err(format!("step {index} makes task {child}; the next number is {}", known.len()));
        }
        known.push(Known { leader, made_by: Some(index), ..Known::default() });
    }
    if experiment.tracer && known.len() > 1 {
        return Err("a traced experiment has one task".into());
    }
    Ok(known)
}

/// The task whose step it is.
fn holder(experiment: &Experiment) -> Option<usize> {
    experiment.steps.get(board().turn()).map(|step| usize::from(step.task))
}

/// Waits until the last step is over. Returns false when time ran out first.
fn watch(experiment: &Experiment, known: &mut [Known], deadline: Instant) -> bool {
    let alone = known.len() == 1 && !experiment.watch;
    // Here tasks may end though it is not their turn, and are to be seen doing so.
    let ends_others = |op: &Op| matches!(op, Op::Clone { .. } | Op::Exec);
    let patient = experiment.watch || experiment.steps.iter().any(|step| ends_others(&step.op));
    loop {
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        sys::wait_for_child_signal(if alone { deadline - now } else { LOOK });
        while let Some((pid, status)) = sys::news() {
            if libc::WIFSTOPPED(status) {
                tracer::attend(pid, status);
                continue;
            }
            let end = sys::end_of(status);
            // A process may have been made and have ended since the last look.
            note_made(known);
            note_process_end(known, pid, end);
        }
        note_made(known);
        note_thread_ends(known);
        while let Some(task) = holder(experiment) {
            if !is_gone(&known[task]) {
                break;
            }
            board().pass_on(board().turn() + 1);
        }
        if board().over() && (!patient || known.iter().enumerate().all(is_settled)) {
            return true;
        }
    }
}

/// A task whose turn has come is gone when it has ended, or when it could not be made: the step that
/// makes it is over and has given no thread id.
fn is_gone(task: &Known) -> bool {
    let unmade = |step| board().turn() > step && board().returned(step).is_none_or(|tid| tid <= 0);
    task.end.is_some() || task.made_by.is_some_and(unmade)
}

/// Whether it is known of a task how it stands at the end.
fn is_settled((task, known): (usize, &Known)) -> bool {
    known.tid == 0 || known.end.is_some() || board().is_alive(task as u8)
}

fn note_made(known: &mut [Known]) {
    for task in known {
        if let Some(tid) = task.made_by.and_then(|step| board().returned(step))
            && tid > 0
        {
            task.tid = tid as i32;
        }
    }
}

fn note_process_end(known: &mut [Known], pid: i32, end: End) {
    for task in 0..known.len() {
        let leader = known[task].leader;
        if known[leader].tid == pid && known[task].tid != 0 && known[task].end.is_none() {
            known[task].end = Some(if left_for_image(known, task) { End::ThreadGone } else { end });
        }
    }
}

/// Whether another thread of the task's process has executed an image, which begins when it is alone
/// (fs/exec.c de_thread).
fn left_for_image(known: &[Known], task: usize) -> bool {
    let beside = |&other: &usize| other != task && known[other].leader == known[task].leader;
    (0..known.len()).filter(beside).any(|other| board().was_cleared(task, other))
}

/// A thread whose word was cleared is gone; whether alone or with its process shows when another
/// thread of the process beats on (on one processor a dying process's threads never do) or when
/// the process is reaped. The kernel clears the word of each that is not the last one of its memory (kernel/fork.c
/// mm_release), so also the word of a process that has its supervisor's memory.
fn note_thread_ends(known: &mut [Known]) {
    for task in 0..known.len() {
        if known[task].tid == 0 || known[task].end.is_some() {
            continue;
        }
        if tid_word(task as u8).load(SeqCst) != 0 {
            // An image that was executed anew has its word back.
            known[task].cleared = None;
            continue;
        }
        if left_for_image(known, task) {
            known[task].end = Some(End::ThreadGone);
            continue;
        }
        let beats = (0..known.len())
            .filter(|&other| other != task && known[other].leader == known[task].leader)
            .fold(0_u32, |sum, other| sum.wrapping_add(board().beats(other as u8)));
        match known[task].cleared {
            None => known[task].cleared = Some(beats),
            Some(then) if then != beats && has_left(known, task) => known[task].end = Some(End::ThreadGone),
            Some(_) => {}
        }
    }
}

/// Whether a thread whose word was cleared has left its process as well. In between TSYNC still looks at
/// it (kernel/seccomp.c seccomp_can_sync_threads, before 6.11). A leader stays, as a zombie.
fn has_left(known: &[Known], task: usize) -> bool {
    let (process, thread) = (known[known[task].leader].tid, known[task].tid);
    let Some(stat) = sys::read_file(&format!("/proc/{process}/task/{thread}/stat")) else { return true };
    process == thread && stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn read(known: &[Known], steps: usize, late: Option<usize>) -> Observation {
    let tasks = known.iter().enumerate().map(|(task, this)| {
        let end = match this.end {
            _ if late == Some(task) => End::TimedOut,
            _ if board().is_alive(task as u8) => End::Alive,
            Some(end) => end,
            None if this.tid == 0 => End::NeverMade,
            None => End::Alive,
        };
        TaskSeen { tid: this.tid, pid: known[this.leader].tid, end }
    });
    Observation {
        tasks: tasks.collect(),
        steps: (0..steps).map(|step| board().seen(step)).collect(),
        world: Vec::new(),
    }
}
