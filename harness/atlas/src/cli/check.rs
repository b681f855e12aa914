//! `atlas check`.

use super::compiler::{CompilerChoice, subject};
use super::each::{interrupted, on_each, teller};
use super::place::{Place, Ready};
use super::{DEVIATES, Failure};
use crate::check::chosen::Chosen;
use crate::check::files::{self, Files};
use crate::check::program::Program;
use crate::check::{Order, is_well, json, means_its_policy, needs, on_kernel, text};
use crate::cli::out::{say, sayln};
use crate::numbers::few;
use crate::report::safe::one_line;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A filter as the kernel takes it, an OCI or Docker profile, or a policy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A program to run behind it, and its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
    /// Who makes the filter of a policy [default: linear]
    #[arg(long, value_enum)]
    compiler: Option<CompilerChoice>,
    #[command(flatten)]
    place: Place,
    /// The exit status that the program is to end with
    #[arg(long, value_name = "STATUS", default_value_t = 0, requires = "program", value_parser = clap::value_parser!(i32).range(0..=255))]
    status: i32,
    /// A variable of the program's environment, which has no other
    #[arg(long, value_name = "NAME=VALUE", requires = "program", value_parser = variable)]
    env: Vec<String>,
    /// A file or directory that the program finds besides, where it is here or in another place; the last
    /// one of a place counts
    #[arg(long = "file", value_name = "PATH[=PLACE]", requires = "program")]
    files: Vec<String>,
    /// How long the program, and how long one sweep may take, in seconds, from 1 to 100
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long, short)]
    quiet: bool,
}

/// How many files are named that were left out.
const LEFT_OUT: usize = 8;
/// How many characters of each.
const COLUMNS: usize = 160;

const EXAMPLES: &str = "\
Examples:
  atlas check profile.json                          a profile on every default kernel
  atlas check profile.json --compiler libseccomp    the filter that libseccomp makes of it
  atlas check my.bpf --kernel 5.10 --jit on         your own filter, on one kernel
  atlas check profile.json -- ./server --selftest   a program behind it
  atlas check profile.json --file ./conf=/etc/server -- ./server
  atlas check my.bpf --status 3 -- ./program        one that is to end with status 3
  atlas check my.bpf --json -- ./program | jq '.runs[].program.denied[] | {call, action}'

Asked for are every number of every ABI and, for each way through the filter, a call that takes it;
none is carried out. The program runs as root in a guest of its own, in a directory that is named as
this one. It finds itself there, its loader and the libraries that the loader names (which is asked on
this machine), what --file gives, /proc, /sys, /dev and an empty /tmp; no file is written back.

Exit status: 0 every kernel does what the model says and the program ends as it is to, 1 one does
not or could not be asked, 2 usage or environment.";

fn variable(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("it has to be NAME=VALUE".into()),
    }
}

pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    let subject = subject(&args.file, args.compiler)?;
    // Before Ctrl-C is taken: it may take a second.
    let map = subject.map();
    let chosen = Chosen::of(&subject.filter, &map.explored);
    let faithful = means_its_policy(&subject, &chosen.calls);
    let program =
        args.program.split_first().map(|(path, arguments)| program(args, path, arguments)).transpose()?;
    let Ready { kernels, guests, stop } = args.place.ready()?;
    let limit = Duration::from_secs(args.limit.into());
    let needs = needs(&subject.filter, &chosen.calls);
    let order = Order { filter: subject.filter.clone(), chosen, needs, program, jit: args.place.jit, limit };
    let tell = teller(args.quiet, &stop);
    let legs = on_each(&kernels, &stop, |kernel| on_kernel(kernel, &guests, &order, &tell));
    if args.json {
        let mut json = json::of(&subject, &map, &order, &legs, &faithful);
        json["complete"] = (!stop.load(SeqCst)).into();
        sayln!("{}", serde_json::to_string_pretty(&json)?);
    } else {
        say!("{}", text::render(&subject, &map, &order, &legs));
    }
    if let Err(disagreement) = &faithful {
        eprintln!("the filter is not what the policy means:\n{disagreement}");
    }
    if stop.load(SeqCst) {
        return Ok(interrupted(legs.iter().map(|leg| &leg.every.kernel), kernels.len()));
    }
    let well = faithful.is_ok() && is_well(&legs);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(DEVIATES) })
}

fn program(args: &Args, name: &str, arguments: &[String]) -> Result<Program, Failure> {
    let (path, mut files) = Files::of_program(name, &args.env)?;
    for file in &args.files {
        match file.rsplit_once('=') {
            // A path may have a `=` of its own.
            Some((from, place)) if !Path::new(file).exists() => {
                if !place.starts_with('/') {
                    return Err(
                        format!("--file {file}: the place has to be absolute, as {from}=/{place}").into()
                    );
                }
                files.add(Path::new(from), Some(place))?;
            }
            _ => files.add(Path::new(file), None)?,
        }
    }
    if !files.left_out().is_empty() {
        let names: Vec<String> = files.left_out().iter().map(|name| one_line(name, COLUMNS)).collect();
        let names = few(&names, LEFT_OUT);
        eprintln!("left out, links that lead nowhere or up again and what is no file: {names}");
    }
    Ok(Program {
        name: name.to_owned(),
        files,
        path,
        directory: files::directory()?,
        arguments: arguments.to_vec(),
        environment: args.env.clone(),
        limit: Duration::from_secs(args.limit.into()),
        status: args.status,
    })
}
