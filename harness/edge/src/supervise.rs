//! The supervisor's half of an experiment: makes the first task, passes over the steps of tasks
//! that are gone, ends what outstays its time, and reads the board.

use crate::board::{board, tid_word};
use crate::{memory, sys, task};
use atlas_model::experiment::{Experiment, FORK_FLAGS, MAX_STEPS, MAX_TASKS, Op, layout};
use atlas_model::observation::{End, Observation, TaskSeen};
use core::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// How often a supervisor of several tasks looks at them: a thread ends without a signal to anyone.
const LOOK: Duration = Duration::from_micros(500);
/// `CLONE_PARENT`, which PID 1 may not use.
const CLONE_PARENT: u64 = 0x8000;

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
    let mut known = plan(experiment)?;
    let total = experiment.steps.len();
    memory::fill_scratch(&experiment.memory);
    board().reset(total);
    task::set_current(experiment);
    let deadline = Instant::now() + limit;

    let tid = sys::fork_with(FORK_FLAGS & !CLONE_PARENT, layout::tid_word(0));
    if tid == 0 {
        sys::prepare_descriptors(close);
        task::run(experiment, 0)
    }
    if tid < 0 {
        return Err(format!("the first task could not be made: errno {}", -tid));
    }
    known[0].tid = tid as i32;
    let in_time = watch(experiment, &mut known, deadline);
    note_made(&mut known);
    let late = if in_time { None } else { holder(experiment) };
    let observation = read(&known, total, late);
    sys::kill_everything(known.iter().map(|task| task.tid));
    Ok(observation)
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
        let (child, leader) = match step.op {
            Op::Fork { child } => (usize::from(child), usize::from(child)),
            Op::Thread { child } => (usize::from(child), maker.leader),
            _ => continue,
        };
        if child != known.len() || child >= MAX_TASKS {
            return Err(format!("step {index} makes task {child}; the next number is {}", known.len()));
        }
        known.push(Known { leader, made_by: Some(index), ..Known::default() });
    }
    Ok(known)
}

/// The task whose step it is.
fn holder(experiment: &Experiment) -> Option<usize> {
    experiment.steps.get(board().turn()).map(|step| usize::from(step.task))
}

/// Waits until the last step is over. Returns false when time ran out first.
fn watch(experiment: &Experiment, known: &mut [Known], deadline: Instant) -> bool {
    let alone = known.len() == 1;
    loop {
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        sys::wait_for_child_signal(if alone { deadline - now } else { LOOK });
        while let Some((pid, end)) = sys::reap() {
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
        if board().over() {
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
            known[task].end = Some(end);
        }
    }
}

/// A thread whose word was cleared is gone; whether alone or with its process shows when another
/// thread of the process beats on (on one processor a dying process's threads never do) or when
/// the process is reaped.
fn note_thread_ends(known: &mut [Known]) {
    for task in 0..known.len() {
        if known[task].tid == 0 || known[task].end.is_some() || tid_word(task as u8).load(SeqCst) != 0 {
            continue;
        }
        let beats = (0..known.len())
            .filter(|&other| other != task && known[other].leader == known[task].leader)
            .fold(0_u32, |sum, other| sum.wrapping_add(board().beats(other as u8)));
        match known[task].cleared {
            None => known[task].cleared = Some(beats),
            Some(then) if then != beats => known[task].end = Some(End::ThreadGone),
            Some(_) => {}
        }
    }
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
    Observation { tasks: tasks.collect(), steps: (0..steps).map(|step| board().seen(step)).collect() }
}
