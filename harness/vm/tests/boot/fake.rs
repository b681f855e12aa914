//! Processes that play QEMU. The CPU model that they are asked for is the part they play.

use atlas_wire::frame::{Kind, frame};
use atlas_wire::{Hello, Response, encode};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread;

/// The part to play; `None` when the tests are to run.
pub(crate) fn role() -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "-cpu");
    arguments.nth(1)
}

/// Where the guest's end of a serial line is.
fn line(name: &str) -> File {
    let prefix = format!("socket,id={name},fd=");
    let number = std::env::args().find_map(|argument| argument.strip_prefix(&prefix)?.parse().ok());
    // SAFETY: the descriptor was handed over for this, and nothing else in this process uses it.
    unsafe { File::from_raw_fd(number.expect("the line is on the command line")) }
}

fn say(text: &str) {
    line("console").write_all(text.as_bytes()).expect("somebody reads the console");
}

fn for_ever() -> ! {
    loop {
        thread::park();
    }
}

/// Ready, and then an answer to the first request.
fn answer(payload: &[u8]) -> ! {
    let mut frames = line("frames");
    frames.write_all(&frame(Kind::Ready, 0, b"")).expect("somebody reads frames");
    let _ = frames.read(&mut [0; 4096]).expect("somebody asks");
    frames.write_all(&frame(Kind::Response, 1, payload)).expect("somebody reads frames");
    for_ever()
}

/// Whether it is to start what was unpacked, which has no name, and an image has.
fn has_unpacked() -> bool {
    let kernel = std::env::args().skip_while(|word| word != "-kernel").nth(1);
    kernel.is_some_and(|file| file.starts_with("/proc/self/fd/"))
}

fn real(arguments: impl Iterator<Item = String>) -> ! {
    let error = Command::new("qemu-system-x86_64").args(arguments).exec();
    panic!("{error}")
}

/// Plays the part.
pub(crate) fn play(role: &str) -> ExitCode {
    match role {
        "silent" => for_ever(),
        "panicking" => {
            say("[    0.9] Kernel panic - not syncing: No working init found.\n[    0.9] CPU: 0\n");
            for_ever()
        }
        "stalling" => {
            say("[   23.1] rcu: INFO: rcu_preempt self-detected stall on CPU\n");
            for_ever()
        }
        "complaining" => {
            eprintln!("qemu: could not load kernel\u{1b}[2J");
            ExitCode::FAILURE
        }
        "complaining-and-staying" => {
            eprintln!("warning: host doesn't support requested feature");
            eprintln!("error: kvm run failed Invalid argument\nRAX=0000000000000000");
            for_ever()
        }
        "complaining-for-ever" => loop {
            eprintln!("qemu: it is all wrong");
        },
        "resetting" => ExitCode::SUCCESS,
        "flooding" => {
            let mut console = line("console");
            while console.write_all(&[b'#'; 4096]).is_ok() {}
            for_ever()
        }
        "noisy" => {
            let mut frames = line("frames");
            while frames.write_all(&[b'#'; 4096]).is_ok() {}
            for_ever()
        }
        "old" => {
            let hello = Hello { protocol: 0, ..Hello::default() };
            answer(&encode(&Response::Hello(hello)).expect("a hello can be encoded"))
        }
        "refusing" => {
            answer(&encode(&Response::Refused("not today".into())).expect("a refusal can be encoded"))
        }
        "choosy" if has_unpacked() => {
            eprintln!("qemu: no kernel but in an image");
            ExitCode::FAILURE
        }
        "sleepy" if has_unpacked() => for_ever(),
        "choosy" | "sleepy" => {
            real(std::env::args().skip(1).map(|word| if word == role { "max".into() } else { word }))
        }
        // What is no part is for the real QEMU.
        _ => real(std::env::args().skip(1)),
    }
}
