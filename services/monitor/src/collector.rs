//! The loop at the heart: collect, evaluate, publish, pass on what changed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::Utc;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use alina_proto::Service;

use crate::{
    alerts::{Change, Engine, Moment, Transition},
    machine::MachineReader,
    metrics::{Metrics, Outcome},
    scrape::{Scraper, Target},
    status::{Reading, ServiceStatus, Status},
};

/// Where each change of an alert goes; bounded, so that a store that is away holds nobody up.
#[derive(Debug)]
pub struct Outlets {
    /// To the teller.
    pub tell: mpsc::Sender<Change>,
    /// To the history.
    pub keep: mpsc::Sender<Change>,
}

/// Owns everything that changes from one collection to the next.
#[derive(Debug)]
pub struct Collector {
    /// The services to read.
    pub targets: Vec<Target>,
    /// How they are read.
    pub scraper: Scraper,
    /// The machine.
    pub machine: MachineReader,
    /// The rules and their states.
    pub engine: Engine,
    /// Counts what is done.
    pub metrics: Metrics,
    /// Where the newest status is put; `None` until the first collection.
    pub publish: watch::Sender<Option<Arc<Status>>>,
    /// Where changes of alerts are passed on.
    pub outlets: Outlets,
}

/// The last reading of each service, and when it was taken.
type Before = BTreeMap<Service, (Instant, Reading)>;

impl Collector {
    /// Collects every `interval` until `shutdown`.
    pub async fn run(mut self, interval: Duration, shutdown: CancellationToken) {
        let start = Instant::now();
        let mut before = Before::new();
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // Not ended in the middle: a scrape is bounded by its own deadline.
            self.collect(start, &mut before).await;
        }
    }

    async fn collect(&mut self, start: Instant, before: &mut Before) {
        let began = Instant::now();
        let reads = self.targets.iter().map(|target| async {
            (target.service, self.scraper.read(target).await, Instant::now())
        });
        let reads = futures::future::join_all(reads).await;
        let machine = self
            .machine
            .read()
            .inspect_err(|error| tracing::warn!(%error, "the machine's state is left out"))
            .ok();
        let services: Vec<_> = reads
            .into_iter()
            .map(|(service, read, at)| {
                let vitals = read.map_err(|error| error.to_string()).map(|reading| {
                    let earlier = before.get(&service);
                    let earlier = earlier.map(|(then, earlier)| (earlier, at - *then));
                    let vitals = reading.vitals(earlier);
                    before.insert(service, (at, reading));
                    vitals
                });
                ServiceStatus { service, vitals }
            })
            .collect();

        let now = Moment { wall: Utc::now(), monotonic: start.elapsed() };
        let changes = self.engine.evaluate(now, machine.as_ref(), &services);
        let alerts = self.engine.active().cloned().collect();
        let status = Status { at: now.wall, machine, services, alerts };
        self.metrics.collected(&status, began.elapsed().as_secs_f64());
        self.publish.send_replace(Some(Arc::new(status)));
        for change in changes {
            self.pass_on(change);
        }
    }

    fn pass_on(&self, change: Change) {
        let Change { alert, transition, .. } = &change;
        let (rule, subject, severity) = (&alert.rule, alert.subject, alert.severity.name());
        match transition {
            Transition::Raised => {
                tracing::warn!(rule, %subject, severity, "alert raised: {}", alert.summary);
            }
            Transition::Resolved => tracing::info!(rule, %subject, severity, "alert resolved"),
        }
        if self.outlets.keep.try_send(change.clone()).is_err() {
            self.metrics.kept(Outcome::Dropped);
        }
        if self.outlets.tell.try_send(change).is_err() {
            self.metrics.told(Outcome::Dropped);
        }
    }
}
