//! A name that stands for several models, and in which order they are tried.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Backend, InFlight, Lately};
use crate::chat::{Input, Role};

/// How much busier, as a share of the most it runs, the place of a known beginning may be.
const BUSIER: f64 = 0.5;
/// Of a text without messages, what counts as its beginning.
const TEXT: usize = 1_024;

/// Which of a route's models is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// The first whose back end is well.
    #[default]
    First,
    /// The one whose back end has the least to do; requests with the same beginning go to the same
    /// one, which then need not read it again, unless that is much busier.
    LeastLoaded,
}

/// How a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Requests pass.
    pub well: bool,
    /// Requests it has, running or waiting.
    pub in_flight: usize,
    /// The most that run at once.
    pub max_running: u16,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "requests are few")]
    fn share(&self) -> f64 {
        self.in_flight as f64 / f64::from(self.max_running.max(1))
    }
}

/// A name for several models.
#[derive(Debug)]
pub struct Route {
    choose: Choose,
    lately: Mutex<Lately>,
}

impl Route {
    /// One that remembers nothing yet.
    #[must_use]
    pub fn new(choose: Choose) -> Self {
        Self { choose, lately: Mutex::default() }
    }

    /// The order in which to try `places`, of which there is one at least; the request counts as
    /// the first one's from now on. `beginnings` are as [`beginnings`] gives them.
    #[must_use]
    pub fn choose(
        &self,
        places: &[Arc<Backend>],
        beginnings: &[u64],
    ) -> (Vec<usize>, Option<InFlight>) {
        // Held until the request counts: two that come together see each other.
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let loads: Vec<Load> = places.iter().map(|place| place.load()).collect();
        let known = beginnings.iter().find_map(|beginning| lately.get(*beginning));
        let order = order(self.choose, &loads, known);
        let entered = order.first().map(|first| places[*first].enter());
        if let (Choose::LeastLoaded, Some(first)) = (self.choose, order.first()) {
            beginnings.iter().for_each(|beginning| lately.put(*beginning, *first));
        }
        (order, entered)
    }

    /// A request went to another place than it was meant for.
    pub fn went(&self, beginnings: &[u64], place: usize) {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        beginnings.iter().for_each(|beginning| lately.put(*beginning, place));
    }
}

/// The order in which places are tried: those that are well before the others. A request like this
/// one went to `known` lately.
#[must_use]
pub fn order(choose: Choose, loads: &[Load], known: Option<usize>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..loads.len()).collect();
    if choose == Choose::LeastLoaded {
        // Stable: of those that are equally busy the first in the list comes first.
        order.sort_by(|one, other| loads[*one].share().total_cmp(&loads[*other].share()));
    }
    order.sort_by_key(|at| !loads[*at].well);
    if let (Choose::LeastLoaded, Some(known), Some(least)) = (choose, known, order.first().copied())
        && let Some(load) = loads.get(known)
        && load.well
        && load.share() - loads[least].share() < BUSIER
    {
        order.retain(|at| *at != known);
        order.insert(0, known);
    }
    order
}

/// Hashes of how a conversation begins, the longest beginning first: up to the first message that
/// is no instruction, and the instructions alone.
#[must_use]
pub fn beginnings(input: &Input) -> Vec<u64> {
    let mut hasher = DefaultHasher::new();
    match input {
        Input::Text(text) => {
            let end = text.len().min(TEXT);
            text.as_bytes()[..end].hash(&mut hasher);
            vec![hasher.finish()]
        }
        Input::Messages(messages) => {
            let mut hashes = Vec::new();
            for message in messages {
                message.content.hash(&mut hasher);
                if message.role == Role::System {
                    hashes = vec![hasher.finish()];
                } else {
                    hashes.insert(0, hasher.finish());
                    break;
                }
            }
            hashes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Message;

    fn load(in_flight: usize, max_running: u16) -> Load {
        Load { well: true, in_flight, max_running }
    }

    const ILL: Load = Load { well: false, in_flight: 0, max_running: 8 };

    #[test]
    fn the_first_that_is_well_comes_first() {
        let loads = [ILL, load(9, 8), load(0, 8)];
        assert_eq!(order(Choose::First, &loads, None), [1, 2, 0]);
        assert_eq!(order(Choose::First, &loads, Some(2)), [1, 2, 0]);
        assert_eq!(order(Choose::First, &[ILL, ILL], None), [0, 1]);
    }

    #[test]
    fn the_least_loaded_is_so_by_what_it_can_do() {
        let loads = [load(2, 2), load(4, 8), ILL, load(1, 1)];
        assert_eq!(order(Choose::LeastLoaded, &loads, None), [1, 0, 3, 2]);
    }

    #[test]
    fn what_began_the_same_goes_to_the_same_place_unless_that_is_much_busier() {
        let loads = [load(0, 8), load(3, 8)];
        assert_eq!(order(Choose::LeastLoaded, &loads, Some(1)), [1, 0]);
        assert_eq!(order(Choose::LeastLoaded, &[load(0, 8), load(4, 8)], Some(1)), [0, 1]);
        assert_eq!(order(Choose::LeastLoaded, &[load(0, 8), ILL], Some(1)), [0, 1]);
        assert_eq!(order(Choose::LeastLoaded, &loads, Some(7)), [0, 1], "no such place");
    }

    #[test]
    fn requests_that_come_together_are_spread_and_conversations_stay() {
        let places: Vec<_> = ["a", "b"].map(|name| Arc::new(Backend::new(name, 4))).into();
        let route = Route::new(Choose::LeastLoaded);
        let (first, one) = route.choose(&places, &[1]);
        let (second, other) = route.choose(&places, &[2]);
        assert_eq!((first[0], second[0]), (0, 1));
        drop((one, other));
        assert_eq!(route.choose(&places, &[2]).0[0], 1);
        route.went(&[2], 0);
        assert_eq!(route.choose(&places, &[2]).0[0], 0);
    }

    #[test]
    fn a_conversation_that_goes_on_begins_as_before() {
        let system = Message::new(Role::System, "Be brief.");
        let user = |text: &str| Message::new(Role::User, text);
        let begun = beginnings(&Input::Messages(vec![system.clone(), user("Hello")]));
        let gone_on = beginnings(&Input::Messages(vec![
            system.clone(),
            user("Hello"),
            Message::new(Role::Assistant, "Hi."),
            user("More"),
        ]));
        let other = beginnings(&Input::Messages(vec![system, user("Bye")]));
        assert_eq!((begun.len(), &begun), (2, &gone_on));
        assert!(begun[0] != other[0] && begun[1] == other[1]);
        let text = |end: &str| beginnings(&Input::Text("x".repeat(TEXT) + end));
        assert_eq!(text("a"), text("b"));
        assert_eq!(beginnings(&Input::Messages(vec![user("Hello")])).len(), 1);
    }
}
