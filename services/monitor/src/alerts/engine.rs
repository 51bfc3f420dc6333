//! The state of every rule for every subject. The time comes from outside.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    alerts::{Alert, Change, Moment, Rule, Subject, Transition},
    status::{Machine, ServiceStatus},
};

/// Evaluates rules and remembers which hold. A rule that does not hold of a subject has no entry.
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Rule>,
    states: BTreeMap<(usize, Subject), State>,
}

#[derive(Debug)]
enum State {
    /// Holds, but not for long enough yet.
    Pending { since: Moment },
    /// Raised, and still holds.
    Active(Alert),
}

impl Engine {
    /// Begins with all rules quiet.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, states: BTreeMap::new() }
    }

    /// Looks at the newest values; says which alerts began and which ended.
    pub fn evaluate(
        &mut self,
        now: Moment,
        machine: Option<&Machine>,
        services: &[ServiceStatus],
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut states = BTreeMap::new();
        for (index, rule) in self.rules.iter().enumerate() {
            for (subject, value) in rule.values(machine, services) {
                if !rule.op.holds(value, rule.threshold) {
                    continue;
                }
                let summary = rule.summary(subject, value, problem(subject, services));
                let state = match self.states.remove(&(index, subject)) {
                    Some(State::Active(alert)) => State::Active(Alert { value, summary, ..alert }),
                    before => {
                        let since = match before {
                            Some(State::Pending { since }) => since,
                            _ => now,
                        };
                        let held = now.monotonic.saturating_sub(since.monotonic);
                        if held < Duration::from_secs(rule.for_seconds.into()) {
                            State::Pending { since }
                        } else {
                            let alert = Alert {
                                rule: rule.name.clone(),
                                severity: rule.severity,
                                subject,
                                summary,
                                value,
                                since: since.wall,
                            };
                            changes.push(Change {
                                alert: alert.clone(),
                                at: now.wall,
                                transition: Transition::Raised,
                            });
                            State::Active(alert)
                        }
                    }
                };
                states.insert((index, subject), state);
            }
        }
        // What is left of the old states holds no more.
        for state in std::mem::replace(&mut self.states, states).into_values() {
            if let State::Active(alert) = state {
                changes.push(Change { alert, at: now.wall, transition: Transition::Resolved });
            }
        }
        changes
    }

    /// The alerts that are active, by rule in the order of config.yaml.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.states.values().filter_map(|state| match state {
            State::Active(alert) => Some(alert),
            State::Pending { .. } => None,
        })
    }
}

