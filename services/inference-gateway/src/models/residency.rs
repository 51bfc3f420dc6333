//! Which models stay in memory: those that were used last, within a budget. Pure arithmetic; who
//! loads and unloads is [`super::Memory`].

use std::time::Duration;

use tokio::time::Instant;

use crate::chat::ModelName;

/// A model that takes memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// Which.
    pub name: ModelName,
    /// What it takes, or will once it is loaded.
    pub bytes: u64,
    /// It stays whatever happens.
    pub pinned: bool,
    /// It is loaded, answers, or is unloaded already: it cannot go now.
    pub in_use: bool,
    /// When a request last needed it.
    pub last_used: Instant,
    /// How long it stays when nobody needs it; none for ever.
    pub keep_alive: Option<Duration>,
}

impl Resident {
    fn may_go(&self) -> bool {
        !self.pinned && !self.in_use
    }
}

/// The budget does not suffice, whatever is unloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoom {
    /// What the model needs.
    pub needed: u64,
    /// Of all models together.
    pub budget: u64,
    /// What those take that are pinned.
    pub pinned: u64,
    /// What those take that are in use and not pinned.
    pub in_use: u64,
}

impl NoRoom {
    /// It would fit once answers are made.
    #[must_use]
    pub fn will_pass(&self) -> bool {
        self.needed.saturating_add(self.pinned) <= self.budget
    }
}

/// What must be unloaded, the least recently used first, so that `needed` more bytes fit.
///
/// # Errors
/// When even without all that may go there is no room; then nothing need be unloaded.
pub fn to_unload(
    needed: u64,
    budget: u64,
    residents: &[Resident],
) -> Result<Vec<ModelName>, NoRoom> {
    let sum = |which: &dyn Fn(&Resident) -> bool| {
        let bytes = residents.iter().filter(|one| which(one)).map(|one| one.bytes);
        bytes.fold(0_u64, u64::saturating_add)
    };
    let pinned = sum(&|one| one.pinned);
    let in_use = sum(&|one| one.in_use && !one.pinned);
    if needed.saturating_add(pinned).saturating_add(in_use) > budget {
        return Err(NoRoom { needed, budget, pinned, in_use });
    }
    let mut candidates: Vec<&Resident> = residents.iter().filter(|one| one.may_go()).collect();
    candidates.sort_by_key(|one| one.last_used);
    let mut taken = sum(&|_| true);
    let mut unload = Vec::new();
    for one in candidates {
        if taken.saturating_add(needed) <= budget {
            break;
        }
        taken = taken.saturating_sub(one.bytes);
        unload.push(one.name.clone());
    }
    Ok(unload)
}

/// Those that nobody needed for longer than they are kept.
#[must_use]
pub fn overdue(now: Instant, residents: &[Resident]) -> Vec<ModelName> {
    let is_overdue = |one: &&Resident| {
        let idle = now.saturating_duration_since(one.last_used);
        one.may_go() && one.keep_alive.is_some_and(|keep| idle >= keep)
    };
    residents.iter().filter(is_overdue).map(|one| one.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Used `ago` seconds before `now`.
    fn resident(now: Instant, name: &str, bytes: u64, ago: u64) -> Resident {
        Resident {
            name: ModelName(name.to_owned()),
            bytes,
            pinned: false,
            in_use: false,
            last_used: now - Duration::from_secs(ago),
            keep_alive: Some(Duration::from_secs(60)),
        }
    }

    fn names(names: &[ModelName]) -> Vec<&str> {
        names.iter().map(|name| name.0.as_str()).collect()
    }

    #[test]
    fn the_least_recently_used_go_and_no_more_than_must() {
        let now = Instant::now() + Duration::from_secs(1_000);
        let there = [
            resident(now, "new", 40, 1),
            resident(now, "old", 30, 9),
            resident(now, "older", 20, 10),
        ];
        assert!(to_unload(10, 100, &there).unwrap().is_empty());
        assert_eq!(names(&to_unload(30, 100, &there).unwrap()), ["older"]);
        assert_eq!(names(&to_unload(31, 100, &there).unwrap()), ["older", "old"]);
        assert_eq!(names(&to_unload(100, 100, &there).unwrap()), ["older", "old", "new"]);
    }

    #[test]
    fn pinned_ones_and_those_in_use_stay_and_the_error_names_their_sizes() {
        let now = Instant::now() + Duration::from_secs(1_000);
        let mut there = [resident(now, "pinned", 40, 9), resident(now, "busy", 30, 8)];
        there[0].pinned = true;
        there[1].in_use = true;
        let refused = to_unload(31, 100, &there).unwrap_err();
        assert_eq!(refused, NoRoom { needed: 31, budget: 100, pinned: 40, in_use: 30 });
        assert!(refused.will_pass());
        assert!(!to_unload(61, 100, &there).unwrap_err().will_pass());
        assert!(overdue(now + Duration::from_secs(1_000), &there).is_empty());
    }

    #[test]
    fn what_nobody_needs_goes_after_its_time_unless_it_is_kept_for_ever() {
        let now = Instant::now() + Duration::from_secs(1_000);
        let mut there = [
            resident(now, "fresh", 1, 59),
            resident(now, "stale", 1, 60),
            resident(now, "kept", 1, 900),
        ];
        there[2].keep_alive = None;
        assert_eq!(names(&overdue(now, &there)), ["stale"]);
    }

    proptest! {
        #[test]
        fn room_is_made_or_refused_rightly(
            needed in 0_u64..200,
            budget in 0_u64..200,
            residents in proptest::collection::vec(
                (0_u64..80, any::<bool>(), any::<bool>(), 0_u64..50), 0..8),
        ) {
            let now = Instant::now() + Duration::from_secs(1_000);
            let residents: Vec<Resident> = residents
                .into_iter()
                .enumerate()
                .map(|(at, (bytes, pinned, in_use, ago))| Resident {
                    pinned,
                    in_use,
                    ..resident(now, &at.to_string(), bytes, ago)
                })
                .collect();
            let fixed: u64 =
                residents.iter().filter(|one| !one.may_go()).map(|one| one.bytes).sum();
            match to_unload(needed, budget, &residents) {
                Err(_) => prop_assert!(needed + fixed > budget),
                Ok(gone) => {
                    let stays = |one: &&Resident| !gone.contains(&one.name);
                    let left: u64 = residents.iter().filter(stays).map(|one| one.bytes).sum();
                    prop_assert!(left + needed <= budget);
                    for one in residents.iter().filter(|one| gone.contains(&one.name)) {
                        prop_assert!(one.may_go());
                    }
                    // None that stays and could go was used before one that goes.
                    let last = residents.iter().filter(|one| gone.contains(&one.name));
                    if let Some(last) = last.map(|one| one.last_used).max() {
                        let mut stay = residents.iter().filter(stays).filter(|one| one.may_go());
                        prop_assert!(stay.all(|one| one.last_used >= last));
                    }
                }
            }
        }
    }
}
