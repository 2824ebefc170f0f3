//! Measurements for people.

use super::{
    ControlRecord, EnsembleRecord, ExponentsRecord, FlowRecord, KernelRecord, MemoryRecord,
    MppiRecord, PlannerRecord, Roofline, SlowNode, Spread,
};
use crate::report::Table;

/// A time with a unit that suits it.
fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.2} us", s * 1e6),
    }
}

/// The middle half of the times.
fn quartiles(spread: &Spread) -> String {
    format!(
        "{}..{}",
        time(spread.lower_quartile),
        time(spread.upper_quartile)
    )
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// A verdict: results that are wrong are struck out.
fn verdict(correct: bool) -> &'static str {
    if correct { "ok" } else { "WRONG" }
}

/// The device's ceilings, a line each.
pub fn roofline_lines(roofline: &Roofline) -> String {
    let mut text = format!(
        "roofline copy of {} MiB {:.1} GB/s",
        roofline.copied_bytes >> 20,
        roofline.gigabytes_per_second
    );
    if let Some(cached) = roofline.cached_gigabytes_per_second {
        text += &format!(
            ", in cache {cached:.1} GB/s (taken for work under {} MiB)",
            roofline.cached_bytes >> 20
        );
    }
    text + &format!(", multiply-adds {:.1} GFLOP/s", roofline.gflops)
}

/// A warning where the ceilings have moved by more than a tenth since the start.
pub fn drift_line(before: &Roofline, after: &Roofline) -> Option<String> {
    let arithmetic = after.gflops / before.gflops.max(1e-9);
    let traffic = after.gigabytes_per_second / before.gigabytes_per_second.max(1e-9);
    let moved = [arithmetic, traffic]
        .iter()
        .any(|r| !(0.9..=1.1).contains(r));
    moved.then(|| {
        format!(
            "the ceilings have moved since the start: arithmetic {arithmetic:.2}x, copy {traffic:.2}x; the machine is \
             busy, read shares of the roofline with care"
        )
    })
}

/// The control row.
pub fn control_line(control: &ControlRecord) -> String {
    format!(
        "control  {:.2}x: {} twice in turn, {} and {}{}",
        control.ratio,
        control.case,
        time(control.first.median),
        time(control.second.median),
        if control.steady {
            ""
        } else {
            "; the machine is busy, differences under this mean nothing"
        }
    )
}

/// One row a kernel's case.
pub fn kernel_table(records: &[KernelRecord]) -> Table {
    let mut table = Table::new([
        "kernel",
        "case",
        "variant",
        "groups",
        "median",
        "quartiles",
        "GFLOP/s",
        "GB/s",
        "of roofline",
        "at best",
        "error",
        "allowed",
        "",
    ]);
    for r in records {
        // The numbers of a wrong result are not worth printing.
        let number = |text: String| if r.correct { text } else { "-".into() };
        table.row([
            r.kernel.to_string(),
            r.case.clone(),
            r.variant.to_string(),
            r.workgroups
                .map_or("-".into(), |g| format!("{}x{}x{}", g[0], g[1], g[2])),
            number(time(r.seconds.median)),
            number(quartiles(&r.seconds)),
            number(format!("{:.1}", r.gflops)),
            number(format!("{:.1}", r.gigabytes_per_second)),
            number(percent(r.roofline_share)),
            number(percent(r.best_roofline_share)),
            format!("{:.1e}", r.largest_error),
            format!("{:.1e}", r.tolerance),
            verdict(r.correct).to_string(),
        ]);
    }
    table
}

/// One row a sampler and batch.
pub fn planner_table(records: &[PlannerRecord]) -> Table {
    let mut table = Table::new([
        "sampler",
        "batch",
        "steps",
        "median",
        "quartiles",
        "device",
        "plans/s",
        "GFLOP/s",
        "of roofline",
        "dispatches",
        "submissions",
        "host us/dispatch",
        "peak bytes",
        "used",
        "equal tokens",
        "",
    ]);
    for r in records {
        let number = |text: String| if r.correct { text } else { "-".into() };
        let sampler = serde_json::to_value(r.sampler).ok();
        table.row([
            sampler
                .as_ref()
                .and_then(|s| s.as_str())
                .unwrap_or("?")
                .to_string(),
            r.batch.to_string(),
            format!("{}/{}", r.steps_run, r.steps),
            number(time(r.median_seconds)),
            number(quartiles(&r.spread)),
            r.device_seconds.map_or("-".into(), |s| number(time(s))),
            number(format!("{:.1}", r.plans_per_second)),
            number(format!("{:.1}", r.gflops)),
            number(percent(r.roofline_share)),
            r.dispatches.to_string(),
            r.submissions.to_string(),
            r.host_microseconds_per_dispatch
                .map_or("-".into(), |m| format!("{m:.2}")),
            r.peak_bytes_planned.to_string(),
            r.peak_bytes_used.to_string(),
            format!(
                "{:.2}% of {}",
                r.checksum_equal_share * 100.0,
                r.checksum_tokens
            ),
            verdict(r.correct).to_string(),
        ]);
    }
    table
}

