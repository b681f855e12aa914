//! A rules engine for many tenants: every tenant's untrusted Ruby rule decides on every event, and no
//! rule can hurt another tenant's decisions.
//!
//! Events are JSON objects, one a line. A **rule** is a Ruby file with `def decide(event)`. Each tenant
//! has a [`Sandbox`](mruby_runner::Sandbox) and a thread of its own; lines go into the worker as they
//! came and are parsed there, behind the filter. A worker without any tenant's code, the **checker**,
//! says beforehand which lines are events, so that a bad line is nobody's fault and no rule can call a
//! good line bad.
//!
//! What a rule does wrong is a **strike** with a typed [`Reason`]; after [`Options::strikes`] of them
//! the tenant is **quarantined**: its rule is not asked again. Records come in the order of events, and
//! for each event in the order of tenants.
//!
//! ```no_run
//! use atlas_rules::{Engine, Options, Tenant};
//! use std::sync::atomic::AtomicBool;
//!
//! let rule = "def decide(event) = event['amount'] > 100 ? [:tag, 'large'] : :accept";
//! let engine = Engine::new(vec![Tenant::new("acme", rule)?], Options::default())?;
//! let events = std::io::Cursor::new("{\"amount\": 250}\n");
//! let summary = engine.run(events, &AtomicBool::new(false), |records| {
//!     for record in records {
//!         println!("{}", serde_json::to_string(record)?);
//!     }
//!     Ok(())
//! })?;
//! assert_eq!(summary.events, 1);
//! # Ok::<(), atlas_rules::Error>(())
//! ```
//!
//! The contract in full stands in the crate's README.

mod checker;
mod desk;
mod engine;
mod intake;
mod lines;
mod options;
mod summary;
mod tenant;
mod verdict;

pub use engine::Engine;
pub use options::{Error, Options};
pub use summary::{Summary, Tally};
pub use tenant::Tenant;
pub use verdict::{Bad, Reason, Record, Strike, Verdict};
