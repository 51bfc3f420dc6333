//! The one task that owns the exchange. An event is worked out on a copy, written down, and only
//! then taken over: what PostgreSQL does not know has not happened.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    error::TradingError,
    exchange::{Changes, Exchange, Feed, Order, Refusal},
    metrics::Metrics,
    store::{Store, state_name},
};

/// Orders that may wait for the desk.
const QUEUE: usize = 256;

enum Request {
    Place {
        order: Box<Order>,
        content: Vec<u8>,
        answer: oneshot::Sender<Result<Placed, TradingError>>,
    },
    Cancel {
        id: Uuid,
        answer: oneshot::Sender<Result<Order, TradingError>>,
    },
}

/// An order that was taken.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) order: Order,
    /// Whether an earlier request had placed it.
    pub(crate) repeated: bool,
}

/// The desk's task.
pub(crate) struct Desk {
    exchange: Exchange,
    feed: Feed,
    store: Store,
    metrics: Metrics,
    tick: Duration,
    requests: mpsc::Receiver<Request>,
    published: watch::Sender<Arc<Exchange>>,
    told: Arc<Notify>,
}

/// The way to the desk.
#[derive(Clone)]
pub(crate) struct Handle {
    requests: mpsc::Sender<Request>,
    published: watch::Receiver<Arc<Exchange>>,
}

impl Desk {
    pub(crate) fn new(
        exchange: Exchange,
        feed: Feed,
        store: Store,
        metrics: Metrics,
        tick: Duration,
        told: Arc<Notify>,
    ) -> (Self, Handle) {
        let (sender, requests) = mpsc::channel(QUEUE);
        let (published, seen) = watch::channel(Arc::new(exchange.clone()));
        let desk = Self { exchange, feed, store, metrics, tick, requests, published, told };
        (desk, Handle { requests: sender, published: seen })
    }

    /// Works until `shutdown`.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => self.prices().await,
                request = self.requests.recv() => match request {
                    Some(Request::Place { order, content, answer }) => {
                        // Who asked may have gone; what was done is written down.
                        let _ = answer.send(self.place(*order, &content).await);
                    }
                    Some(Request::Cancel { id, answer }) => {
                        let _ = answer.send(self.cancel(id).await);
                    }
                    None => return,
                },
            }
        }
    }

    async fn prices(&mut self) {
        let prices = self.feed.tick();
        let mut next = self.exchange.clone();
        let changes = next.tick(&prices, Utc::now());
        let quiet =
            changes == Changes::default() && next.account().day == self.exchange.account().day;
        if quiet {
            // Prices alone are not written down; heights between two orders are not missed by much.
            self.take_over(next, &changes);
        } else if let Err(error) = self.write(next, &changes, &[]).await {
            tracing::warn!(%error, "prices are passed over until PostgreSQL answers");
        }
    }

    async fn place(&mut self, order: Order, content: &[u8]) -> Result<Placed, TradingError> {
        let id = order.id;
        if let Some((earlier, with)) = self.store.by_client_id(&order.client_order_id).await? {
            if with != content {
                return Err(TradingError::KeyReused(earlier.client_order_id));
            }
            return Ok(Placed { order: earlier, repeated: true });
        }
        let mut next = self.exchange.clone();
        let changes = next.place(order)?;
        self.write(next, &changes, content).await?;
        let order = changes.orders.into_iter().find(|order| order.id == id);
        let order = order.ok_or(TradingError::Refused(Refusal::NoOrder(id)))?;
        Ok(Placed { order, repeated: false })
    }

    async fn cancel(&mut self, id: Uuid) -> Result<Order, TradingError> {
        let mut next = self.exchange.clone();
        match next.cancel(id, Utc::now()) {
            Ok(changes) => {
                self.write(next, &changes, &[]).await?;
                let order = changes.orders.into_iter().next();
                order.ok_or(TradingError::Refused(Refusal::NoOrder(id)))
            }
            Err(refusal) => {
                let known = self.store.order(id).await?;
                Err(known.map_or(refusal, |(order, _)| Refusal::Closed {
                    id,
                    state: state_name(order.state),
                }))?
            }
        }
    }

    async fn write(
        &mut self,
        next: Exchange,
        changes: &Changes,
        content: &[u8],
    ) -> Result<(), TradingError> {
        self.store.write(&next, changes, content).await?;
        self.take_over(next, changes);
        self.told.notify_one();
        Ok(())
    }

    fn take_over(&mut self, next: Exchange, changes: &Changes) {
        self.metrics.see(&next, changes);
        self.exchange = next;
        self.published.send_replace(Arc::new(self.exchange.clone()));
    }
}

impl Handle {
    /// The exchange as it was after the last event.
    pub(crate) fn now(&self) -> Arc<Exchange> {
        Arc::clone(&self.published.borrow())
    }

    /// Tells of every event from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Exchange>> {
        self.published.clone()
    }

    pub(crate) async fn place(
        &self,
        order: Order,
        content: Vec<u8>,
    ) -> Result<Placed, TradingError> {
        self.ask(|answer| Request::Place { order: Box::new(order), content, answer }).await
    }

    pub(crate) async fn cancel(&self, id: Uuid) -> Result<Order, TradingError> {
        self.ask(|answer| Request::Cancel { id, answer }).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, TradingError>>) -> Request,
    ) -> Result<T, TradingError> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => TradingError::Busy,
            mpsc::error::TrySendError::Closed(_) => TradingError::Stopping,
        })?;
        answered.await.map_err(|_| TradingError::Stopping)?
    }
}
