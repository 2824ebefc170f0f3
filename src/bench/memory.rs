//! Whether memory stays flat over many plans.

use super::BenchError;
use crate::samplers::{Observations, PlanRequest, Planner, SamplerSettings};
use serde::Serialize;

/// Memory before and after many plans.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryRecord {
    /// "memory".
    pub name: &'static str,
    /// Calls between the two readings, one plan each.
    pub plans: usize,
    /// Calls before the first reading.
    pub warm_up: usize,
    /// Working memory of the planner before, in bytes.
    pub working_bytes_before: u64,
    /// And after.
    pub working_bytes_after: u64,
    /// Resident memory of the process before, in bytes, where the system tells it.
    pub resident_bytes_before: Option<u64>,
    /// And after.
    pub resident_bytes_after: Option<u64>,
    /// Growth of resident memory, in bytes.
    pub resident_growth: Option<i64>,
    /// Whether working memory stayed the same and resident memory grew by less than
    /// [`MemoryRecord::RESIDENT_SLACK`].
    pub flat: bool,
}

impl MemoryRecord {
    /// Resident memory that allocators, drivers and thread stacks may still take after warming up. Over a
    /// thousand plans a leak of 4 KiB a plan is above it.
    pub const RESIDENT_SLACK: i64 = 4 << 20;
}

/// Resident memory of this process in bytes, where `/proc` tells it.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Plans `warm_up` times, reads memory, plans `plans` times, reads memory again. Every call plans for
/// another observation, in turn.
///
/// # Errors
/// [`BenchError::Planner`] if a plan fails.
pub fn measure_memory(
    planner: &mut Planner,
    settings: &SamplerSettings,
    observations: &Observations,
    (warm_up, plans): (usize, usize),
) -> Result<MemoryRecord, BenchError> {
    let count = observations.count.max(1);
    let mut seen: Vec<Observations> = Vec::new();
    let mut run = |calls: std::ops::Range<usize>| -> Result<u64, BenchError> {
        let mut working = 0;
        for call in calls {
            // Kept for the whole measurement, so that slicing them costs the same before and after.
            if seen.len() < count {
                seen.extend((0..count).map(|i| observations.slice(i..i + 1)));
            }
            if let Some(one) = seen.get(call % count) {
                let request = PlanRequest::new(one, call as u64);
                working = planner.plan(settings, &request)?.report.working_bytes;
            }
        }
        Ok(working)
    };
    let working_bytes_before = run(0..warm_up.max(1))?;
    let resident_bytes_before = resident_bytes();
    let working_bytes_after = run(warm_up..warm_up + plans)?;
    let resident_bytes_after = resident_bytes();
    let resident_growth = resident_bytes_before
        .zip(resident_bytes_after)
        .map(|(before, after)| after as i64 - before as i64);
    Ok(MemoryRecord {
        name: "memory",
        plans,
        warm_up,
        working_bytes_before,
        working_bytes_after,
        resident_bytes_before,
        resident_bytes_after,
        resident_growth,
        flat: working_bytes_before == working_bytes_after
            && resident_growth.is_none_or(|growth| growth < MemoryRecord::RESIDENT_SLACK),
    })
}
