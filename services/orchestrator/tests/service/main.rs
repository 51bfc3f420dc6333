//! The orchestrator's own program over a real PostgreSQL, through its gRPC surface. Models and
//! memory are scripted servers, but for `suite`, which has the real ones.

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod surface;
#[cfg(test)]
mod world;