/// One row a reasoner with its tangents.
pub fn exponents_table(records: &[ExponentsRecord]) -> Table {
    let mut table = Table::new([
        "exponents of",
        "examples",
        "dimension",
        "k",
        "steps",
        "level calls",
        "median",
        "quartiles",
        "a call",
        "GFLOP/s",
        "of multiply-adds",
        "work over forward",
        "working bytes",
        "launches",
        "",
    ]);
    for r in records {
        table.row([
            r.workload.to_string(),
            r.examples.to_string(),
            r.dimension.to_string(),
            r.tangents.to_string(),
            r.steps.to_string(),
            r.level_calls.to_string(),
            time(r.seconds.median),
            quartiles(&r.seconds),
            time(r.seconds_a_call),
            format!("{:.1}", r.gflops),
            percent(r.roofline_share),
            format!("{:.2}x", r.flops_over_forward),
            r.working_bytes.to_string(),
            r.dispatches.to_string(),
            verdict(r.correct).to_string(),
        ]);
    }
    table
}

/// One row a planner over a world model and number of environments.
pub fn mppi_table(records: &[MppiRecord]) -> Table {
    let mut table = Table::new([
        "planning call",
        "environments",
        "median",
        "quartiles",
        "an environment",
        "GFLOP",
        "the original's",
        "GFLOP/s",
        "of multiply-adds",
        "working bytes",
        "launches",
        "",
    ]);
    for r in records {
        table.row([
            r.workload.to_string(),
            r.environments.to_string(),
            time(r.seconds.median),
            quartiles(&r.seconds),
            time(r.seconds.median / r.environments.max(1) as f64),
            format!("{:.2}", r.gigaflops_a_call),
            format!("{:.2}", r.gigaflops_of_the_original),
            format!("{:.1}", r.gflops),
            percent(r.roofline_share),
            r.working_bytes.to_string(),
            r.dispatches.to_string(),
            verdict(r.correct).to_string(),
        ]);
    }
    table
}

/// One row an ensemble.
pub fn ensemble_table(records: &[EnsembleRecord]) -> Table {
    let mut table = Table::new([
        "field",
        "method",
        "trajectories",
        "steps",
        "median",
        "quartiles",
        "steps/s",
        "GFLOP/s",
        "of multiply-adds",
        "at best",
        "working bytes",
        "resident MiB, 1/10 then all steps",
        "error",
        "allowed",
        "",
    ]);
    for r in records {
        let number = |text: String| if r.correct { text } else { "-".into() };
        let mebibytes = |bytes: Option<u64>| bytes.map_or("?".into(), |b| (b >> 20).to_string());
        table.row([
            r.field.to_string(),
            r.method.to_string(),
            r.trajectories.to_string(),
            format!("{:.1}", r.steps),
            number(time(r.seconds.median)),
            number(quartiles(&r.seconds)),
            number(format!("{:.3e}", r.trajectory_steps_per_second)),
            number(format!("{:.1}", r.gflops)),
            number(percent(r.roofline_share)),
            number(percent(r.best_roofline_share)),
            format!("{} then {}", r.working_bytes[0], r.working_bytes[1]),
            format!(
                "{} then {}",
                mebibytes(r.resident_bytes[0]),
                mebibytes(r.resident_bytes[1])
            ),
            format!("{:.1e}", r.largest_error),
            format!("{:.1e}", r.tolerance),
            verdict(r.correct).to_string(),
        ]);
    }
    table
}

/// One row a solver and batch of the flow sampler.
pub fn flow_table(records: &[FlowRecord]) -> Table {
    let mut table = Table::new([
        "solver",
        "frames",
        "K",
        "median",
        "quartiles",
        "device",
        "draws/s",
        "GFLOP/s",
        "of multiply-adds",
        "of roofline",
        "dispatches/step",
        "dispatches",
        "submissions",
        "host us/dispatch",
        "peak bytes",
        "used",
        "error",
        "",
    ]);
    for r in records {
        let number = |text: String| if r.correct { text } else { "-".into() };
        table.row([
            format!("{}/{}", r.method, r.steps),
            r.frames.to_string(),
            r.draws.to_string(),
            number(time(r.median_seconds)),
            number(quartiles(&r.spread)),
            r.device_seconds.map_or("-".into(), |s| number(time(s))),
            number(format!("{:.1}", r.draws_per_second)),
            number(format!("{:.1}", r.gflops)),
            number(percent(r.multiply_add_share)),
            number(percent(r.roofline_share)),
            r.dispatches_a_step.to_string(),
            r.dispatches.to_string(),
            r.submissions.to_string(),
            r.host_microseconds_per_dispatch
                .map_or("-".into(), |m| format!("{m:.2}")),
            r.peak_bytes_planned.to_string(),
            r.peak_bytes_used.to_string(),
            format!("{:.1e}", r.checksum_error),
            verdict(r.correct).to_string(),
        ]);
    }
    table
}

/// Where the launches of a run spend their time.
pub fn slowest_lines(kernels: &[SlowNode]) -> String {
    let all: Vec<String> = kernels
        .iter()
        .take(6)
        .map(|k| {
            format!(
                "{} {} ({} launches, {} of roofline)",
                k.kernel,
                percent(k.time_share),
                k.launches,
                percent(k.roofline_share)
            )
        })
        .collect();
    all.join(", ")
}

/// Whether memory stayed flat.
pub fn memory_line(memory: &MemoryRecord) -> String {
    let resident = match (memory.resident_bytes_before, memory.resident_bytes_after) {
        (Some(before), Some(after)) => format!("resident {before} then {after} bytes"),
        _ => "resident memory not told by this system".into(),
    };
    format!(
        "memory   {} plans: working memory {} then {} bytes, {resident}  {}",
        memory.plans,
        memory.working_bytes_before,
        memory.working_bytes_after,
        if memory.flat { "flat" } else { "GROWS" }
    )
}
