//! What the trials reached in the language of filters.

use atlas_model::abi::SeccompData;
use atlas_model::arbitrary::cover;
use atlas_model::bpf::{Dialect, Filter};
use atlas_model::experiment::{Op, Program, layout};
use atlas_model::{Abi, Experiment};
use atlas_properties::Trial;

/// Counts what trials reach.
#[derive(Default)]
pub(super) struct Coverage(cover::Coverage);

/// What was reached: how many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Operation codes that ran.
    pub opcodes: (usize, usize),
    /// Actions that filters gave.
    pub actions: (usize, usize),
}

impl Coverage {
    pub(super) fn note(&mut self, trial: &Trial) {
        trial.experiments.iter().for_each(|experiment| self.note_experiment(experiment));
    }

    /// Runs every call through the filters before it, whoever attached them.
    fn note_experiment(&mut self, experiment: &Experiment) {
        let mut filters: Vec<Filter> = Vec::new();
        for step in &experiment.steps {
            match &step.op {
                Op::Install(install) => {
                    if let Program::Filter(filter) = &install.program
                        && atlas_model::bpf::check(filter, &Dialect::default()).is_ok()
                    {
                        filters.push(filter.clone());
                    }
                }
                Op::Call(call) => {
                    let ip = if call.abi == Abi::I386 { layout::INT80_IP } else { layout::SYSCALL_IP };
                    let data = SeccompData {
                        nr: call.nr as u32,
                        arch: call.abi.audit_arch(),
                        instruction_pointer: ip,
                        args: call.args,
                    };
                    self.0.note(&filters, &data, &Dialect::default());
                }
                _ => {}
            }
        }
    }

    pub(super) fn reach(&self) -> Reach {
        Reach { opcodes: self.0.opcodes(), actions: self.0.actions() }
    }
}
