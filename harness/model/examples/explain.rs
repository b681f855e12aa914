//! Writes a small filter down, then says what it does with three calls and why.
//!
//! ```sh
//! cargo run -p atlas-model --example explain
//! ```

use atlas_model::abi::{SeccompData, offset, syscalls};
use atlas_model::bpf::{self, Dialect, Filter};
use atlas_model::{Abi, Action};

fn main() -> Result<(), bpf::Rejection> {
    let filter = Filter(vec![
        bpf::ld(offset::ARCH),
        bpf::jeq(Abi::X86_64.audit_arch(), 0, 4),
        bpf::ld(offset::NR),
        bpf::jge(Abi::X32_BIT, 2, 0),
        bpf::jeq(110, 2, 0),
        bpf::ret(Action::Allow),
        bpf::ret(Action::KillProcess),
        bpf::ret(Action::Errno(1)),
    ]);
    let dialect = Dialect::default();
    bpf::check(&filter, &dialect)?;
    print!("{}", bpf::disassemble(&filter));
    let chain = [filter];
    for abi in Abi::ALL {
        let Some(nr) = syscalls::number(abi, "getppid") else {
            continue;
        };
        let data = SeccompData { nr, arch: abi.audit_arch(), ..SeccompData::default() };
        println!("{abi} getppid: {}", bpf::explain(&chain, &data, &dialect, false));
    }
    Ok(())
}
