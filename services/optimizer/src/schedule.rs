//! Rounds from time to time.

use std::{sync::Arc, time::Duration};

use rand::RngExt;

use crate::{metrics::Metrics, optimizer::Optimizer};

/// The first round comes about that long after the start, or after an interval if that is shorter:
/// a suite that is often restarted gets its rounds, too, and one just started is not slowed.
const FIRST: Duration = Duration::from_secs(600);

/// Makes rounds until it is dropped. Waits are jittered: services that start together do not work
/// together.
pub(crate) async fn run(optimizer: Arc<Optimizer>, interval: Duration, metrics: Metrics) {
    let mut wait = FIRST.min(interval).mul_f64(rand::rng().random_range(0.5..1.5));
    loop {
        tokio::time::sleep(wait).await;
        match optimizer.round(true).await {
            Ok(round) => tracing::info!(
                outputs_scored = round.outputs_scored,
                experiments = round.experiments.len(),
                "a round ended"
            ),
            Err(error) => {
                metrics.round_failed();
                tracing::warn!(%error, "a round broke off; the next takes it up");
            }
        }
        wait = interval.mul_f64(rand::rng().random_range(0.9..1.1));
    }
}
