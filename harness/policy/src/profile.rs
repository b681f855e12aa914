//! Container profiles, as policies: the `seccomp` object of the OCI runtime specification
//! (config-linux.md, "Seccomp"), alone or within a whole `config.json`, and Docker's own notation of it
//! (profiles/seccomp in moby), which adds `archMap`, `includes` and `excludes`.
//!
//! A profile says what runtimes make of it, so this follows runc (libcontainer/seccomp,
//! seccomp_linux.go `matchCall`): a rule whose action is the default one is none; conditions on
//! different arguments all have to hold, and where two are about the same argument each is a rule of its
//! own; the native ABI is spoken of whether it is named or not; calls by other ABIs kill the thread.
//! runc's answer of ENOSYS to calls newer than the profile is no part of the profile, and none of this.
//!
//! Nothing is dropped without a word: what has no meaning here is in [`Profile::notes`], what could
//! change the meaning is an [`ProfileError`].

mod notation;

use atlas_model::abi::syscalls;
use atlas_model::policy::{Comparison, Condition, Policy, Rule};
use atlas_model::{Abi, Action};
use notation::{Arg, Call, Choice, Seccomp, Spec};
use std::collections::BTreeSet;

/// The capabilities that a container has unless it is given others (moby, oci/caps/defaults.go).
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
/// The largest errno (include/linux/err.h `MAX_ERRNO`), which is also libseccomp's limit.
const MAX_ERRNO: u32 = 4095;
/// EPERM: what an errno is where none is named.
const EPERM: u16 = 1;
/// All that a tracer can be told (`SECCOMP_RET_DATA`).
const MAX_DATA: u32 = 0xffff;
/// Machines that profiles may name besides this one (runtime-spec config-linux.md, "Seccomp").
const OTHER_ARCHITECTURES: [&str; 20] = [
    "ARM",
    "AARCH64",
    "LOONGARCH64",
    "M68K",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PARISC",
    "PARISC64",
    "PPC",
    "PPC64",
    "PPC64LE",
    "RISCV64",
    "S390",
    "S390X",
    "SH",
    "SHEB",
];
/// Flags that profiles may name (runtime-spec config-linux.md, "Seccomp").
const FLAGS: [&str; 4] = ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"];
/// This machine's name in Docker's `includes` and `excludes`.
const NATIVE: &str = "amd64";

/// A profile, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it means.
    pub policy: Policy,
    /// What it says that has no meaning in the policy, a sentence each.
    pub notes: Vec<String>,
}

/// Why a text is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is no JSON, or not of this notation. A field that is not known is an error, since it may be a
    /// misspelt one.
    #[error("it is no OCI or Docker seccomp profile: {0}")]
    Notation(#[from] serde_json::Error),
    /// A whole configuration without a profile.
    #[error("it is a container's configuration without `linux.seccomp`: its container has no filter")]
    None,
    /// An action that is not one.
    #[error(
        "{place}: `{action}` is no action: SCMP_ACT_ALLOW, _ERRNO, _KILL, _KILL_THREAD, _KILL_PROCESS, _TRAP, _TRACE, _LOG and _NOTIFY are"
    )]
    Action {
        /// Where it stands.
        place: String,
        /// The action.
        action: String,
    },
    /// An errno where none can be, or none that there is.
    #[error("{place}: {why}")]
    Errno {
        /// Where it stands.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A comparison that is not one.
    #[error("{place}: `{op}` is no comparison: SCMP_CMP_NE, _LT, _LE, _EQ, _GE, _GT and _MASKED_EQ are")]
    Comparison {
        /// Where it stands.
        place: String,
        /// The comparison.
        op: String,
    },
    /// An argument that calls do not have.
    #[error("{place} is about argument {index}, and calls have six, from 0 to 5")]
    Argument {
        /// Where it stands.
        place: String,
        /// The argument.
        index: u32,
    },
    /// A rule about no call.
    #[error("{0} names no call")]
    Nameless(String),
    /// A machine that libseccomp knows nothing of.
    #[error("`{0}` is no architecture: SCMP_ARCH_X86_64, _X86 and _X32 are those of this machine")]
    Architecture(String),
    /// A flag that no runtime knows.
    #[error("`{0}` is no flag: SECCOMP_FILTER_FLAG_TSYNC, _LOG, _SPEC_ALLOW and _WAIT_KILLABLE_RECV are")]
    Flag(String),
    /// A release that is not one.
    #[error("{place}: minKernel `{release}` is no release: two numbers with a dot, as 4.8")]
    MinKernel {
        /// Where it stands.
        place: String,
        /// The release.
        release: String,
    },
    /// Docker's two notations of an entry's calls.
    #[error("{0} has `name` and `names`; runtimes take one of them (leave the other out)")]
    TwiceNamed(String),
    /// Two notations of the same thing.
    #[error("it has `architectures` and `archMap`; runtimes take one of them (leave the other out)")]
    TwiceArchitectures,
}

