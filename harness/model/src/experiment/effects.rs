//! Calls whose effect shows from outside, and what each does.
//!
//! An [`Effect`] is one syscall with arguments from [`layout`], by the native and by the i386 ABI,
//! the scratch memory that it points to, and the [`Deed`] that it does when seccomp lets it run.
//! In a watched experiment ([`super::Experiment::watch`]) the model does the deeds of the calls that
//! run, in order, and of no others. Any effects may stand in one experiment, any number of times:
//! each has its own place in the scratch area, and [`crate::expect`] knows what a second time does.

mod table;

use super::{Call, Experiment, Op, Step, TaskId, layout};
use crate::abi::{Abi, syscalls};
use crate::traits::Traits;
use crate::world::{Change, Open, Protection, Resource};

pub use table::ALL;

/// A call whose effect shows.
#[derive(Debug)]
pub struct Effect {
    /// Its name, unique; the call's own name by the native ABI.
    pub name: &'static str,
    /// What it does.
    pub deed: Deed,
    native: Form,
    i386: Form,
}

/// What a call does to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Opens a file, and makes it where there is none.
    Create {
        /// Its name in the watched directory.
        name: &'static str,
        /// It is opened for writing, otherwise for reading.
        write: bool,
    },
    /// Makes an entry that must not be there yet.
    Make {
        /// Its name.
        name: &'static str,
        /// What it shall be.
        what: Made,
    },
    /// Removes a file or, if that is what it is, a directory.
    Remove(&'static str),
    /// Renames a file.
    Rename {
        /// Its name.
        from: &'static str,
        /// What it is called afterwards.
        to: &'static str,
    },
    /// Gives a file another mode, which only its owner and root may.
    Mode(&'static str, u32),
    /// Gives a file another length, by its name or an open descriptor.
    Length(&'static str, u64),
    /// Writes so many bytes to the beginning of an open file.
    WriteFile(&'static str, u64),
    /// Writes so many bytes to the pipe.
    WritePipe(u32),
    /// Sends a signal to process 1, which only root may.
    Signal(u32),
    /// Maps a page of the window, or maps it anew.
    Map(u32),
    /// Unmaps a page.
    Unmap(u32),
    /// Protects a mapped page otherwise.
    Protect(u32, Protection),
    /// Duplicates [`layout::FD_READ`] to the lowest free number from this one on.
    DuplicateFrom(u32),
    /// Duplicates [`layout::FD_READ`] to exactly this number.
    DuplicateTo(u32),
    /// Closes a descriptor.
    Close(u32),
    /// Opens things by the lowest free numbers; whether the first one's number is returned.
    Open(&'static [Opened], bool),
    /// Sets a limit: soft, hard.
    Limit(Resource, u64, u64),
    /// Goes to a directory of the watched one.
    Directory(&'static str),
    /// Sets the umask and returns the old one.
    Umask(u32),
    /// Sets the nice value.
    Nice(i32),
    /// Sets the personality and returns the old one.
    Personality(u32),
    /// Becomes nobody.
    Nobody,
    /// Sets the host name, which only root may.
    Hostname(&'static str),
}

/// What [`Deed::Make`] makes. Modes are those asked for, before the umask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// A directory.
    Directory(u32),
    /// A named pipe.
    Fifo(u32),
    /// A symbolic link to this.
    Symlink(&'static str),
    /// Another name of this file.
    Link(&'static str),
}

/// What [`Deed::Open`] opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// One end of a pipe.
    Pipe,
    /// A socket.
    Socket,
    /// Something anonymous, as `/proc/PID/fd` names it.
    Anonymous(&'static str),
}

impl Opened {
    /// What a descriptor of it refers to.
    #[must_use]
    pub fn open(self) -> Open {
        match self {
            Self::Pipe => Open::Pipe,
            Self::Socket => Open::Socket,
            Self::Anonymous(kind) => Open::Anonymous(kind.into()),
        }
    }
}

/// A call by one ABI.
#[derive(Debug)]
struct Form {
    call: &'static str,
    args: &'static [Arg],
}

/// An argument, and the scratch memory that it points to.
#[derive(Clone, Copy, Debug)]
enum Arg {
    /// A number.
    Is(u64),
    /// The path of an entry of the watched directory.
    Path(&'static str),
    /// Text without an end.
    Text(&'static str),
    /// 16 bytes of room.
    Room,
    /// Words of 32 bits.
    Words(&'static [u32]),
    /// Words of 64 bits.
    Wide(&'static [u64]),
    /// Words of the ABI's size.
    Longs(&'static [u64]),
}

/// Where the effects' scratch memory begins, from the beginning of the scratch area. What lies below
/// is free for others.
pub const MEMORY: u32 = 0x1_0000;
/// How much each effect has: one half an ABI.
const SLOT: u32 = 0x200;
/// How much each argument has; the last may have more.
const PART: u32 = 0x40;

const _: () = assert!(MEMORY as u64 + ALL.len() as u64 * SLOT as u64 <= layout::SCRATCH_LEN);

impl Effect {
    /// The effect of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|effect| effect.name == name)
    }

    /// The effect whose call this is; registers are compared as far as the ABI's entry looks at them.
    #[must_use]
    pub fn of(call: &Call) -> Option<&'static Self> {
        let name = syscalls::name(call.abi, call.nr as u32)?;
        let seen =
            |args: [u64; 6]| if call.abi == Abi::I386 { args.map(|arg| arg & 0xffff_ffff) } else { args };
        ALL.iter().find(|effect| {
            effect.form(call.abi).is_some_and(|form| form.call == name)
                && effect.call(call.abi).is_some_and(|own| seen(own.args) == seen(call.args))
        })
    }

    fn form(&self, abi: Abi) -> Option<&Form> {
        match abi {
            Abi::X86_64 => Some(&self.native),
            Abi::I386 => Some(&self.i386),
            Abi::X32 => None,
        }
    }

    /// The call. `None` for x32, whose kernels are few.
    #[must_use]
    pub fn call(&self, abi: Abi) -> Option<Call> {
        let form = self.form(abi)?;
        let mut args = [0; 6];
        for (index, arg) in form.args.iter().enumerate() {
            args[index] = match arg {
                Arg::Is(number) => *number,
                _ => layout::SCRATCH + u64::from(self.part(abi, index)),
            };
        }
        Some(Call { abi, nr: syscalls::number(abi, form.call)?.into(), args })
    }

    /// Puts the call and its scratch memory at the end of an experiment. False, and nothing, for x32.
    pub fn add_to(&self, experiment: &mut Experiment, task: TaskId, abi: Abi) -> bool {
        let Some(call) = self.call(abi) else { return false };
        experiment.memory.extend(self.memory(abi));
        experiment.steps.push(Step { task, op: Op::Call(call) });
        true
    }

    /// What it changes when it is the only call of a watched experiment and nothing forbids it.
    #[must_use]
    pub fn changes(&self, abi: Abi, traits: &Traits) -> Vec<Change> {
        let mut experiment = Experiment { watch: true, ..Experiment::default() };
        self.add_to(&mut experiment, 0, abi);
        crate::expect::expect(&experiment, traits).world.unwrap_or_default()
    }

    /// What has to be in [`super::Experiment::memory`] for the call.
    #[must_use]
    pub fn memory(&self, abi: Abi) -> Vec<(u32, Vec<u8>)> {
        let args = self.form(abi).map_or(&[][..], |form| form.args);
        let filled = |(index, arg): (usize, &Arg)| {
            let bytes = arg.bytes(abi)?;
            Some((self.part(abi, index), bytes))
        };
        args.iter().enumerate().filter_map(filled).collect()
    }

    /// Where an argument's memory is.
    fn part(&self, abi: Abi, index: usize) -> u32 {
        let place = ALL.iter().position(|effect| effect.name == self.name).unwrap_or_default() as u32;
        let half = if abi == Abi::I386 { SLOT / 2 } else { 0 };
        MEMORY + place * SLOT + half + index as u32 * PART
    }
}

impl Arg {
    fn bytes(self, abi: Abi) -> Option<Vec<u8>> {
        let bytes = match self {
            Self::Is(_) => return None,
            Self::Path(name) => format!("{}/{name}\0", layout::WORLD).into_bytes(),
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Room => vec![0; 16],
            Self::Words(words) => words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Self::Wide(words) => words.iter().flat_map(|word| word.to_le_bytes()).collect(),
            Self::Longs(words) if abi == Abi::I386 => {
                words.iter().flat_map(|&word| (word as u32).to_le_bytes()).collect()
            }
            Self::Longs(words) => words.iter().flat_map(|word| word.to_le_bytes()).collect(),
        };
        Some(bytes)
    }
}
