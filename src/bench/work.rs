//! Work of a call, read off the launches of one of its runs.

use super::Roofline;
use crate::samplers::RunProfile;
use attractor_kernels::Cost;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// Time of all launches of one kernel in a run.
#[derive(Debug, Clone, Serialize)]
pub struct SlowNode {
    /// Kernel.
    pub kernel: &'static str,
    /// Launches.
    pub launches: usize,
    /// Seconds of them all.
    pub seconds: f64,
    /// Share of the run's launches' time.
    pub time_share: f64,
    /// Time at the roofline over that.
    pub roofline_share: f64,
}

/// Profiles a run until that has taken a second, at most five times, and keeps the shortest time of each
/// launch: a launch that was held up once would pass for a slow kernel.
pub(super) fn fastest_profile<E>(
    mut profile: impl FnMut() -> Result<RunProfile, E>,
) -> Result<RunProfile, E> {
    let start = Instant::now();
    let mut fastest = profile()?;
    for _ in 1..5 {
        if start.elapsed().as_secs_f64() > 1.0 {
            break;
        }
        let again = profile()?;
        let times = fastest.seconds.iter_mut().flatten();
        for (known, new) in times.zip(again.seconds.iter().flatten()) {
            *known = known.min(*new);
        }
    }
    Ok(fastest)
}

/// Work of a call, by its launches.
pub(super) struct Work {
    pub cost: Cost,
    /// Seconds at the roofline, each launch by itself.
    pub bound: f64,
    /// Seconds of all launches, where they were timed.
    pub seconds: Option<f64>,
    pub kernels: Vec<SlowNode>,
}

impl Work {
    pub fn of(profile: &RunProfile, roofline: &Roofline) -> Self {
        let mut cost = Cost::default();
        let mut bound = 0.0;
        let mut by_kernel: BTreeMap<&'static str, (usize, f64, f64)> = BTreeMap::new();
        let nodes = profile.plan.graph().nodes();
        for (position, (node, _)) in profile.launches.iter().enumerate() {
            let Some(node) = nodes.get(*node) else {
                continue;
            };
            let one = node.kernel.cost();
            cost = cost + one;
            // Runs side by side share the machine.
            let at_roofline = roofline.seconds(&one);
            bound += at_roofline;
            let entry = by_kernel.entry(node.kernel.id().name()).or_default();
            entry.0 += 1;
            let times = profile.seconds.as_ref();
            entry.1 += times.and_then(|t| t.get(position)).copied().unwrap_or(0.0);
            entry.2 += at_roofline * profile.at_once as f64;
        }
        let total: Option<f64> = profile.seconds.as_ref().map(|t| t.iter().sum());
        let slow =
            |(kernel, (launches, seconds, bound)): (&'static str, (usize, f64, f64))| SlowNode {
                kernel,
                launches,
                seconds,
                time_share: seconds / total.unwrap_or(0.0).max(1e-12),
                roofline_share: bound / seconds.max(1e-12),
            };
        let mut kernels: Vec<SlowNode> = match total {
            Some(_) => by_kernel.into_iter().map(slow).collect(),
            None => Vec::new(),
        };
        kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        let all = profile.runs as u64;
        Self {
            cost: Cost {
                flops: cost.flops.saturating_mul(all),
                bytes: cost.bytes.saturating_mul(all),
            },
            bound: bound * profile.runs as f64,
            seconds: total.map(|seconds| seconds * profile.runs as f64),
            kernels,
        }
    }
}
