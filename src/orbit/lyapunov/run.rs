//! Carrying out an orbit with its tangents, window by window of the device's record.

use super::{LyapunovError, LyapunovOrbit, LyapunovPlan};
use crate::graph::{Moment, Phase};
use crate::orbit::OrbitReport;

/// An example whose state or tangents left the finite numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Number of the example in the run.
    pub example: usize,
    /// First step, from 0, in which a QR met it.
    pub step: u32,
    /// Label of the update before that QR.
    pub update: String,
}

/// Q and R of every QR.
#[derive(Debug, Clone, Default)]
pub struct Factors {
    /// Upper triangular, `[batch, events, k, k]`, row-major.
    pub r: Vec<f64>,
    /// Orthonormal columns, `[batch, events, dimension, k]`.
    pub q: Vec<f64>,
}

/// What the QRs of a run gave.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// Examples.
    pub batch: usize,
    /// QRs of an example.
    pub events: usize,
    /// Tangent vectors, k.
    pub columns: usize,
    /// Logarithms of the diagonals of R, `[batch, events, k]`.
    pub log_r: Vec<f64>,
    /// Columns of every example that had to be replaced because they depended on others.
    pub restarts: Vec<u32>,
    /// Examples that are not finite, in order.
    pub invalid: Vec<Invalid>,
    /// Q and R, if kept.
    pub factors: Option<Factors>,
    /// Launches, submissions, times.
    pub report: OrbitReport,
}

impl Spectrum {
    /// The logarithms of one example, `[events, k]`.
    pub fn logs(&self, example: usize) -> &[f64] {
        let size = self.events * self.columns;
        let start = example.saturating_mul(size);
        self.log_r
            .get(start..start.saturating_add(size))
            .unwrap_or(&[])
    }
}

/// Tangent-major `[k, batch, n]` to `[batch, n, k]`.
pub(super) fn by_example(columns: &[f64], (batch, n, k): (usize, usize, usize)) -> Vec<f64> {
    let mut rows = vec![0.0; columns.len()];
    for (j, column) in columns.chunks_exact((batch * n).max(1)).enumerate() {
        for (at, &value) in column.iter().enumerate() {
            rows[at * k + j] = value;
        }
    }
    rows
}

/// Flag in the status of a QR: a number was not finite.
const NOT_FINITE: u32 = 1;

impl LyapunovOrbit {
    /// Runs `steps` steps from the state and the inputs that were written.
    ///
    /// # Errors
    /// [`LyapunovError`]: no steps or not whole intervals between QRs, a device that failed.
    pub fn run(&mut self, steps: u32, moment: &Moment) -> Result<Spectrum, LyapunovError> {
        let every = self.plan.settings.every;
        if steps == 0 || !steps.is_multiple_of(every) {
            return Err(LyapunovError::Setting {
                setting: "steps",
                expected: format!("a positive multiple of {every}"),
                found: steps.to_string(),
            });
        }
        let status = self.plan.tensors.status;
        let clear = vec![0; 2 * self.plan.batch];
        self.orbit.execution.write_words(status, &clear)?;
        let once: Vec<_> = self.orbit.of(Phase::Once).map(|node| (node, 0)).collect();
        let mut report = self.orbit.carry_out(&once, moment)?;
        let mut record = Record::new(&self.plan, steps);
        let mut first = 0;
        while first < steps {
            let end = first.saturating_add(self.plan.window).min(steps);
            let launches = self.window_launches(first, end);
            report += self.orbit.carry_out(&launches, moment)?;
            record.read(self, first, end)?;
            first = end;
        }
        let last = steps - 1;
        let finish: Vec<_> = self.orbit.of(Phase::Final).map(|n| (n, last)).collect();
        report += self.orbit.carry_out(&finish, moment)?;
        let status = self.orbit.execution.read_words(status)?;
        Ok(record.finish(&self.plan, &status, report))
    }

