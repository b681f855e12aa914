//! Images that are none.

use crate::support::{Test, boot_image, image};
use atlas_vm::{BootOptions, Error, Machine, Reason};
use std::fs;

pub(crate) const TESTS: &[Test] = &[
    ("a_missing_image_is_named", a_missing_image_is_named),
    ("a_truncated_image_is_refused", a_truncated_image_is_refused),
    ("what_is_no_kernel_is_refused", what_is_no_kernel_is_refused),
    ("another_architecture_is_named", another_architecture_is_named),
    ("a_damaged_image_is_noticed", a_damaged_image_is_noticed),
];

fn boot(content: &[u8]) -> Error {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("image");
    fs::write(&path, content).expect("the image can be written");
    let cpus = vec!["max".to_owned()];
    match boot_image(&path, |options| options.cpus = cpus) {
        Ok(_) => panic!("it booted"),
        Err(error) => error,
    }
}

#[track_caller]
fn assert_refused(content: &[u8], says: &str) {
    let error = boot(content);
    assert!(matches!(error, Error::NotAKernel(_)) && error.to_string().contains(says), "{error}");
}

fn a_missing_image_is_named() {
    let path = std::path::Path::new("/no/such/vmlinuz");
    let Err(error) = Machine::boot(path, &BootOptions::default()) else { panic!("it booted") };
    assert!(
        matches!(error, Error::Image { .. }) && error.to_string().contains("/no/such/vmlinuz"),
        "{error}"
    );
}

fn a_truncated_image_is_refused() {
    let whole = fs::read(image()).expect("the image can be read");
    assert_refused(&whole[..whole.len() / 2], "cut off");
}

fn what_is_no_kernel_is_refused() {
    assert_refused(&[0x5a; 100_000], "no x86 setup header");
}

fn another_architecture_is_named() {
    let mut arm = vec![0; 100_000];
    arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
    assert_refused(&arm, "arm64");
}

/// The header is whole. The host cannot unpack it, and the kernel's own decompressor says why.
fn a_damaged_image_is_noticed() {
    let mut content = fs::read(image()).expect("the image can be read");
    let middle = content.len() / 2;
    content[middle..middle + 4096].iter_mut().for_each(|byte| *byte ^= 0x55);
    let error = boot(&content);
    let Error::Boot { lost, .. } = &error else { panic!("{error}") };
    assert!(matches!(&lost.reason, Reason::Panic(line) if line.contains("System halted")), "{error}");
}
