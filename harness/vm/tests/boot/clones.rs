//! Templates and their clones.

use crate::support::{AMPLE, Test, assert_ends, kernel, options};
use atlas_vm::templates::{Origin, ROOM, Templates};
use atlas_vm::{BootOptions, Machine};
use atlas_wire::{Item, Outcome, Request, Response};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

pub(crate) const TESTS: &[Test] = &[
    ("a_clone_comes_from_a_template_that_stays", a_clone_comes_from_a_template_that_stays),
    ("clones_have_nothing_in_common_that_they_must_not", clones_have_nothing_in_common_that_they_must_not),
    ("clones_without_a_window_answer_too", clones_without_a_window_answer_too),
    ("broken_templates_are_thrown_away", broken_templates_are_thrown_away),
    ("where_templates_give_no_clones_no_other_is_made", where_templates_give_no_clones_no_other_is_made),
    ("a_template_that_cannot_be_kept_is_done_without", a_template_that_cannot_be_kept_is_done_without),
    ("two_that_make_the_same_do_not_hurt_each_other", two_that_make_the_same_do_not_hurt_each_other),
    ("room_is_bounded_and_what_was_left_is_removed", room_is_bounded_and_what_was_left_is_removed),
    ("other_arguments_are_another_template", other_arguments_are_another_template),
];

/// How much later than its template a clone is woken that must know the time.
const LATE: Duration = Duration::from_secs(3);

fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as i64
}

/// A directory for templates that goes with this, and the templates in it.
pub(crate) fn templates(room: u64) -> (TempDir, Templates) {
    let directory = tempfile::tempdir().expect("a directory");
    let templates = templates_at(directory.path(), room);
    (directory, templates)
}

/// The templates in a directory, as a process finds them that has made none of them.
fn templates_at(directory: &Path, room: u64) -> Templates {
    Templates::at(directory, room).unwrap_or_else(|error| panic!("{error}"))
}

/// Gives a template memory that is another's, which only a clone's silence shows.
fn spoil_memory(template: &Path) {
    let memory = template.join("memory");
    let length = fs::metadata(&memory).expect("its memory").len() as usize;
    fs::write(memory, vec![0xcc; length]).expect("other memory");
}

/// A guest, where it came from, and what was told.
fn guest(templates: &Templates, options: &BootOptions) -> (Machine, Origin, Vec<String>) {
    let mut told = Vec::new();
    let guest = templates.guest(&kernel(), options, &mut |line| told.push(line));
    let (machine, origin) = guest.unwrap_or_else(|error| panic!("{error}"));
    (machine, origin, told)
}