/// Reads a profile.
///
/// # Errors
/// [`ProfileError`].
pub fn read(text: &str) -> Result<Profile, ProfileError> {
    let value: serde_json::Value = serde_json::from_str(text)?;
    // A message of serde's names the line only where it reads the text itself.
    let seccomp: Seccomp = if value.get("linux").is_some() || value.get("ociVersion").is_some() {
        let spec: Spec = serde_json::from_str(text)?;
        spec.linux.and_then(|linux| linux.seccomp).ok_or(ProfileError::None)?
    } else {
        serde_json::from_str(text)?
    };
    of(&seccomp)
}

fn of(seccomp: &Seccomp) -> Result<Profile, ProfileError> {
    let mut notes = Vec::new();
    let abis = abis(seccomp, &mut notes)?;
    let unknown = |flag: &&String| !is_one_of(flag, "SECCOMP_FILTER_FLAG_", &FLAGS);
    if let Some(flag) = seccomp.flags.iter().flatten().find(unknown) {
        return Err(ProfileError::Flag(flag.clone()));
    }
    let default = action("defaultAction", &seccomp.default_action, seccomp.default_errno_ret)?;
    for (what, there) in [
        ("flags", seccomp.flags.as_ref().is_some_and(|flags| !flags.is_empty())),
        ("listenerPath", seccomp.listener_path.is_some()),
        ("listenerMetadata", seccomp.listener_metadata.is_some()),
    ] {
        if there {
            notes.push(format!("`{what}` is about attaching the filter, and not part of it"));
        }
    }
    let mut rules = Vec::new();
    let mut unknown = Vec::new();
    for (index, call) in seccomp.syscalls.iter().flatten().enumerate() {
        let place = format!("syscalls[{index}]");
        let names = call.names(&place)?;
        let action = action(&place, &call.action, call.errno_ret)?;
        let conditions = conditions(&place, call)?;
        if !applies(&place, call, &mut notes)? || action == default {
            continue;
        }
        for name in names {
            let numbers = abis.iter().filter_map(|&abi| Some((abi, syscalls::number(abi, name)?)));
            let before = rules.len();
            for (abi, nr) in numbers {
                rules.extend(conditions.iter().cloned().map(|conditions| Rule {
                    abi,
                    nr,
                    conditions,
                    action,
                }));
            }
            if rules.len() == before && !unknown.contains(&name) {
                unknown.push(name);
            }
        }
    }
    let capabilities = capabilities(seccomp);
    if !capabilities.is_empty() {
        let names: Vec<&str> = capabilities.into_iter().collect();
        notes.push(format!(
            "what depends on capabilities is decided for a container with Docker's default ones: {}",
            names.join(", ")
        ));
    }
    if !unknown.is_empty() {
        let names: Vec<String> = abis.iter().map(ToString::to_string).collect();
        notes.push(format!("no calls of {}: {}", names.join(", "), unknown.join(", ")));
    }
    several_actions(&rules, &mut notes);
    Ok(Profile { policy: Policy { abis, foreign: Action::KillThread, default, rules }, notes })
}

