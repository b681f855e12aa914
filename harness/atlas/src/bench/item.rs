//! One thing to count.

use atlas_model::abi::{SeccompData, syscalls};
use atlas_model::bpf::{self, Dialect};
use atlas_model::experiment::Call;
use atlas_model::{Abi, Filter};
use atlas_wire::measure::{Answerer, Behind, Subject};

/// The row that others are compared with: the call without a filter.
pub const REFERENCE: &str = "call/getppid";
/// Rounds of a call.
pub(super) const ROUNDS: u32 = 100;

/// One thing to count.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name: a theme, and parts behind slashes.
    pub name: String,
    /// What the guest is asked to do.
    pub subject: Subject,
    /// How often.
    pub rounds: u32,
    /// Whether the figure is the same in every run. Otherwise it is a spread.
    pub exact: bool,
    /// What the call has to return; anything where absent.
    pub returns: Option<i64>,
    /// The row with the same call and no filter.
    pub baseline: Option<String>,
}

impl Item {
    /// Instructions of its filters, and how many of them run for its call.
    #[must_use]
    pub fn lengths(&self) -> (u32, u32) {
        let none = Call { abi: Abi::X86_64, nr: 0, args: [0; 6] };
        let (filters, call) = match &self.subject {
            Subject::Call { behind: Behind::Filters(filters), call, .. } => (filters.as_slice(), *call),
            Subject::Death { filter, call } => (std::slice::from_ref(filter), *call),
            Subject::Load { filter, .. } => return (filter.0.len() as u32, 0),
            Subject::Call { .. } | Subject::Ruby { .. } | Subject::Speculation { .. } => (&[][..], none),
        };
        let data = seen(&call);
        let length = filters.iter().map(|filter| filter.0.len() as u32).sum();
        let steps = filters.iter().map(|filter| bpf::run(filter, &data, &Dialect::default()).steps).sum();
        (length, steps)
    }
}

/// What a filter sees of a call that a guest makes.
#[must_use]
pub fn seen(call: &Call) -> SeccompData {
    use atlas_model::experiment::layout::{INT80_IP, SYSCALL_IP};
    let i386 = call.abi == Abi::I386;
    SeccompData {
        nr: call.nr as u32,
        arch: call.abi.audit_arch(),
        instruction_pointer: if i386 { INT80_IP } else { SYSCALL_IP },
        args: call.args.map(|arg| if i386 { arg & u64::from(u32::MAX) } else { arg }),
    }
}

/// A call of the native ABI, by name.
#[must_use]
pub fn native(name: &str, first: u64) -> Option<Call> {
    let nr = syscalls::number(Abi::X86_64, name)?;
    Some(Call { abi: Abi::X86_64, nr: nr.into(), args: [first, 0, 0, 0, 0, 0] })
}

/// A call behind filters that the kernel answers.
#[must_use]
pub fn behind(name: impl Into<String>, filters: Vec<Filter>, call: Call, returns: Option<i64>) -> Item {
    let behind = if filters.is_empty() { Behind::Nothing } else { Behind::Filters(filters) };
    Item {
        name: name.into(),
        subject: Subject::Call { behind, call, answerer: Answerer::Kernel },
        rounds: ROUNDS,
        exact: true,
        returns,
        baseline: Some(REFERENCE.into()),
    }
}
