//! Kernels on disk: fetched with the machine's real apt from an archive in a temporary directory,
//! added by hand, verified, and recovered from what a killed fetch leaves.

#[path = "kernels/archive.rs"]
mod archive;

use archive::{Local, deb, image};
use atlas_vm::kernels::{Archive, Error, FetchEvent, FetchOptions, Kernel, Lock, Manifest, Proof, Store};
use std::cell::RefCell;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use tempfile::TempDir;

/// Tells a test that it runs as its own child process, and where the parent's directory is.
const CHILD: &str = "ATLAS_TEST_KERNELS_CHILD";

/// A store and an archive, in a temporary directory.
struct World {
    directory: TempDir,
    archive: Local,
    store: Store,
}

/// What a fetch did.
struct Fetched {
    errors: Vec<Error>,
    events: Vec<FetchEvent>,
}

impl Fetched {
    fn downloads(&self) -> usize {
        let done = |event: &&FetchEvent| matches!(event, FetchEvent::Downloading { done: 0, .. });
        self.events.iter().filter(done).count()
    }
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let archive = Local::new(directory.path());
        let store = Store::at(directory.path().join("a cache")).unwrap();
        Self { directory, archive, store }
    }

    /// Two versions of 4.19, whose names and versions sort otherwise as text.
    fn with_4_19() -> Self {
        let mut world = Self::new();
        for (abi, version) in [("9", "4.19.118-2"), ("27", "4.19.316-1")] {
            let name = format!("linux-image-4.19.0-{abi}-cloud-amd64");
            world.archive.publish("buster", &name, version, &format!("4.19.0-{abi}-cloud-amd64"));
        }
        world.archive.publish("buster", "linux-image-4.19.0-99-amd64", "4.19.999-1", "4.19.0-99-amd64");
        world
    }

    fn fetch(&self, series: &str) -> Fetched {
        self.fetch_with(&Lock::default(), &self.options(series), &mut |kernel| booted(kernel))
    }

    fn options(&self, series: &str) -> FetchOptions {
        FetchOptions {
            series: vec![series.into()],
            archive: Some(self.archive.trusted()),
            ..Default::default()
        }
    }

    fn fetch_with(
        &self,
        lock: &Lock,
        options: &FetchOptions,
        prove: &mut dyn FnMut(&Kernel) -> Proof,
    ) -> Fetched {
        // Lists count as fresh for an hour, and these tests change the archive in less.
        for root in ["apt-other", "apt-unsigned"] {
            let _ = fs::remove_file(self.store.root().join(root).join("fetched-for"));
        }
        let events = RefCell::new(Vec::new());
        let mut tell = |event| events.borrow_mut().push(event);
        let errors =
            self.store.fetch(&Manifest::embedded().unwrap(), lock, options, &mut tell, prove).unwrap();
        Fetched { errors, events: events.into_inner() }
    }

    fn try_fetch(&self, options: &FetchOptions) -> Error {
        let manifest = Manifest::embedded().unwrap();
        let prove = &mut |kernel: &Kernel| booted(kernel);
        self.store.fetch(&manifest, &Lock::default(), options, &mut |_| (), prove).unwrap_err()
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn booted(kernel: &Kernel) -> Proof {
    assert!(kernel.path.is_file());
    Proof::Booted {
        release: kernel.release.clone(),
        accelerator: "tcg".into(),
        cpu: "max".into(),
        probes: String::new(),
    }
}

#[test]
fn the_newest_package_of_a_series_is_fetched_proven_and_recorded() {
    let world = World::with_4_19();
    let fetched = world.fetch("4.19");
    assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
    assert!(matches!(fetched.events.last(), Some(FetchEvent::Ready(stored)) if stored.name == "4.19"));

    let stored = world.store.get("4.19").unwrap();
    assert_eq!(stored.release, "4.19.0-27-cloud-amd64");
    assert_eq!(stored.version.as_deref(), Some("4.19.316-1"));
    assert_eq!(stored.suite.as_deref(), Some("buster"));
    assert_eq!(fs::read(world.store.path_of(&stored)).unwrap(), image("4.19.0-27-cloud-amd64"));
    world.store.verify(&stored).unwrap();
    for name in ["4.19", "4.19.0-27-cloud-amd64"] {
        assert_eq!(world.store.resolve(name).unwrap().sha256, stored.sha256);
    }
    assert!(world.store.default_kernels().unwrap().is_empty(), "historic kernels are asked for by name");

    let mut lock = Lock::default();
    lock.record(&stored);
    assert_eq!(lock.series("4.19").unwrap().version, "4.19.316-1");
}

#[test]
fn the_newest_of_all_suites_is_taken() {
    let mut world = World::new();
    for (suite, version) in [("precise", "3.2.0-126.169"), ("precise-updates", "3.2.0-9.9")] {
        let abi = version.split(['-', '.']).nth(3).unwrap();
        let name = format!("linux-image-3.2.0-{abi}-virtual");
        world.archive.publish(suite, &name, version, &format!("3.2.0-{abi}-virtual"));
    }
    world.fetch("3.2");
    let stored = world.store.get("3.2").unwrap();
    assert_eq!((stored.release.as_str(), stored.suite.as_deref()), ("3.2.0-126-virtual", Some("precise")));
}

#[test]
fn a_suite_that_the_archive_lacks_does_not_matter_where_another_has_the_series() {
    let mut world = World::new();
    world.archive.publish("precise", "linux-image-3.2.0-23-virtual", "3.2.0-23.36", "3.2.0-23-virtual");
    let fetched = world.fetch("3.2");
    assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
    assert_eq!(world.store.get("3.2").unwrap().suite.as_deref(), Some("precise"));

    // One that is nowhere else is an error, which says what could not be read.
    let options =
        FetchOptions { series: vec!["3.2".into(), "3.13".into()], update: true, ..world.options("") };
    let fetched = world.fetch_with(&Lock::default(), &options, &mut |kernel| booted(kernel));
    let [error @ Error::NoPackage { series, .. }] = fetched.errors.as_slice() else {
        panic!("{:?}", fetched.errors)
    };
    assert_eq!(series, "3.13");
    assert!(error.to_string().contains("trusty-updates could not be read"), "{error}");
}

#[test]
fn a_locked_version_is_taken_and_falls_forward_when_it_has_left() {
    let mut world = World::with_4_19();
    world.fetch("4.19");
    let mut lock = Lock::default();
    lock.record(&world.store.get("4.19").unwrap());
    world.store.remove("4.19").unwrap();

    world.archive.publish(
        "buster",
        "linux-image-4.19.0-28-cloud-amd64",
        "4.19.400-1",
        "4.19.0-28-cloud-amd64",
    );
    let fetch = |world: &World, update| {
        let options = FetchOptions { update, ..world.options("4.19") };
        world.fetch_with(&lock, &options, &mut |kernel| booted(kernel))
    };
    fetch(&world, false);
    assert_eq!(world.store.get("4.19").unwrap().version.as_deref(), Some("4.19.316-1"), "as locked");
    fetch(&world, true);
    assert_eq!(world.store.get("4.19").unwrap().version.as_deref(), Some("4.19.400-1"), "as asked");
    assert_eq!(fetch(&world, true).downloads(), 0, "the newest is there already");

    world.store.remove("4.19").unwrap();
    world.archive.withdraw("4.19.316-1");
    let fetched = fetch(&world, false);
    let fell = FetchEvent::FellForward {
        series: "4.19".into(),
        locked: "4.19.316-1".into(),
        taken: "4.19.400-1".into(),
    };
    assert!(fetched.events.contains(&fell), "{:?}", fetched.events);
    assert_eq!(world.store.get("4.19").unwrap().version.as_deref(), Some("4.19.400-1"));
}

#[test]
fn a_locked_version_with_another_image_is_refused() {
    let world = World::with_4_19();
    world.fetch("4.19");
    let mut lock = Lock::default();
    lock.record(&world.store.get("4.19").unwrap());
    lock.kernels[0].sha256 = "0".repeat(64);
    world.store.remove("4.19").unwrap();
    let fetched = world.fetch_with(&lock, &world.options("4.19"), &mut |kernel| booted(kernel));
    assert!(matches!(fetched.errors[..], [Error::NotAsLocked { .. }]), "{:?}", fetched.errors);
    assert!(world.store.list().unwrap().is_empty());
}

#[test]
fn an_archive_without_a_signature_is_refused_unless_it_is_trusted() {
    let world = World::with_4_19();
    let refused = |keyring: Option<PathBuf>| {
        let archive = Archive { keyring, ..world.archive.untrusted() };
        let error = world.try_fetch(&FetchOptions { archive: Some(archive), ..world.options("4.19") });
        assert!(matches!(&error, Error::Apt { said, .. } if said.contains("not signed")), "{error}");
    };
    refused(None);
    refused(Some(world.file("keys.gpg", b"")));
    // What was once read without a signature does not count later.
    world.fetch("4.19");
    world.store.remove("4.19").unwrap();
    refused(None);
}

#[test]
fn a_package_that_is_not_as_listed_is_refused() {
    let world = World::with_4_19();
    let pool = world.directory.path().join("archive/pool");
    let file = pool.join("linux-image-4.19.0-27-cloud-amd64_4.19.316-1_amd64.deb");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let fetched = world.fetch("4.19");
    assert!(matches!(fetched.errors[..], [Error::Apt { .. }]), "{:?}", fetched.errors);
    assert!(world.store.list().unwrap().is_empty());
}

#[test]
fn what_cannot_be_fetched_is_said_before_anything_is_done() {
    let world = World::new();
    let error = |series: &str, group: Option<&str>| {
        let series = Some(series.to_owned()).filter(|series| !series.is_empty()).into_iter().collect();
        world.try_fetch(&FetchOptions { series, group: group.map(str::to_owned), ..Default::default() })
    };
    assert!(matches!(error("", Some("historic")), Error::ArchiveNeeded(_)));
    assert!(matches!(error("4.19", None), Error::ArchiveNeeded(_)));
    assert!(error("3.10", None).to_string().contains("atlas kernels add"));
    assert!(matches!(error("2.6", None), Error::NoEntry(_)));
    assert!(matches!(error("", Some("nonsense")), Error::NoEntry(_)));
}

#[test]
fn a_kernel_that_does_not_boot_is_kept_with_the_reason_and_tried_again() {
    let world = World::with_4_19();
    let failed = |_: &Kernel| Proof::Failed { reason: "it panicked".into() };
    let fetched = world.fetch_with(&Lock::default(), &world.options("4.19"), &mut { failed });
    assert!(matches!(&fetched.errors[..], [Error::NotProven { reason, .. }] if reason == "it panicked"));
    assert!(matches!(world.store.get("4.19").unwrap().proof, Proof::Failed { .. }));
    assert!(matches!(world.store.resolve("4.19"), Err(Error::NotProven { .. })));

    let fetched = world.fetch("4.19");
    assert_eq!((fetched.errors.len(), fetched.downloads()), (0, 0), "booted again, not downloaded again");
    world.store.resolve("4.19").unwrap();
    let fetched = world.fetch("4.19");
    assert_eq!(fetched.events, [FetchEvent::Present { series: "4.19".into() }]);
}

#[test]
fn a_damaged_image_is_found_and_fetched_again() {
    let world = World::with_4_19();
    world.fetch("4.19");
    let stored = world.store.get("4.19").unwrap();
    fs::write(world.store.path_of(&stored), b"damaged").unwrap();
    assert!(matches!(world.store.verify(&stored), Err(Error::Changed { .. })));
    assert_eq!(world.fetch("4.19").downloads(), 1);
    world.store.verify(&stored).unwrap();

    fs::remove_file(world.store.path_of(&stored)).unwrap();
    assert!(matches!(world.store.resolve("4.19"), Err(Error::File { .. })));
}

#[test]
fn two_fetches_at_once_download_once_and_both_succeed() {
    let world = World::with_4_19();
    let (root, options) = (world.store.root(), world.options("4.19"));
    let together = Barrier::new(2);
    let fetch = || {
        let store = Store::at(root.to_owned()).unwrap();
        let mut downloads = 0;
        together.wait();
        let mut tell =
            |event| downloads += usize::from(matches!(event, FetchEvent::Downloading { done: 0, .. }));
        let manifest = Manifest::embedded().unwrap();
        let prove = &mut |kernel: &Kernel| booted(kernel);
        let errors = store.fetch(&manifest, &Lock::default(), &options, &mut tell, prove).unwrap();
        assert!(errors.is_empty(), "{errors:?}");
        downloads
    };
    let downloads: usize = std::thread::scope(|scope| {
        let both = [scope.spawn(fetch), scope.spawn(fetch)];
        both.map(|one| one.join().unwrap()).iter().sum()
    });
    assert_eq!(downloads, 1);
    assert_eq!(world.store.list().unwrap().len(), 1);
    world.store.resolve("4.19").unwrap();
}

/// Runs one test of this file again in a process of its own, told of a directory.
fn again(test: &str, directory: &Path, path: Option<&Path>) -> std::process::ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test]).env(CHILD, directory).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.status().unwrap()
}

