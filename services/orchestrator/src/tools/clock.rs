//! The time. Its result is journalled like any other, so that a replay sees the same time.

use chrono::{DateTime, Utc};
use futures::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::{CallFor, Called, Tool};

/// Tells the time.
pub(super) struct Clock;

impl Tool for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn description(&self) -> &'static str {
        "tells today's date and the time"
    }

    fn arguments(&self) -> Value {
        json!({"type": "object", "properties": {}, "additionalProperties": false})
    }

    fn example(&self, _: &str) -> Value {
        json!({})
    }

    fn call<'a>(&'a self, _: &'a Value, _: &'a CallFor) -> BoxFuture<'a, Called> {
        std::future::ready(Ok(Ok(tell(Utc::now())))).boxed()
    }
}

fn tell(now: DateTime<Utc>) -> String {
    now.format("It is %A, %Y-%m-%d, %H:%M UTC.").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_with_its_weekday() {
        let now = DateTime::from_timestamp(1_795_440_600, 0).unwrap();
        assert_eq!(tell(now), "It is Monday, 2026-11-23, 13:30 UTC.");
    }
}
