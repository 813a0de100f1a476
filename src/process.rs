//! What the operating system says of this process.

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

#[cfg(test)]
mod tests {
    #[test]
    fn a_running_process_has_memory() {
        assert!(super::memory().resident > 0);
    }
}