#[test]
fn a_killed_fetch_leaves_nothing_to_trip_over() {
    if let Some(directory) = env::var_os(CHILD) {
        let directory = PathBuf::from(directory);
        let options = FetchOptions {
            series: vec!["4.19".into()],
            archive: Some(Local::new(&directory).trusted()),
            ..Default::default()
        };
        let mut tell = |event| {
            if matches!(event, FetchEvent::Downloading { done, total, .. } if done == total) {
                std::process::abort();
            }
        };
        let store = Store::at(directory.join("a cache")).unwrap();
        let prove = &mut |kernel: &Kernel| booted(kernel);
        let _ = store.fetch(&Manifest::embedded().unwrap(), &Lock::default(), &options, &mut tell, prove);
        return;
    }
    let world = World::with_4_19();
    let status = again("a_killed_fetch_leaves_nothing_to_trip_over", world.directory.path(), None);
    assert!(!status.success(), "the child was to be killed");
    let left = |directory: &str| fs::read_dir(world.store.root().join(directory)).unwrap().count();
    assert_eq!(left("tmp"), 1, "it was killed over a download");
    // As if it had been killed between the image and its record.
    fs::write(world.store.root().join("images").join("0".repeat(64)), b"unrecorded").unwrap();

    let fetched = world.fetch("4.19");
    assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
    world.store.resolve("4.19").unwrap();
    assert_eq!((left("tmp"), left("images")), (0, 1));
}

