//! A map iterated: the step loop recorded on the device, with no read-back inside.

pub mod lyapunov;
mod map;
mod numpy_random;
mod pool;
mod python_random;
mod qr;
mod streams;

pub use map::IteratedMap;
pub use numpy_random::NumpyRandom;
pub use pool::OrbitPool;
pub use python_random::PythonRandom;
pub use qr::{QrResult, batched_qr};
pub use streams::Stream;

use crate::device::{Device, DeviceKind};
use crate::graph::{Execution, GraphError, Moment, Phase, Plan};
use attractor_kernels::Cost;
use serde::Serialize;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Seconds of device work that one submission may be estimated to take: well under the two seconds
/// after which drivers reset a GPU.
const SUBMISSION_SECONDS: f64 = 0.5;

/// Seconds that work may take on a device of this kind, by a cautious estimate; none on the CPU device,
/// which has no watchdog and no submissions.
fn cautious_seconds(kind: DeviceKind, cost: &Cost) -> f64 {
    let (flops, bytes) = match kind {
        DeviceKind::Cpu => return 0.0,
        DeviceKind::DiscreteGpu => (2e12, 1e11),
        DeviceKind::SoftwareGpu => (5e9, 2e9),
        _ => (5e10, 1e10),
    };
    (cost.flops as f64 / flops).max(cost.bytes as f64 / bytes)
}

/// How often a kernel may repeat work of this cost inside one launch and stay under the watchdog's
/// patience; at least once, and without bound on the CPU device.
pub fn repetitions(device: &Device, cost: &Cost) -> u64 {
    let seconds = cautious_seconds(device.info().kind, cost);
    // The conversion saturates.
    (SUBMISSION_SECONDS / seconds).max(1.0) as u64
}

/// What carrying out an orbit took on the host.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct OrbitReport {
    /// Launches.
    pub dispatches: u64,
    /// Submissions; one unless the watchdog rule demands more.
    pub submissions: u64,
    /// Time to record and submit, without waiting for the device.
    pub host: Duration,
    /// Time until the device was done.
    pub total: Duration,
}

impl std::ops::AddAssign for OrbitReport {
    fn add_assign(&mut self, other: Self) {
        self.dispatches += other.dispatches;
        self.submissions += other.submissions;
        self.host += other.host;
        self.total += other.total;
    }
}

/// An execution of a plan over a known number of steps.
#[derive(Debug)]
pub struct Orbit {
    plan: Plan,
    /// Working memory; inputs are written and outputs read here.
    pub execution: Execution,
}

impl Orbit {
    /// Allocates the working memory of one orbit of `plan`.
    ///
    /// # Errors
    /// [`GraphError::Device`] when memory or a pipeline cannot be had.
    pub fn new(plan: &Plan) -> Result<Self, GraphError> {
        Ok(Self {
            plan: plan.clone(),
            execution: Execution::new(plan)?,
        })
    }

    /// The launches of an orbit of `steps` steps, as (node, step), in order.
    pub fn launches(&self, steps: u32) -> Vec<(usize, u32)> {
        let mut launches: Vec<_> = self.of(Phase::Once).map(|node| (node, 0)).collect();
        for step in 0..steps {
            launches.extend(self.of(Phase::Step).map(|node| (node, step)));
        }
        let last = steps.saturating_sub(1);
        launches.extend(self.of(Phase::Final).map(|node| (node, last)));
        launches
    }

    /// The nodes of a phase, in order.
    fn of(&self, phase: Phase) -> impl Iterator<Item = usize> {
        let nodes = self.plan.graph().nodes().iter().enumerate();
        nodes
            .filter(move |(_, node)| node.phase == phase)
            .map(|(index, _)| index)
    }

    /// Runs the whole orbit and waits for it.
    ///
    /// # Errors
    /// [`GraphError`] from a twin or the device.
    pub fn run(&mut self, steps: u32, moment: &Moment) -> Result<OrbitReport, GraphError> {
        let launches = self.launches(steps);
        self.carry_out(&launches, moment)
    }

    /// Runs `rounds` orbits of `steps` steps, one after the other without a look from the host. Nodes of
    /// [`Phase::Once`] and [`Phase::Final`] count rounds as their steps, those of [`Phase::Step`] the steps
    /// of their round. What a later round reads again must be [`TensorKind::State`](crate::graph::TensorKind::State):
    /// the memory of inputs is free after their last reader, that of outputs before their first writer.
    ///
    /// # Errors
    /// [`GraphError`] from a twin or the device.
    pub fn run_rounds(
        &mut self,
        rounds: u32,
        steps: u32,
        moment: &Moment,
    ) -> Result<OrbitReport, GraphError> {
        let mut launches = Vec::new();
        for round in 0..rounds {
            launches.extend(self.of(Phase::Once).map(|node| (node, round)));
            for step in 0..steps {
                launches.extend(self.of(Phase::Step).map(|node| (node, step)));
            }
            launches.extend(self.of(Phase::Final).map(|node| (node, round)));
        }
        self.carry_out(&launches, moment)
    }