/// The values of a choreography's facts.
fn facts(machine: &mut Machine, choreography: &str) -> Vec<i64> {
    let items = vec![Item::Choreography(choreography.into())];
    let request = Request::Run { jit: None, limit_ms: 5000, items };
    match machine.request(&request, AMPLE) {
        Ok(Response::Ran(outcomes)) => match &outcomes[..] {
            [Outcome::Facts(facts)] => facts.iter().map(|fact| fact.value).collect(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Everything in a directory: names, and how long each file is.
fn inside(directory: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => all.extend(inside(&path)),
            false => all.push((path.clone(), fs::metadata(&path).expect("a file").len())),
        }
    }
    all.sort();
    all
}

fn a_clone_comes_from_a_template_that_stays() {
    let (directory, templates) = templates(ROOM);
    let (mut first, origin, told) = guest(&templates, &options());
    assert_eq!((origin, told), (Origin::NewTemplate, vec![]));
    let release = first.hello().release.clone();
    let listed = templates.list();
    assert!(listed.len() == 1 && listed[0].release == release && listed[0].size > 10 << 20, "{listed:?}");
    let memory = directory.path().join(&listed[0].key).join("memory");
    let before = fs::read(&memory).expect("its memory");
    assert_eq!(facts(&mut first, "fault::second_answer"), [0]);
    assert_eq!(facts(&mut first, "fault::second_answer"), [1]);
    let (mut second, origin, told) = guest(&templates, &options());
    assert_eq!((origin, told), (Origin::Clone, vec![]));
    assert_eq!((second.hello().release.as_str(), second.cpu()), (&*release, first.cpu()));
    assert_eq!(facts(&mut second, "fault::second_answer"), [0]);
    assert!(before == fs::read(&memory).expect("its memory"), "a guest wrote to its template");
    let pid = second.qemu_pid();
    drop(second);
    assert_ends(pid);
}

fn clones_have_nothing_in_common_that_they_must_not() {
    let (_directory, templates) = templates(ROOM);
    // A processor without an instruction for random numbers: entropy is what the host gives.
    let options = BootOptions { cpus: vec!["qemu64".into()], ..options() };
    drop(guest(&templates, &options));
    // A clone whose clock goes on from its template's is this late.
    std::thread::sleep(LATE);
    let (mut one, ..) = guest(&templates, &options);
    let (mut other, ..) = guest(&templates, &options);
    let began = wall_clock();
    let (own, others) = (facts(&mut one, "fault::own"), facts(&mut other, "fault::own"));
    let ended = wall_clock();
    assert!(own[0] != 0 && own[0] != others[0], "both draw {}", own[0]);
    let slack = LATE.as_nanos() as i64 / 2;
    for wall in [own[1], others[1]] {
        assert!((began - slack..ended + slack).contains(&wall), "{wall} is not in {began} to {ended}");
    }
    // What one has been asked, the other has not.
    assert_eq!(facts(&mut one, "fault::second_answer"), [0]);
    assert_eq!(facts(&mut one, "fault::second_answer"), [1]);
    assert_eq!(facts(&mut other, "fault::second_answer"), [0]);
}

fn clones_without_a_window_answer_too() {
    let (_directory, templates) = templates(ROOM);
    let options = BootOptions { window: false, ..options() };
    for wanted in [Origin::NewTemplate, Origin::Clone] {
        let (mut machine, origin, told) = guest(&templates, &options);
        assert_eq!((origin, told), (wanted, vec![]));
        assert!(!machine.hello().window);
        assert_eq!(facts(&mut machine, "fault::second_answer"), [0]);
    }
}

fn broken_templates_are_thrown_away() {
    type Break = fn(&Path);
    let breaks: [(&str, Break); 4] = [
        ("memory has", |path| {
            let memory = fs::File::options().write(true).open(path.join("memory")).expect("its memory");
            memory.set_len(1 << 20).expect("a shorter file");
        }),
        ("state is damaged", |path| {
            let mut state = fs::read(path.join("state")).expect("its state");
            let middle = state.len() / 2;
            state[middle] ^= 1;
            fs::write(path.join("state"), state).expect("a state");
        }),
        ("about.json: ", |path| fs::write(path.join("about.json"), "{").expect("a file")),
        ("the template gives no guest: ", spoil_memory),
    ];
    for (problem, damage) in breaks {
        let (directory, templates) = templates(ROOM);
        drop(guest(&templates, &options()));
        damage(&directory.path().join(&templates.list()[0].key));
        let templates = templates_at(directory.path(), ROOM);
        let (machine, origin, told) = guest(&templates, &options());
        assert_eq!(origin, Origin::NewTemplate, "{told:?}");
        assert!(
            told.len() == 1 && told[0].contains("was thrown away") && told[0].contains(problem),
            "{told:?}"
        );
        drop(machine);
        assert_eq!(guest(&templates, &options()).1, Origin::Clone);
    }
}

fn where_templates_give_no_clones_no_other_is_made() {
    let (directory, templates) = templates(ROOM);
    drop(guest(&templates, &options()));
    spoil_memory(&directory.path().join(&templates.list()[0].key));
    let (machine, origin, told) = guest(&templates, &options());
    assert!(origin == Origin::Boot && told.len() == 1 && told[0].contains("was thrown away"), "{told:?}");
    drop(machine);
    let (mut machine, origin, told) = guest(&templates, &options());
    assert_eq!((origin, told, templates.list().len()), (Origin::Boot, vec![], 0));
    assert_eq!(facts(&mut machine, "fault::second_answer"), [0]);
}

fn a_template_that_cannot_be_kept_is_done_without() {
    let (directory, templates) = templates(ROOM);
    fs::remove_dir(directory.path()).expect("an empty directory");
    fs::write(directory.path(), "a file in its place").expect("a file");
    let (mut machine, origin, told) = guest(&templates, &options());
    assert_eq!(origin, Origin::Boot);
    assert!(told.len() == 1 && told[0].contains("is booted, not cloned"), "{told:?}");
    assert_eq!(facts(&mut machine, "fault::second_answer"), [0]);
    fs::remove_file(directory.path()).expect("the file");
}

fn two_that_make_the_same_do_not_hurt_each_other() {
    let (directory, templates) = templates(ROOM);
    let came = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| guest(&templates, &options())));
        both.map(|guest| guest.join().expect("a guest"))
    });
    for (mut machine, origin, told) in came {
        assert!(origin != Origin::Boot && told.is_empty(), "{origin:?} {told:?}");
        assert_eq!(facts(&mut machine, "fault::second_answer"), [0]);
    }
    assert_eq!(templates.list().len(), 1);
    assert_eq!(inside(directory.path()).len(), 3, "{:?}", inside(directory.path()));
}

fn room_is_bounded_and_what_was_left_is_removed() {
    let (directory, templates) = templates(1);
    let left = directory.path().join(format!(".aside-{}-left", u32::MAX));
    fs::create_dir(&left).expect("a directory");
    fs::write(left.join("memory"), "half").expect("a file");
    let other = BootOptions { append: vec!["atlas.test=other".into()], ..options() };
    let (first, ..) = guest(&templates, &other);
    assert!(!left.exists(), "what a killed process left is still there");
    let (second, origin, _) = guest(&templates, &options());
    assert_eq!((origin, templates.list().len()), (Origin::NewTemplate, 1));
    assert_eq!(inside(directory.path()).len(), 3, "{:?}", inside(directory.path()));
    // A clone of a template that was dropped goes on.
    for mut machine in [first, second] {
        assert_eq!(facts(&mut machine, "fault::second_answer"), [0]);
    }
}

fn other_arguments_are_another_template() {
    let (_directory, templates) = templates(ROOM);
    let kernel = kernel();
    let of = |change: fn(&mut BootOptions)| {
        let mut options = options();
        change(&mut options);
        options
    };
    drop(guest(&templates, &options()));
    assert!(templates.has(&kernel, &options()));
    assert!(!templates.has(&kernel, &of(|options| options.window = false)));
    assert!(!templates.has(&kernel, &of(|options| options.append = vec!["nosmap".into()])));
    assert!(!templates.has(&kernel, &of(|options| options.cpus = vec!["qemu64".into()])));
    let counting = of(|options| options.icount = true);
    assert!(!templates.has(&kernel, &counting));
    drop(guest(&templates, &counting));
    let mut counts: Vec<bool> = templates.list().iter().map(|listed| listed.counts).collect();
    counts.sort_unstable();
    assert_eq!(counts, [false, true]);
    let another = atlas_vm::kernels::Kernel { sha256: "0".repeat(64), ..kernel };
    assert!(!templates.has(&another, &options()));
}
