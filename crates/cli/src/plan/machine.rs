//! The machine at hand.

use std::path::{Path, PathBuf};

use procfs::Current;

/// What this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// CPUs by number; never empty.
    pub cpus: Vec<usize>,
    /// Memory in MiB.
    pub memory_mb: u32,
}

/// What control groups leave of the machine; none where nothing is limited.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Limits {
    /// Bytes.
    memory: Option<u64>,
    /// CPUs' worth of time.
    cpus: Option<f64>,
}

impl Machine {
    /// Reads the CPUs this process may run on, and the memory that there is for it.
    #[must_use]
    pub fn read() -> Self {
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let limits = Limits::read(Path::new("/sys/fs/cgroup"), &groups);
        // Contains what cpusets of control groups leave.
        let affinity = rustix::thread::sched_getaffinity(None).ok();
        let cpus: Vec<usize> = affinity
            .map(|set| {
                (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
            })
            .unwrap_or_default();
        let total = procfs::Meminfo::current().map_or(1 << 30, |memory| memory.mem_total);
        Self::limited(cpus, total, limits)
    }

    fn limited(mut cpus: Vec<usize>, total: u64, limits: Limits) -> Self {
        if let Some(quota) = limits.cpus {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a quota is positive and small"
            )]
            cpus.truncate((quota.ceil() as usize).max(1));
        }
        let memory = total.min(limits.memory.unwrap_or(u64::MAX));
        let memory_mb = u32::try_from(memory >> 20).unwrap_or(u32::MAX);
        Self { cpus: if cpus.is_empty() { vec![0] } else { cpus }, memory_mb }
    }
}

impl Limits {
    /// The narrowest limits of the process's groups and those above them, versions 1 and 2.
    /// `groups` is /proc/self/cgroup: `hierarchy:controllers:path` a line.
    fn read(root: &Path, groups: &str) -> Self {
        let mut limits = Self::default();
        for line in groups.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            if controllers.is_empty() {
                for mount in [root.to_owned(), root.join("unified")] {
                    limits.narrow(&mount, path, "memory.max", cpu_max);
                }
            }
            for controller in controllers.split(',').filter(|controller| !controller.is_empty()) {
                limits.narrow(&root.join(controller), path, "memory.limit_in_bytes", cfs_quota);
            }
        }
        limits
    }

    fn narrow(
        &mut self,
        mount: &Path,
        path: &str,
        memory: &str,
        cpus: impl Fn(&Path) -> Option<f64>,
    ) {
        for folder in folders(mount, path) {
            let bytes = read(&folder.join(memory)).and_then(|text| text.parse::<u64>().ok());
            self.memory = [self.memory, bytes].into_iter().flatten().min();
            let quota = cpus(&folder);
            self.cpus = [self.cpus, quota].into_iter().flatten().reduce(f64::min);
        }
    }
}

/// The group's folder and those above it, up to the mount.
fn folders(mount: &Path, path: &str) -> Vec<PathBuf> {
    let own = mount.join(path.trim_start_matches('/'));
    own.ancestors().take_while(|folder| folder.starts_with(mount)).map(Path::to_owned).collect()
}

fn read(file: &Path) -> Option<String> {
    Some(std::fs::read_to_string(file).ok()?.trim().to_owned())
}

/// Version 2: `quota period` in microseconds, or `max period`.
fn cpu_max(folder: &Path) -> Option<f64> {
    let text = read(&folder.join("cpu.max"))?;
    let (quota, period) = text.split_once(' ')?;
    ratio(quota, period)
}

/// Version 1: -1 for none.
fn cfs_quota(folder: &Path) -> Option<f64> {
    let quota = read(&folder.join("cpu.cfs_quota_us"))?;
    ratio(&quota, &read(&folder.join("cpu.cfs_period_us"))?)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("{text}\n")).unwrap();
    }

    #[test]
    fn the_narrowest_group_of_version_2_counts() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a/memory.max", "2147483648");
        write(root.path(), "a/cpu.max", "250000 100000");
        write(root.path(), "a/b/memory.max", "max");
        write(root.path(), "a/b/cpu.max", "max 100000");
        write(root.path(), "other/memory.max", "1");
        let limits = Limits::read(root.path(), "0::/a/b\n");
        assert_eq!(limits, Limits { memory: Some(2_147_483_648), cpus: Some(2.5) });
    }

    #[test]
    fn the_narrowest_group_of_version_1_counts() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory/memory.limit_in_bytes", "9223372036854771712");
        write(root.path(), "memory/x/memory.limit_in_bytes", "1073741824");
        write(root.path(), "cpu/cpu.cfs_quota_us", "-1");
        write(root.path(), "cpu/cpu.cfs_period_us", "100000");
        write(root.path(), "cpu/y/cpu.cfs_quota_us", "150000");
        write(root.path(), "cpu/y/cpu.cfs_period_us", "100000");
        let limits = Limits::read(root.path(), "9:name=systemd:/\n4:memory:/x\n1:cpu,cpuacct:/y\n");
        assert_eq!(limits, Limits { memory: Some(1_073_741_824), cpus: Some(1.5) });
    }

    #[test]
    fn limits_leave_less_of_the_machine_but_never_nothing() {
        let limits = Limits { memory: Some(1 << 30), cpus: Some(2.5) };
        let machine = Machine::limited(vec![4, 5, 6, 7], 8 << 30, limits);
        assert_eq!(machine, Machine { cpus: vec![4, 5, 6], memory_mb: 1024 });
        let machine = Machine::limited(Vec::new(), 8 << 30, Limits::default());
        assert_eq!(machine, Machine { cpus: vec![0], memory_mb: 8192 });
    }

    #[test]
    fn this_machine_has_cpus_and_memory() {
        let machine = Machine::read();
        assert!(!machine.cpus.is_empty() && machine.memory_mb > 64, "{machine:?}");
    }
}
