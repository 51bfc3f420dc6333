//! Who decodes next. [`FairQueue`] decides and knows neither clocks nor tasks; [`Scheduler`] makes
//! requests wait for what it decides; [`Ledger`] counts what each agent had.

mod fair;
mod ledger;
mod scheduler;

pub use fair::{FairQueue, Full, Ticket};
pub use ledger::{AgentLoad, Ledger};
pub use scheduler::{Load, Place, Scheduler, Waited};
