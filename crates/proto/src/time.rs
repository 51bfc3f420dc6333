//! Times and durations between the wire and Rust. On the wire a time is UTC.

use chrono::{DateTime, Utc};

/// A point in time for the wire.
#[must_use]
pub fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.timestamp(),
        // At most 1,999,999,999 (a leap second), which fits.
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(i32::MAX),
    }
}

/// A point in time from the wire; `None` when out of the range 0001 to 9999 or malformed.
#[must_use]
pub fn date_time(wire: &prost_types::Timestamp) -> Option<DateTime<Utc>> {
    let in_range = (-62_135_596_800..=253_402_300_799).contains(&wire.seconds);
    in_range.then(|| DateTime::from_timestamp(wire.seconds, u32::try_from(wire.nanos).ok()?))?
}

/// A span of time for the wire; saturates at the wire's bound.
#[must_use]
pub fn duration(span: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        // Under 1,000,000,000, which fits.
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(i32::MAX),
    }
}

/// A span of time from the wire; `None` when negative.
#[must_use]
pub fn std_duration(wire: &prost_types::Duration) -> Option<std::time::Duration> {
    let seconds = u64::try_from(wire.seconds).ok()?;
    let nanos = u32::try_from(wire.nanos).ok()?;
    Some(std::time::Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_the_wire() {
        let at = DateTime::from_timestamp(1_790_000_000, 123_456_789).unwrap();
        assert_eq!(date_time(&timestamp(at)), Some(at));
    }

    #[test]
    fn times_outside_the_wires_range_are_refused() {
        let far = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!(date_time(&far), None);
        let malformed = prost_types::Timestamp { seconds: 0, nanos: -1 };
        assert_eq!(date_time(&malformed), None);
    }
}
