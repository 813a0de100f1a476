//! What the operating system says of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident set.
    pub resident: u64,
    /// What the allocator holds, in use or not.
    pub heap: u64,
}

/// Memory of this process now; zeros where nobody knows.
pub fn memory() -> Memory {
    // Linux counts in pages of 4 KiB in `statm`: total, resident, and more.
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = statm.split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0) * PAGE;
    // jemalloc's numbers are those of its last epoch.
    let _ = tikv_jemalloc_ctl::epoch::advance();
    let heap = tikv_jemalloc_ctl::stats::resident::read().map_or(0, |bytes| bytes as u64);
    Memory { resident, heap }
}

/// Keeps the environment and the memory of this process, which hold secrets, from whoever runs as the same user: the programs
/// that it starts are such (proc(5), `/proc/pid/environ`; prctl(2), `PR_SET_DUMPABLE`). The superuser reads them all the same.
/// There are no core dumps then either.
pub fn keep_to_ourselves() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "programs that are started can read what this process was given in its environment");
    }
}

/// Raises the number of files that may be open as far as the system lets us (the hard limit of `RLIMIT_NOFILE`), and gives it.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if setrlimit(Resource::Nofile, raised).is_ok() { most } else { limit.current.unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn what_a_process_was_given_is_its_own() {
        use rustix::process::{DumpableBehavior, dumpable_behavior};
        super::keep_to_ourselves();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn a_running_process_has_memory() {
        assert!(super::memory().resident > 0);
    }

    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        let most = super::raise_open_files();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert_eq!((limit.current, limit.current.unwrap_or(u64::MAX)), (limit.maximum, most));
    }
}
