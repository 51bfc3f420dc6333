//! Typed clients between the services.
//!
//! A [`Connector`] knows where each service is and gives tonic's generated clients over a
//! [`PeerChannel`], which adds to every call the caller's bearer token, trace context and
//! remaining deadline, and fails at once while a service is known to be away.

pub mod deadline;

mod breaker;
mod channel;
mod connector;
mod failure;
mod retry;

pub use channel::{PeerChannel, deadline_header};
pub use connector::{Connector, Endpoints, InvalidEndpoint, Token};
pub use failure::{is_away, reason, retry_after};
pub use retry::{Retry, retry};
