//! Reads the state of the machine out of `/proc` and of the file system.

use std::path::PathBuf;

use procfs::{
    CpuPressure, CpuTime, Current, CurrentSI, IoPressure, KernelStats, LoadAverage, Meminfo,
    MemoryPressure, PressureRecord,
};

use crate::{
    error::Error,
    status::{Machine, Pressure},
};

/// Remembers the CPU counters from one reading to the next.
#[derive(Debug)]
pub struct MachineReader {
    disk_path: PathBuf,
    before: Option<Ticks>,
}

#[derive(Debug, Clone, Copy)]
struct Ticks {
    busy: u64,
    idle: u64,
}

impl From<&CpuTime> for Ticks {
    fn from(time: &CpuTime) -> Self {
        let optional = [time.irq, time.softirq, time.steal];
        let busy = time.user + time.nice + time.system;
        Self {
            busy: busy + optional.into_iter().flatten().sum::<u64>(),
            idle: time.idle + time.iowait.unwrap_or(0),
        }
    }
}

impl MachineReader {
    /// Watches the file system that `disk_path` is on.
    #[must_use]
    pub fn new(disk_path: PathBuf) -> Self {
        Self { disk_path, before: None }
    }

    /// The state now. At the first reading `cpu_used` is 0. Reads a few small files of `/proc`,
    /// which never wait for a disk.
    ///
    /// # Errors
    /// When `/proc` or the file system cannot be read.
    pub fn read(&mut self) -> Result<Machine, Error> {
        let stats = KernelStats::current()?;
        let memory = Meminfo::current()?;
        let disk = rustix::fs::statvfs(&self.disk_path).map_err(|error| Error::Disk {
            path: self.disk_path.display().to_string(),
            source: error.into(),
        })?;
        let ticks = Ticks::from(&stats.total);
        let cpu_used = self.before.replace(ticks).map_or(0.0, |before| share(before, ticks));
        Ok(Machine {
            cpus: u32::try_from(stats.cpu_time.len()).unwrap_or(u32::MAX),
            cpu_used,
            load_1m: f64::from(LoadAverage::current()?.one),
            memory_total: memory.mem_total,
            memory_available: memory.mem_available.unwrap_or(memory.mem_free),
            // A kernel without pressure information has no such files.
            pressure: Pressure {
                cpu: CpuPressure::current().ok().map(|p| ratio(&p.some)),
                memory: MemoryPressure::current().ok().map(|p| ratio(&p.some)),
                io: IoPressure::current().ok().map(|p| ratio(&p.some)),
            },
            disk_total: disk.f_blocks.saturating_mul(disk.f_frsize),
            disk_available: disk.f_bavail.saturating_mul(disk.f_frsize),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks between two readings are few")]
fn share(before: Ticks, now: Ticks) -> f64 {
    // `iowait` may fall from one reading to the next.
    let busy = now.busy.saturating_sub(before.busy);
    let idle = now.idle.saturating_sub(before.idle);
    if busy + idle == 0 { 0.0 } else { busy as f64 / (busy + idle) as f64 }
}

fn ratio(record: &PressureRecord) -> f64 {
    (f64::from(record.avg10) / 100.0).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_read() {
        let mut reader = MachineReader::new(PathBuf::from("."));
        let first = reader.read().unwrap();
        let second = reader.read().unwrap();
        assert_eq!(first.cpu_used, 0.0);
        assert!((0.0..=1.0).contains(&second.cpu_used));
        assert!(second.cpus >= 1);
        assert!(second.memory_available > 0 && second.memory_available <= second.memory_total);
        assert!(second.disk_available <= second.disk_total && second.disk_total > 0);
        let has_pressure = std::path::Path::new("/proc/pressure/io").exists();
        assert_eq!(second.pressure.io.is_some(), has_pressure);
    }

    #[test]
    fn a_missing_path_is_named() {
        let error = MachineReader::new(PathBuf::from("/nowhere/at/all")).read().unwrap_err();
        assert!(error.to_string().contains("monitor.disk_path /nowhere/at/all"), "{error}");
    }

    #[test]
    fn the_share_is_of_the_ticks_in_between() {
        let ticks = |busy, idle| Ticks { busy, idle };
        assert_eq!(share(ticks(100, 100), ticks(130, 110)), 0.75);
        assert_eq!(share(ticks(100, 100), ticks(100, 90)), 0.0);
    }
}