    /// Launches of steps `[first, end)`. Nodes of a QR count steps from the start of the window, since
    /// their record holds no more.
    fn window_launches(&self, first: u32, end: u32) -> Vec<(usize, u32)> {
        let nodes: Vec<(usize, bool)> = self
            .orbit
            .of(Phase::Step)
            .map(|node| (node, self.plan.events.contains(&node)))
            .collect();
        let every = self.plan.settings.every;
        let mut launches = Vec::with_capacity(nodes.len() * (end - first) as usize);
        for step in first..end {
            let due = (step + 1).is_multiple_of(every);
            launches.extend(nodes.iter().filter_map(|&(node, event)| match event {
                false => Some((node, step)),
                true => due.then_some((node, (step - first) / every)),
            }));
        }
        launches
    }
}

/// Logarithms and factors of all windows, example after example.
struct Record {
    events: usize,
    log_r: Vec<f64>,
    factors: Option<Factors>,
}

impl Record {
    fn new(plan: &LyapunovPlan, steps: u32) -> Self {
        let (batch, k) = (plan.batch, plan.settings.columns);
        let events = plan.events(steps);
        let factors = plan.settings.factors.then(|| Factors {
            r: vec![0.0; batch * events * k * k],
            q: vec![0.0; batch * events * k * plan.dimension],
        });
        Self {
            events,
            log_r: vec![0.0; batch * events * k],
            factors,
        }
    }

    /// Takes over the events of steps `[first, end)`.
    fn read(&mut self, orbit: &LyapunovOrbit, first: u32, end: u32) -> Result<(), LyapunovError> {
        let (batch, n, k) = orbit.sizes();
        let tensors = &orbit.plan.tensors;
        let before = orbit.plan.events(first);
        let count = orbit.plan.events(end) - before;
        let execution = &orbit.orbit.execution;
        let events = self.events;
        let logs = execution.read_f64(tensors.logs)?;
        let to = (&mut self.log_r[..], events, before);
        scatter(to, &logs, batch, k, count);
        if let (Some(r), Some(q), Some(factors)) = (tensors.r, tensors.q, &mut self.factors) {
            let to = (&mut factors.r[..], events, before);
            scatter(to, &execution.read_f64(r)?, batch, k * k, count);
            let columns = execution.read_f64(q)?;
            let rows: Vec<f64> = columns
                .chunks_exact((k * batch * n).max(1))
                .flat_map(|event| by_example(event, (batch, n, k)))
                .collect();
            scatter(
                (&mut factors.q[..], events, before),
                &rows,
                batch,
                n * k,
                count,
            );
        }
        Ok(())
    }

    fn finish(self, plan: &LyapunovPlan, status: &[u32], report: OrbitReport) -> Spectrum {
        let columns = plan.settings.columns;
        let mut spectrum = Spectrum {
            batch: plan.batch,
            events: self.events,
            columns,
            log_r: self.log_r,
            restarts: status.iter().step_by(2).copied().collect(),
            invalid: Vec::new(),
            factors: self.factors,
            report,
        };
        let flags = status.iter().skip(1).step_by(2);
        for (example, &flag) in flags.enumerate() {
            let logs = spectrum.logs(example);
            let bad = logs.iter().position(|log| !log.is_finite());
            if flag & NOT_FINITE == 0 && bad.is_none() {
                continue;
            }
            let event = bad.unwrap_or(0) / columns;
            let points = plan.labels.len();
            spectrum.invalid.push(Invalid {
                example,
                step: ((event / points) as u32 + 1) * plan.settings.every - 1,
                update: plan.labels[event % points].clone(),
            });
        }
        spectrum
    }
}

/// `[count, batch, width]` into `[batch, events, width]` from event `before` on.
fn scatter(
    (to, events, before): (&mut [f64], usize, usize),
    from: &[f64],
    batch: usize,
    width: usize,
    count: usize,
) {
    let rows = from.chunks_exact(width.max(1)).take(count * batch);
    for (at, row) in rows.enumerate() {
        let (event, example) = (before + at / batch, at % batch);
        let start = (example * events + event) * width;
        to[start..start + width].copy_from_slice(row);
    }
}
