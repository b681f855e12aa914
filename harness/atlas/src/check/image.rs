//! Files that can be run in a guest, which has no other: static programs.

use crate::bounded;
use atlas_wire::program::MAX_IMAGE;
use object::elf::{EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use std::path::Path;

/// Why a file is no program that can be run in a guest.
#[derive(Debug, thiserror::Error)]
pub enum NoProgram {
    /// It cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, std::io::Error),
    /// It does not fit.
    #[error("{0} has more than {MAX_IMAGE} bytes, for which guests have no room: strip it")]
    Large(String),
    /// It is none.
    #[error("{0} is no program: {1}. It has to be a statically linked ELF executable for x86-64")]
    Elf(String, String),
    /// It needs files that guests do not have.
    #[error(
        "{file} is linked dynamically: it needs {interpreter} and libraries, and guests have no files. Link it with -static"
    )]
    Dynamic {
        /// The file.
        file: String,
        /// What it asks for.
        interpreter: String,
    },
}

/// Reads a program's file.
///
/// # Errors
/// [`NoProgram`].
pub fn read(path: &Path) -> Result<Vec<u8>, NoProgram> {
    let file = path.display().to_string();
    let image = match bounded::read(path, MAX_IMAGE) {
        Err(error) => return Err(NoProgram::Read(file, error)),
        Ok(None) => return Err(NoProgram::Large(file)),
        Ok(Some(image)) => image,
    };
    match interpreter(&image) {
        Err(why) => Err(NoProgram::Elf(file, why)),
        Ok(Some(interpreter)) => Err(NoProgram::Dynamic { file, interpreter }),
        Ok(None) => Ok(image),
    }
}

/// What an x86-64 executable is to be loaded by, where it is not by the kernel alone.
fn interpreter(image: &[u8]) -> Result<Option<String>, String> {
    let wrong = |error: object::Error| error.to_string();
    let header = FileHeader64::<object::Endianness>::parse(image).map_err(wrong)?;
    let endian = header.endian().map_err(wrong)?;
    if header.e_machine(endian) != EM_X86_64 {
        return Err(format!("it is for the machine {}", header.e_machine(endian)));
    }
    let segments = header.program_headers(endian, image).map_err(wrong)?;
    let Some(asks) = segments.iter().find(|segment| segment.p_type(endian) == PT_INTERP) else {
        return if segments.is_empty() { Err("it has nothing to load".into()) } else { Ok(None) };
    };
    let name = asks.data(endian, image).map_err(|()| "its interpreter's name is cut off".to_owned())?;
    Ok(Some(String::from_utf8_lossy(name).trim_end_matches('\0').chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_static_program_is_refused() {
        assert!(interpreter(b"#!/bin/sh\n").is_err());
        assert!(interpreter(&[]).is_err());
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(interpreter(&own).unwrap().unwrap().contains("ld-linux"));
        let mut arm = own;
        arm[18] = 183;
        assert_eq!(interpreter(&arm).unwrap_err(), "it is for the machine 183");
    }
}
