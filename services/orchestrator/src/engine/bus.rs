//! Live news of runs, from those who work on them to those who follow. The journal is the truth:
//! whoever misses something here reads it there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;

use crate::run::{Event, RunId};

/// News kept for a follower that is slow; past that it reads the journal.
const CAPACITY: usize = 1_024;

/// A piece of text as the model makes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delta {
    pub(crate) agent: String,
    pub(crate) step_key: String,
    pub(crate) text: String,
}

/// What followers are told.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// Journalled a moment ago.
    Event(Arc<Event>),
    Delta(Arc<Delta>),
}

type Channels = HashMap<RunId, broadcast::Sender<News>>;

/// One channel for each run that is followed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bus(Arc<Mutex<Channels>>);

impl Bus {
    /// All news of a run from now on.
    pub(crate) fn follow(&self, run: RunId) -> Follower {
        let mut channels = self.lock();
        let sender = channels.entry(run).or_insert_with(|| broadcast::channel(CAPACITY).0);
        Follower { news: sender.subscribe(), bus: self.clone(), run }
    }

    pub(crate) fn events(&self, events: Vec<Event>) {
        let channels = self.lock();
        for event in events {
            if let Some(sender) = channels.get(&event.run_id) {
                // An error means that nobody listens any more.
                let _ = sender.send(News::Event(Arc::new(event)));
            }
        }
    }

    pub(crate) fn delta(&self, run: RunId, agent: &str, step_key: &str, text: String) {
        if let Some(sender) = self.lock().get(&run) {
            let delta = Delta { agent: agent.to_owned(), step_key: step_key.to_owned(), text };
            let _ = sender.send(News::Delta(Arc::new(delta)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows one run; the channel goes with its last follower.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) news: broadcast::Receiver<News>,
    bus: Bus,
    run: RunId,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut channels = self.bus.lock();
        // This receiver is still counted.
        if channels.get(&self.run).is_some_and(|sender| sender.receiver_count() <= 1) {
            channels.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn followers_hear_their_run_and_leave_nothing_behind() {
        let bus = Bus::default();
        let (run, other) = (RunId::new(), RunId::new());
        let mut one = bus.follow(run);
        let mut two = bus.follow(run);
        bus.delta(other, "a", "k", "unheard".to_owned());
        bus.delta(run, "a", "k", "heard".to_owned());
        for follower in [&mut one, &mut two] {
            let News::Delta(delta) = follower.news.recv().await.unwrap() else { panic!() };
            assert_eq!(delta.text, "heard");
        }
        drop(one);
        assert_eq!(bus.lock().len(), 1);
        drop(two);
        assert_eq!(bus.lock().len(), 0);
    }
}