/// The capabilities that its entries depend on.
fn capabilities(seccomp: &Seccomp) -> BTreeSet<&str> {
    let choices =
        seccomp.syscalls.iter().flatten().flat_map(|call| [&call.includes, &call.excludes]).flatten();
    choices.filter_map(|choice| choice.caps.as_ref()).flatten().map(String::as_str).collect()
}

/// Which of several matching rules decides is not in the notation.
fn several_actions(rules: &[Rule], notes: &mut Vec<String>) {
    let differs = |(index, rule): (usize, &Rule)| {
        let before = rules[..index].iter().find(|it| (it.abi, it.nr) == (rule.abi, rule.nr))?;
        (before.action != rule.action).then(|| syscalls::name(rule.abi, rule.nr).unwrap_or_default())
    };
    let mut names: Vec<&str> = rules.iter().enumerate().filter_map(differs).collect();
    names.dedup();
    if !names.is_empty() {
        notes.push(format!(
            "rules with several actions, of which the first that matches decides: {}",
            names.join(", ")
        ));
    }
}

/// The ABIs that it speaks of, the native one first.
fn abis(seccomp: &Seccomp, notes: &mut Vec<String>) -> Result<Vec<Abi>, ProfileError> {
    let named: Vec<&str> = match (&seccomp.architectures, &seccomp.arch_map) {
        (Some(list), Some(map)) if !list.is_empty() && !map.is_empty() => {
            return Err(ProfileError::TwiceArchitectures);
        }
        (_, Some(map)) if !map.is_empty() => {
            let ours = map.iter().find(|entry| entry.architecture == "SCMP_ARCH_X86_64");
            let sub = ours.and_then(|entry| entry.sub_architectures.as_ref());
            sub.into_iter().flatten().map(String::as_str).collect()
        }
        (Some(list), _) => list.iter().map(String::as_str).collect(),
        _ => vec![],
    };
    let mut abis = vec![Abi::X86_64];
    let mut others = Vec::new();
    for name in named {
        match name {
            "SCMP_ARCH_X86_64" | "SCMP_ARCH_NATIVE" => {}
            "SCMP_ARCH_X86" if !abis.contains(&Abi::I386) => abis.push(Abi::I386),
            "SCMP_ARCH_X32" if !abis.contains(&Abi::X32) => abis.push(Abi::X32),
            "SCMP_ARCH_X86" | "SCMP_ARCH_X32" => {}
            other if is_one_of(other, "SCMP_ARCH_", &OTHER_ARCHITECTURES) => others.push(other),
            other => return Err(ProfileError::Architecture(other.into())),
        }
    }
    if !others.is_empty() {
        notes.push(format!("no architectures of this machine: {}", others.join(", ")));
    }
    Ok(abis)
}

fn action(place: &str, name: &str, errno: Option<u32>) -> Result<Action, ProfileError> {
    let wrong = |why: String| ProfileError::Errno { place: place.into(), why };
    let (what, most) = if name == "SCMP_ACT_TRACE" { ("data", MAX_DATA) } else { ("errno", MAX_ERRNO) };
    if let Some(errno) = errno.filter(|errno| *errno > most) {
        return Err(wrong(format!("{what} {errno} is beyond the largest, {most}")));
    }
    let data = errno.and_then(|errno| u16::try_from(errno).ok()).unwrap_or(EPERM);
    let action = match name {
        "SCMP_ACT_ERRNO" => return Ok(Action::Errno(data)),
        "SCMP_ACT_TRACE" => return Ok(Action::Trace(data)),
        "SCMP_ACT_ALLOW" => Action::Allow,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap(0),
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_NOTIFY" => Action::UserNotif,
        _ => return Err(ProfileError::Action { place: place.into(), action: name.into() }),
    };
    match errno {
        None => Ok(action),
        Some(errno) => Err(wrong(format!("{name} takes no errno, and {errno} is given"))),
    }
}

