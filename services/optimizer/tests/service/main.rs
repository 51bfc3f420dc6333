//! The optimizer's own program over a real PostgreSQL, through its gRPC surface. Orchestrator,
//! models and memory are scripted servers on loopback.

#[cfg(test)]
mod collecting;
#[cfg(test)]
mod fakes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod improving;
#[cfg(test)]
mod real;
#[cfg(test)]
mod scoring;
#[cfg(test)]
mod world;
