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

/// PostgreSQL has this long for an event; past that nobody knows whether it was written.
const WRITE_WITHIN: Duration = Duration::from_secs(5);
/// Prices alone are written down once in so many ticks.
const PRICES_EVERY: u32 = 10;
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
    told: Arc<News>,
    /// Whether a write failed: it may have been done all the same, so the tables are read before
    /// the next event.
    in_doubt: bool,
    ticks: u32,
}

/// Wakes those who tell others.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) alerts: Notify,
    pub(crate) actions: Notify,
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
        told: Arc<News>,
    ) -> (Self, Handle) {
        let (sender, requests) = mpsc::channel(QUEUE);
        let (published, seen) = watch::channel(Arc::new(exchange.clone()));
        let mut feed = feed;
        for (symbol, price, _) in exchange.prices() {
            feed.resume(symbol, price);
        }
        let desk = Self {
            exchange,
            feed,
            store,
            metrics,
            tick,
            requests,
            published,
            told,
            in_doubt: false,
            ticks: 0,
        };
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
        if let Err(error) = self.be_sure().await {
            tracing::warn!(%error, "prices stand still until PostgreSQL answers");
            return;
        }
        let prices = self.feed.tick();
        let mut next = self.exchange.clone();
        let changes = next.tick(&prices, Utc::now());
        let quiet =
            changes == Changes::default() && next.account().day == self.exchange.account().day;
        if !quiet {
            if let Err(error) = self.write(next, &changes, &[]).await {
                tracing::warn!(%error, "an event of the market could not be written down");
            }
            return;
        }
        self.take_over(next, &changes);
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(PRICES_EVERY) {
            // Worth little: the next write has them as well.
            let written = self.store.write_prices(&self.exchange);
            let _ = tokio::time::timeout(WRITE_WITHIN, written).await;
        }
    }

    /// Reads the tables again after a write of which nobody knows whether it was done.
    async fn be_sure(&mut self) -> Result<(), TradingError> {
        if self.in_doubt {
            let restored = in_time(self.store.restore(self.exchange.clone())).await?;
            self.take_over(restored, &Changes::default());
            self.in_doubt = false;
        }
        Ok(())
    }

    async fn place(&mut self, order: Order, content: &[u8]) -> Result<Placed, TradingError> {
        self.be_sure().await?;
        let id = order.id;
        let known = in_time(self.store.by_client_id(&order.client_order_id)).await?;
        if let Some((earlier, with)) = known {
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
        self.be_sure().await?;
        let mut next = self.exchange.clone();
        match next.cancel(id, Utc::now()) {
            Ok(changes) => {
                self.write(next, &changes, &[]).await?;
                let order = changes.orders.into_iter().next();
                order.ok_or(TradingError::Refused(Refusal::NoOrder(id)))
            }
            Err(refusal) => {
                let known = in_time(self.store.order(id)).await?;
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
        self.in_doubt = true;
        in_time(self.store.write(&next, changes, content)).await?;
        self.in_doubt = false;
        self.take_over(next, changes);
        self.told.alerts.notify_one();
        self.told.actions.notify_one();
        Ok(())
    }

    fn take_over(&mut self, next: Exchange, changes: &Changes) {
        self.metrics.see(&next, changes);
        self.exchange = next;
        self.published.send_replace(Arc::new(self.exchange.clone()));
    }
}

/// A silent database is told as one that is away: the desk must not wait for ever.
async fn in_time<T>(
    asked: impl Future<Output = Result<T, TradingError>>,
) -> Result<T, TradingError> {
    match tokio::time::timeout(WRITE_WITHIN, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(TradingError::StoreUnavailable("no answer".to_owned())),
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