/// Why a service could not be read.
fn problem(subject: Subject, services: &[ServiceStatus]) -> Option<&str> {
    let Subject::Service(service) = subject else { return None };
    let status = services.iter().find(|status| status.service == service)?;
    status.vitals.as_ref().err().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use alina_proto::Service;

    use super::*;
    use crate::{
        alerts::{Metric, Operator, Scope, Severity},
        status::Vitals,
    };

    fn rule(scope: Scope, metric: Metric, op: Operator, threshold: f64, seconds: u32) -> Rule {
        Rule {
            name: format!("{metric}_rule"),
            scope,
            metric,
            op,
            threshold,
            for_seconds: seconds,
            severity: Severity::Warning,
        }
    }

    fn at(seconds: u64) -> Moment {
        let wall = DateTime::from_timestamp(1_800_000_000 + seconds as i64, 0).unwrap();
        Moment { wall, monotonic: Duration::from_secs(seconds) }
    }

    fn up(service: Service) -> ServiceStatus {
        ServiceStatus { service, vitals: Ok(Vitals::default()) }
    }

    fn down(service: Service) -> ServiceStatus {
        ServiceStatus { service, vitals: Err("connection refused".into()) }
    }

    #[test]
    fn a_service_that_stays_down_is_raised_once_and_resolved_once() {
        let rules = vec![rule(Scope::Service, Metric::Up, Operator::Less, 1.0, 10)];
        let mut engine = Engine::new(rules);
        let both = [down(Service::Memory), up(Service::Trading)];
        assert_eq!(engine.evaluate(at(0), None, &both), vec![]);
        assert_eq!(engine.evaluate(at(9), None, &both), vec![]);

        let raised = engine.evaluate(at(10), None, &both);
        assert_eq!(raised.len(), 1);
        assert_eq!(raised[0].transition, Transition::Raised);
        let alert = &raised[0].alert;
        assert_eq!(alert.subject, Subject::Service(Service::Memory));
        assert_eq!(alert.summary, "memory is down: connection refused");
        assert_eq!((alert.since, raised[0].at), (at(0).wall, at(10).wall));
        assert_eq!(engine.evaluate(at(60), None, &both), vec![]);
        assert_eq!(engine.active().count(), 1);

        let resolved = engine.evaluate(at(70), None, &[up(Service::Memory), up(Service::Trading)]);
        assert_eq!(resolved.len(), 1);
        assert_eq!((resolved[0].transition, resolved[0].at), (Transition::Resolved, at(70).wall));
        assert_ne!(raised[0].key(), resolved[0].key());
        assert_eq!(engine.active().count(), 0);
    }

    #[test]
    fn a_break_in_between_starts_the_wait_anew() {
        let rules = vec![rule(Scope::Memory, Metric::Up, Operator::Less, 1.0, 10)];
        let mut engine = Engine::new(rules);
        for (seconds, status) in [
            (0, down(Service::Memory)),
            (8, up(Service::Memory)),
            (9, down(Service::Memory)),
            (18, down(Service::Memory)),
        ] {
            assert_eq!(engine.evaluate(at(seconds), None, &[status]), vec![]);
        }
        assert_eq!(engine.evaluate(at(19), None, &[down(Service::Memory)]).len(), 1);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_an_alert_back() {
        let rules = vec![rule(Scope::Memory, Metric::Up, Operator::Less, 1.0, 10)];
        let mut engine = Engine::new(rules);
        engine.evaluate(at(3600), None, &[down(Service::Memory)]);
        let later = Moment { wall: at(0).wall, ..at(3610) };
        assert_eq!(engine.evaluate(later, None, &[down(Service::Memory)]).len(), 1);
    }

    #[test]
    fn an_unknown_value_is_no_alert() {
        let rules = vec![
            rule(Scope::Machine, Metric::CpuPressure, Operator::AtLeast, 0.0, 0),
            rule(Scope::Service, Metric::LatencyP99Ms, Operator::AtLeast, 0.0, 0),
        ];
        let mut engine = Engine::new(rules);
        let machine = Machine::default();
        assert_eq!(engine.evaluate(at(0), Some(&machine), &[down(Service::Memory)]), vec![]);
        assert_eq!(engine.evaluate(at(1), None, &[up(Service::Memory)]), vec![]);
    }

    proptest! {
        /// Against the definition: active exactly while the condition has been seen to hold,
        /// without a break, for at least the time asked; raised and resolved take turns.
        #[test]
        fn active_exactly_while_held_for_long_enough(
            wait in 0_u32..30,
            looks in prop::collection::vec((1_u64..12, prop::option::of(0.0_f64..2.0)), 1..60),
        ) {
            let mut engine = Engine::new(vec![
                rule(Scope::Machine, Metric::CpuPressure, Operator::Greater, 1.0, wait),
            ]);
            let (mut now, mut held_since, mut was_active) = (0, None, false);
            for (step, value) in looks {
                now += step;
                let mut machine = Machine::default();
                machine.pressure.cpu = value;
                let changes = engine.evaluate(at(now), Some(&machine), &[]);

                held_since = value.filter(|v| *v > 1.0).and(held_since.or(Some(now)));
                let active = held_since.is_some_and(|since| now - since >= u64::from(wait));
                prop_assert_eq!(engine.active().count(), usize::from(active));
                let expected = match (was_active, active) {
                    (false, true) => Some(Transition::Raised),
                    (true, false) => Some(Transition::Resolved),
                    _ => None,
                };
                prop_assert_eq!(changes.first().map(|c| c.transition), expected);
                prop_assert!(changes.len() <= 1);
                was_active = active;
            }
        }
    }
}