#[test]
fn a_machine_without_apt_is_told_of_another_way() {
    if let Some(directory) = env::var_os(CHILD) {
        let store = Store::at(PathBuf::from(directory).join("a cache")).unwrap();
        let prove = &mut |kernel: &Kernel| booted(kernel);
        let (manifest, options) = (Manifest::embedded().unwrap(), FetchOptions::default());
        let error = store.fetch(&manifest, &Lock::default(), &options, &mut |_| (), prove).unwrap_err();
        assert!(matches!(error, Error::NoApt(_)), "{error}");
        assert!(error.to_string().contains("atlas kernels add"), "{error}");
        return;
    }
    let world = World::new();
    let nothing = world.directory.path().join("nothing");
    let status =
        again("a_machine_without_apt_is_told_of_another_way", world.directory.path(), Some(&nothing));
    assert!(status.success());
}

#[test]
fn images_and_packages_are_added_and_removed() {
    let world = World::new();
    let bare = world.file("bzImage", &image("6.99.1-mine"));
    let packed = world.file("linux.deb", &deb("usr/lib/modules/6.98.2/vmlinuz", &image("6.98.2")));
    let added = world.store.add(&bare, Some("mine")).unwrap();
    assert_eq!((&*added.name, &*added.release, added.default), ("mine", "6.99.1-mine", false));
    assert_eq!(world.store.add(&packed, None).unwrap().name, "6.98.2");
    assert_eq!(world.store.list().unwrap().len(), 2);

    assert!(matches!(world.store.resolve("mine"), Err(Error::NotProven { .. })), "not booted yet");
    world.store.prove("mine", booted(&world.store.resolve_unproven(&added).unwrap())).unwrap();
    for name in ["mine", "6.99.1-mine", "6.99"] {
        assert_eq!(world.store.resolve(name).unwrap().name, "mine");
    }
    assert_eq!(world.store.resolve(bare.to_str().unwrap()).unwrap().release, "6.99.1-mine");

    assert!(matches!(world.store.add(&bare, Some("mine")), Err(Error::NameTaken(_))));
    for bad in ["", "6.12", "a b", "../x", "-v", "a\n"] {
        assert!(matches!(world.store.add(&bare, Some(bad)), Err(Error::BadName { .. })), "{bad:?}");
    }
    let text = world.file("readme", b"hello");
    assert!(matches!(world.store.add(&text, None), Err(Error::NotAKernel { .. })));
    assert!(matches!(world.store.add(Path::new("/no/such/file"), None), Err(Error::File { .. })));

    world.store.remove("mine").unwrap();
    assert!(matches!(world.store.resolve("mine"), Err(Error::Unknown(_))));
    assert!(!world.store.path_of(&added).exists());
}
