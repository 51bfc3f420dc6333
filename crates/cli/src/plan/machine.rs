//! The machine at hand.

use procfs::Current;

/// What this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// CPUs by number; never empty.
    pub cpus: Vec<usize>,
    /// Memory in MiB.
    pub memory_mb: u32,
}

impl Machine {
    /// Reads the CPUs this process may run on, and the memory that there is for it.
    #[must_use]
    pub fn read() -> Self {
        let affinity = rustix::thread::sched_getaffinity(None).ok();
        let cpus: Vec<usize> = affinity
            .map(|set| {
                (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
            })
            .unwrap_or_default();
        let total = procfs::Meminfo::current().map_or(1 << 30, |memory| memory.mem_total);
        let limit = cgroup_limit().unwrap_or(u64::MAX);
        let memory_mb = u32::try_from(total.min(limit) >> 20).unwrap_or(u32::MAX);
        Self { cpus: if cpus.is_empty() { vec![0] } else { cpus }, memory_mb }
    }
}

/// The memory limit of this process's control group, version 2 or 1, in bytes.
fn cgroup_limit() -> Option<u64> {
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}
