//! The monitor's real program beside another service's, which is killed, and an orchestrator that
//! only takes alerts.

#[cfg(test)]
mod orchestrator;
#[cfg(test)]
mod watching;
