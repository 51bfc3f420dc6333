//! Which of several places a request goes to. [`Breaker`] tells whether a back end is left alone
//! for a while, [`Backend`] how busy it is, [`Route`] in which order places are tried. Nothing here
//! talks to anybody.

mod backend;
mod breaker;
mod choice;
mod lately;

pub use backend::{Backend, InFlight, Trial};
pub use breaker::{Breaker, Resting};
pub use choice::{Choose, Load, Route, beginnings, order};
pub use lately::Lately;