/// The conditions of each rule that an entry makes.
fn conditions(place: &str, call: &Call) -> Result<Vec<Vec<Condition>>, ProfileError> {
    let args = call.args.as_deref().unwrap_or_default();
    let all: Vec<Condition> = args.iter().map(|arg| condition(place, arg)).collect::<Result<_, _>>()?;
    let twice = |at: usize| all[..at].iter().any(|before| before.arg == all[at].arg);
    // seccomp_linux.go matchCall, "Revert to old behavior".
    let apart = (0..all.len()).any(twice);
    Ok(if apart { all.into_iter().map(|one| vec![one]).collect() } else { vec![all] })
}

fn condition(place: &str, arg: &Arg) -> Result<Condition, ProfileError> {
    let (comparison, value) = match arg.op.as_str() {
        "SCMP_CMP_NE" => (Comparison::NotEqual, arg.value),
        "SCMP_CMP_LT" => (Comparison::Less, arg.value),
        "SCMP_CMP_LE" => (Comparison::LessOrEqual, arg.value),
        "SCMP_CMP_EQ" => (Comparison::Equal, arg.value),
        "SCMP_CMP_GE" => (Comparison::GreaterOrEqual, arg.value),
        "SCMP_CMP_GT" => (Comparison::Greater, arg.value),
        // The value is the mask, and the second one what is left under it.
        "SCMP_CMP_MASKED_EQ" => (Comparison::Masked(arg.value), arg.value_two.unwrap_or_default()),
        op => return Err(ProfileError::Comparison { place: place.into(), op: op.into() }),
    };
    match u8::try_from(arg.index) {
        Ok(index @ 0..=5) => Ok(Condition { arg: index, comparison, value }),
        _ => Err(ProfileError::Argument { place: place.into(), index: arg.index }),
    }
}

/// Whether an entry is for a container with the default capabilities, on this machine, on a kernel new
/// enough for everything (profiles/seccomp/seccomp_linux.go setupSeccomp).
fn applies(place: &str, call: &Call, notes: &mut Vec<String>) -> Result<bool, ProfileError> {
    let has = |name: &String| DEFAULT_CAPABILITIES.contains(&name.as_str());
    let native = |name: &String| name == NATIVE;
    let list = |choice: &Option<Choice>, of: fn(&Choice) -> &Option<Vec<String>>| {
        choice.as_ref().and_then(|choice| of(choice).clone()).unwrap_or_default()
    };
    let kernel = |choice: &Option<Choice>| choice.as_ref().and_then(|choice| choice.min_kernel.clone());
    for release in [kernel(&call.includes), kernel(&call.excludes)].into_iter().flatten() {
        let is_number = |part: &str| part.parse::<u16>().is_ok();
        if !release.split_once('.').is_some_and(|(one, other)| is_number(one) && is_number(other)) {
            return Err(ProfileError::MinKernel { place: place.into(), release });
        }
    }
    if let Some(release) = kernel(&call.includes) {
        notes.push(format!("{place} is for kernels from {release} on, and taken in for all"));
    }
    if let Some(release) = kernel(&call.excludes) {
        notes.push(format!("{place} is for kernels before {release}, and left out for all"));
        return Ok(false);
    }
    let arches = list(&call.includes, |choice| &choice.arches);
    Ok(list(&call.includes, |choice| &choice.caps).iter().all(has)
        && !list(&call.excludes, |choice| &choice.caps).iter().any(has)
        && (arches.is_empty() || arches.iter().any(native))
        && !list(&call.excludes, |choice| &choice.arches).iter().any(native))
}

/// Whether a name has this prefix and one of these ends.
fn is_one_of(name: &str, prefix: &str, ends: &[&str]) -> bool {
    name.strip_prefix(prefix).is_some_and(|end| ends.contains(&end))
}
