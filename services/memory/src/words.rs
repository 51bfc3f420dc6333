//! Words are counted in the background, by the item they occur in: how rare one is tells how much it
//! says. Needs no model.

use std::time::{Duration, Instant};

use crate::{
    backoff::{Backoff, rest, told},
    store::Store,
};

/// How often it is looked for what was written: many writes are counted together.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Counts until it is dropped.
pub(crate) async fn count(store: Store) {
    let mut backoff = Backoff::new();
    loop {
        let begun = Instant::now();
        let counted = store.count_terms().await;
        if counted.is_ok() {
            backoff.reset();
        }
        match counted {
            Ok(0) => tokio::time::sleep(LOOK_EVERY).await,
            Ok(_) => rest(begun).await,
            Err(error) => {
                told("counting words", &error);
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}