    /// Runs some steps of a longer orbit and waits for them, with what runs once where they begin at 0. Nodes
    /// of [`Phase::Final`] do not run.
    ///
    /// # Errors
    /// [`GraphError`] from a twin or the device.
    pub fn run_part(
        &mut self,
        steps: Range<u32>,
        moment: &Moment,
    ) -> Result<OrbitReport, GraphError> {
        let begins = steps.start == 0 && !steps.is_empty();
        let once = self
            .of(Phase::Once)
            .filter(|_| begins)
            .map(|node| (node, 0));
        let mut launches: Vec<_> = once.collect();
        for step in steps {
            launches.extend(self.of(Phase::Step).map(|node| (node, step)));
        }
        self.carry_out(&launches, moment)
    }

    /// Runs the orbit without the launches that `keep` leaves out, told by node of the plan's graph and step:
    /// for maps of which the host knows before the run what a step does not need. What is left out keeps
    /// the values of the last launch that was not.
    ///
    /// # Errors
    /// [`GraphError`] from a twin or the device.
    pub fn run_where(
        &mut self,
        steps: u32,
        moment: &Moment,
        keep: impl Fn(usize, u32) -> bool,
    ) -> Result<OrbitReport, GraphError> {
        let mut launches = self.launches(steps);
        launches.retain(|(node, step)| keep(*node, *step));
        self.carry_out(&launches, moment)
    }

    /// Runs steps until `done` says so, which is asked after every `every` of them, or until there have
    /// been `most`: for maps whose number of steps is only known on the way. Gives the steps taken.
    ///
    /// # Errors
    /// [`GraphError`] from a twin, the device or `done`.
    pub fn run_until(
        &mut self,
        (most, every): (u32, u32),
        moment: &Moment,
        mut done: impl FnMut(&Execution) -> Result<bool, GraphError>,
    ) -> Result<(u32, OrbitReport), GraphError> {
        let once: Vec<_> = self.of(Phase::Once).map(|node| (node, 0)).collect();
        let mut report = self.carry_out(&once, moment)?;
        let mut step = 0;
        while step < most && !done(&self.execution)? {
            let end = step.saturating_add(every.max(1)).min(most);
            let steps = (step..end).flat_map(|step| self.of(Phase::Step).map(move |n| (n, step)));
            let launches: Vec<_> = steps.collect();
            report += self.carry_out(&launches, moment)?;
            step = end;
        }
        let last = step.saturating_sub(1);
        let finish: Vec<_> = self.of(Phase::Final).map(|node| (node, last)).collect();
        report += self.carry_out(&finish, moment)?;
        Ok((step, report))
    }

    fn carry_out(
        &mut self,
        launches: &[(usize, u32)],
        moment: &Moment,
    ) -> Result<OrbitReport, GraphError> {
        let start = Instant::now();
        if launches.is_empty() {
            return Ok(OrbitReport::default());
        }
        // All of it before any of it is submitted.
        self.execution.check(launches)?;
        let mut report = OrbitReport {
            dispatches: launches.len() as u64,
            ..OrbitReport::default()
        };
        for part in self.split(launches) {
            self.execution.submit(part, moment)?;
            report.submissions += 1;
        }
        report.host = start.elapsed();
        self.execution.wait()?;
        report.total = start.elapsed();
        Ok(report)
    }

    /// Runs the whole orbit and times every launch, in seconds, in the order of [`Orbit::launches`]; none
    /// where the device has no timestamps.
    ///
    /// # Errors
    /// [`GraphError`] from a twin or the device.
    pub fn profile(&mut self, steps: u32, moment: &Moment) -> Result<Option<Vec<f64>>, GraphError> {
        let launches = self.launches(steps);
        self.execution.check(&launches)?;
        let mut seconds = Some(Vec::with_capacity(launches.len()));
        for part in self.split(&launches) {
            let times = self.execution.profile(part, moment)?;
            seconds = seconds.zip(times).map(|(mut seconds, times)| {
                seconds.extend(times.iter().map(|nanoseconds| nanoseconds * 1e-9));
                seconds
            });
        }
        Ok(seconds)
    }

    /// Cuts launches into submissions that stay under the watchdog's patience, by a cautious estimate
    /// of what a device of this kind does a second.
    fn split<'a>(&self, launches: &'a [(usize, u32)]) -> Vec<&'a [(usize, u32)]> {
        let kind = self.plan.device().info().kind;
        if kind == DeviceKind::Cpu {
            return vec![launches];
        }
        let mut parts = Vec::new();
        let (mut first, mut seconds) = (0, 0.0);
        for (position, &(node, _)) in launches.iter().enumerate() {
            let cost = self.plan.graph().nodes()[node].kernel.cost();
            let estimate = cautious_seconds(kind, &cost);
            if seconds + estimate > SUBMISSION_SECONDS && position > first {
                parts.push(&launches[first..position]);
                (first, seconds) = (position, 0.0);
            }
            seconds += estimate;
        }
        parts.push(&launches[first..]);
        parts
    }
}
