//! Fits the suite to a machine: which CPUs and how much memory each part gets.
//!
//! From four CPUs on, inference has the upper half to itself: decoding is what everybody waits for,
//! and it suffers most from sharing. The rest is divided among the orchestrator, the memory,
//! PostgreSQL and everything small. Below four all share all.

mod machine;

use alina_service::Common;

pub use machine::Machine;

/// Parts of the suite beside the six services: name, CPUs, MiB.
const OTHERS: [(&str, f64, u32); 7] = [
    ("postgres", 1.0, 2048),
    ("redis", 0.5, 256),
    ("prometheus", 0.5, 1024),
    ("alertmanager", 0.25, 256),
    ("grafana", 0.5, 512),
    ("edge", 0.5, 128),
    ("ollama", 4.0, 8192),
];
/// Nothing runs in less, in MiB.
const LEAST_MEMORY: u32 = 64;
/// Of the memory, left to the system.
const RESERVE: f64 = 0.1;
/// CPUs from which on inference gets its own.
const ENOUGH_CPUS: usize = 4;

/// One part's share.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// `inference_gateway`, `postgres` …
    pub name: &'static str,
    /// The CPUs it may run on; never empty.
    pub cpu_set: Vec<usize>,
    /// How many CPUs' worth of time.
    pub cpus: f64,
    /// Ceiling in MiB.
    pub memory_mb: u32,
}

impl Share {
    /// As Docker and Linux write CPU sets: `0-1,4`.
    #[must_use]
    pub fn cpu_list(&self) -> String {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for cpu in &self.cpu_set {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
                _ => ranges.push((*cpu, *cpu)),
            }
        }
        let text = ranges.iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        text.collect::<Vec<_>>().join(",")
    }
}

/// Everybody's share.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The six services first.
    pub shares: Vec<Share>,
    /// Docker's `cpu_shares`.
    pub cpu_shares: u32,
}

impl Plan {
    /// Fits the budget of config.yaml to `machine`.
    #[must_use]
    pub fn new(common: &Common, machine: &Machine) -> Self {
        let services = alina_proto::Service::ALL.into_iter().map(|service| {
            let place = common.endpoint(service);
            (service.key(), place.cpus, place.memory_mb)
        });
        let parts: Vec<(&'static str, f64, u32)> = services.chain(OTHERS).collect();
        let budget = usize::try_from(common.machine.cpus).unwrap_or(usize::MAX);
        let usable = &machine.cpus[..machine.cpus.len().min(budget.max(1))];
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "machines have less than 2^32 MiB"
        )]
        let memory = machine.memory_mb.min((common.machine.memory_gb * 1024.0) as u32);

        // Everybody gets the least, and a share of the rest. Ollama is only there when asked for,
        // beside or instead of the embedded engine.
        let counted = || parts.iter().filter(|(name, ..)| *name != "ollama");
        let over_least = |memory_mb: u32| f64::from(memory_mb.saturating_sub(LEAST_MEMORY));
        let least = f64::from(LEAST_MEMORY) * counted().map(|_| 1.0).sum::<f64>();
        let wanted: f64 = counted().map(|(_, _, memory_mb)| over_least(*memory_mb)).sum();
        let spare = f64::from(memory) * (1.0 - RESERVE) - least;
        let scale = (spare / wanted.max(1.0)).clamp(0.0, 1.0);
        let shares = parts
            .into_iter()
            .map(|(name, cpus, memory_mb)| {
                let cpu_set = cpu_set(name, usable);
                #[expect(clippy::cast_precision_loss, reason = "CPUs are few")]
                let cpus = cpus.min(cpu_set.len() as f64);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "less than what it was"
                )]
                let memory_mb = LEAST_MEMORY + (over_least(memory_mb) * scale) as u32;
                Share { name, cpu_set, cpus, memory_mb }
            })
            .collect();
        Self { shares, cpu_shares: common.machine.cpu_shares }
    }

    /// A part's share.
    #[must_use]
    pub fn share(&self, name: &str) -> Option<&Share> {
        self.shares.iter().find(|share| share.name == name)
    }

    /// What docker-compose.yml reads, as lines of `.env`.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let shares = self.shares.iter().flat_map(|share| {
            let name = share.name.to_uppercase();
            [
                (format!("ALINA_CPUSET_{name}"), share.cpu_list()),
                (format!("ALINA_CPUS_{name}"), format!("{:.2}", share.cpus)),
                (format!("ALINA_MEM_{name}"), format!("{}m", share.memory_mb)),
            ]
        });
        let weight = ("ALINA_CPU_SHARES".to_owned(), self.cpu_shares.to_string());
        let postgres = self.share("postgres").map(|share| share.memory_mb / 4);
        let shared =
            postgres.map(|mb| ("ALINA_POSTGRES_SHARED_BUFFERS".to_owned(), format!("{mb}MB")));
        std::iter::once(weight).chain(shares).chain(shared).collect()
    }
}

fn cpu_set(name: &str, usable: &[usize]) -> Vec<usize> {
    if usable.len() < ENOUGH_CPUS {
        return usable.to_vec();
    }
    let (rest, inference) = usable.split_at(usable.len() / 2);
    let group = match name {
        "inference_gateway" | "ollama" => return inference.to_vec(),
        "orchestrator" => 1,
        "memory" => 2,
        "postgres" => 3,
        _ => 0,
    };
    let own = rest.iter().enumerate().filter(|(index, _)| index % 4 == group % rest.len().min(4));
    own.map(|(_, cpu)| *cpu).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn common() -> Common {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config.yaml");
        Common::load(&file).unwrap()
    }

    fn plan(cpus: usize, memory_mb: u32) -> Plan {
        Plan::new(&common(), &Machine { cpus: (0..cpus).collect(), memory_mb })
    }

    #[test]
    fn on_eight_cpus_inference_has_four_of_its_own() {
        let plan = plan(8, 49_152);
        let list = |name| plan.share(name).unwrap().cpu_list();
        assert_eq!(list("inference_gateway"), "4-7");
        assert_eq!(list("orchestrator"), "1");
        assert_eq!(list("memory"), "2");
        assert_eq!(list("postgres"), "3");
        assert_eq!(list("monitor"), "0");
        assert_eq!(plan.share("inference_gateway").unwrap().memory_mb, 24_576);
    }

    #[test]
    fn on_two_cpus_all_share() {
        let plan = plan(2, 16_000);
        assert!(plan.shares.iter().all(|share| share.cpu_list() == "0-1"));
        let variables = plan.variables();
        assert!(variables.contains(&("ALINA_CPUSET_MEMORY".to_owned(), "0-1".to_owned())));
        assert!(variables.contains(&("ALINA_CPU_SHARES".to_owned(), "2048".to_owned())));
    }

    proptest! {
        #[test]
        fn shares_fit_any_machine(cpus in 1_usize..=64, gigabytes in 1_u32..=512) {
            let plan = plan(cpus, gigabytes * 1024);
            for share in &plan.shares {
                prop_assert!(!share.cpu_set.is_empty());
                prop_assert!(share.cpu_set.iter().all(|cpu| *cpu < cpus));
                prop_assert!(share.cpus > 0.0 && share.cpus <= share.cpu_set.len() as f64);
            }
            let parts = plan.shares.iter().filter(|share| share.name != "ollama");
            let memory: u32 = parts.map(|share| share.memory_mb).sum();
            prop_assert!(memory <= gigabytes * 1024, "{memory} MiB of {gigabytes} GiB");
        }
    }
}
