//! Which CPUs this process may use, how many of them are worth a worker each, and pinning.

use std::io;
use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// CPUs that this process may run on, ascending. Empty if the kernel does not say.
pub fn allowed_cpus() -> Vec<u16> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
        .map(|cpu| cpu as u16)
        .collect()
}

/// How many CPUs' worth of time this process may use: the allowed CPUs, or less where a cgroup
/// quota (v1 or v2) is in force. At least 1.
pub fn usable_cpus() -> u16 {
    thread::available_parallelism()
        .map_or(1, |count| u16::try_from(count.get()).unwrap_or(u16::MAX))
}

/// The CPU for each of `workers` slots. Slots are pinned only where together they fill every
/// allowed CPU: with fewer, the CPUs are shared with others, who would all be crowded onto the
/// lowest numbers, and the kernel places better.
pub fn placement(workers: u16, allowed: &[u16]) -> Vec<Option<u16>> {
    let is_pinned = !allowed.is_empty() && usize::from(workers) >= allowed.len();
    let mut cpus = allowed.iter().copied().cycle();
    (0..workers).map(|_| if is_pinned { cpus.next() } else { None }).collect()
}

/// Pins the calling thread, and all it will start, to one CPU. Allocates nothing: safe between
/// fork and exec.
///
/// # Errors
/// The kernel's, as when the CPU is not an allowed one.
pub fn pin_self(cpu: u16) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(usize::from(cpu))?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_pinned_only_where_they_fill_every_cpu() {
        for (workers, allowed, expected) in [
            (2, &[4, 6][..], vec![Some(4), Some(6)]),
            (3, &[4, 6][..], vec![Some(4), Some(6), Some(4)]),
            (1, &[4, 6][..], vec![None]),
            (2, &[][..], vec![None, None]),
        ] {
            assert_eq!(placement(workers, allowed), expected, "{workers} on {allowed:?}");
        }
    }

    #[test]
    fn a_thread_can_be_pinned_to_each_cpu_it_may_use() {
        let allowed = allowed_cpus();
        assert!(usize::from(usable_cpus()) <= allowed.len(), "{allowed:?}");
        for cpu in allowed {
            let seen = thread::spawn(move || pin_self(cpu).map(|()| allowed_cpus()));
            assert_eq!(seen.join().unwrap().unwrap(), [cpu]);
        }
    }
}
