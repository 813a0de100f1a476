//! What the operating system says of this process.

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident set.
    pub resident: u64,
    /// What the allocator holds, in use or not.
    pub heap: u64,
}

/// Memory of this process now; zeros where the system does not say.
pub fn memory() -> Memory {
    // Linux counts in pages of 4 KiB in `statm`: total, resident, shared, text, lib, data.
    const PAGE: u64 = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let fields: Vec<u64> = statm.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0) * PAGE;
    let resident = field(1);
    Memory { resident, heap: resident.saturating_sub(field(2)) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_running_process_has_memory() {
        let memory = super::memory();
        assert!(memory.resident >= memory.heap && memory.heap > 0, "{memory:?}");
    }
}
