//! Who decodes next, and who not. [`FairQueue`] decides the order and knows neither clocks nor
//! tasks; [`Scheduler`] makes requests wait for what it decides, refuses those that come too late
//! and those whose budget is spent, and counts what each agent had. [`Limits`] may change at any
//! time.

mod budget;
mod fair;
mod ledger;
mod limits;
mod place;
mod rate;
mod recent;
mod ring;
mod scheduler;
#[cfg(test)]
mod tests;

pub use budget::{Resource, Spent, Whose};
pub use fair::{Entry, FairQueue, Full, Ticket};
pub use ledger::AgentLoad;
pub use limits::{
    AgentLimits, Budget, Change, Class, Impossible, LEAST_WEIGHT, Limits, MOST_AGENTS, MOST_WEIGHT,
    Weight,
};
pub use place::{Meter, Place, Waited};
pub use scheduler::{Load, PlaceRequest, Scheduler};
