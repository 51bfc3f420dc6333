//! Quantiles out of a histogram's buckets, as Prometheus works them out.

/// Observations up to a bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The largest value counted; infinite for the last bucket.
    pub upper: f64,
    /// Observations of at most `upper`, those of smaller buckets included.
    pub count: f64,
}

/// Cumulative buckets by growing bound.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram(Vec<Bucket>);

impl Histogram {
    /// Sums buckets of equal bound (of several methods). NaN is left out.
    #[must_use]
    pub fn sum(buckets: impl IntoIterator<Item = Bucket>) -> Self {
        let mut all: Vec<Bucket> =
            buckets.into_iter().filter(|b| !b.upper.is_nan() && b.count.is_finite()).collect();
        all.sort_by(|a, b| a.upper.total_cmp(&b.upper));
        all.dedup_by(|next, kept| {
            let same = next.upper == kept.upper;
            if same {
                kept.count += next.count;
            }
            same
        });
        Self(all)
    }

    /// What was observed since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |upper| before.0.iter().find(|b| b.upper == upper).map_or(0.0, |b| b.count);
        let new = |b: &Bucket| Bucket { count: (b.count - earlier(b.upper)).max(0.0), ..*b };
        Self(self.0.iter().map(new).collect())
    }

    /// Observations in all.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |bucket| bucket.count)
    }

    /// The value that the share `q` (0 to 1) of the observations kept at or under, taken as spread
    /// evenly within a bucket; the last finite bound when it lies beyond. `None` without
    /// observations.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.count();
        if total <= 0.0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * total;
        let (mut lower, mut below) = (0.0, 0.0_f64);
        for bucket in &self.0 {
            // Buckets read while being counted up may be out of step: never count down.
            let count = bucket.count.max(below);
            if count >= rank && count > below {
                if bucket.upper.is_infinite() {
                    return Some(lower);
                }
                let share = ((rank - below) / (count - below)).clamp(0.0, 1.0);
                return Some(lower + (bucket.upper - lower) * share);
            }
            if bucket.upper.is_finite() {
                lower = bucket.upper;
            }
            below = count;
        }
        Some(lower)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(counts: &[(f64, f64)]) -> Histogram {
        Histogram::sum(counts.iter().map(|&(upper, count)| Bucket { upper, count }))
    }

    #[test]
    fn quantiles_are_as_prometheus_says() {
        // histogram_quantile(0.5 | 0.99, …) over the same buckets.
        let h = histogram(&[(0.1, 10.0), (0.5, 20.0), (1.0, 20.0), (f64::INFINITY, 20.0)]);
        assert_eq!(h.quantile(0.5), Some(0.1));
        assert!((h.quantile(0.75).unwrap() - 0.3).abs() < 1e-9);
        assert!((h.quantile(0.99).unwrap() - 0.492).abs() < 1e-9);
    }

    #[test]
    fn beyond_the_last_bound_is_the_last_bound() {
        let h = histogram(&[(1.0, 1.0), (f64::INFINITY, 100.0)]);
        assert_eq!(h.quantile(0.99), Some(1.0));
        assert_eq!(histogram(&[(1.0, 0.0), (f64::INFINITY, 0.0)]).quantile(0.5), None);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn methods_are_summed_and_the_past_taken_off() {
        let now = histogram(&[(1.0, 2.0), (1.0, 3.0), (f64::INFINITY, 7.0)]);
        let before = histogram(&[(1.0, 4.0), (f64::INFINITY, 4.0)]);
        assert_eq!(now.since(&before), histogram(&[(1.0, 1.0), (f64::INFINITY, 3.0)]));
    }

    proptest! {
        #[test]
        fn a_quantile_lies_in_the_bucket_of_its_rank(
            values in prop::collection::vec(0.0_f64..20.0, 1..60),
            q in 0.0_f64..=1.0,
        ) {
            let bounds = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, f64::INFINITY];
            let h = Histogram::sum(bounds.iter().map(|&upper| Bucket {
                upper,
                count: values.iter().filter(|v| **v <= upper).count() as f64,
            }));
            let found = h.quantile(q).unwrap();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let exact = sorted[rank - 1];
            let upper = bounds.iter().copied().find(|b| exact <= *b).unwrap();
            let lower = bounds.iter().rev().copied().find(|b| *b < exact).unwrap_or(0.0);
            prop_assert!(found >= lower - 1e-9 && found <= upper + 1e-9, "{found} in {lower}..{upper}");
        }
    }
}
