//! Model predictive path integral control over a TD-MPC2 world model: a planning call for any number of
//! environments, an iteration a step of an orbit, on the device from the observation to the action.
//!
//! Every environment of a call asks the same pair of value functions in an iteration, as every candidate does:
//! the pair is drawn by seed, call and iteration on the host before the run, and the other members are left out
//! of that iteration. All other draws are an environment's own, by its number in the whole job, so that its
//! result is the same bits whatever batch it comes in.

mod error;
mod graph;
mod request;
mod run;
mod settings;

pub use error::MppiError;
pub use request::{MppiDraws, MppiPlans, MppiReport, MppiRequest, MppiTrace};
pub use settings::MppiSettings;

use crate::device::{Device, DeviceError};
use crate::graph::{GraphError, Plan};
use crate::models::tdmpc2::Tdmpc2;
use crate::orbit::OrbitPool;
use graph::{Builder, Form, Tensors, member_label};
use rayon::prelude::*;
use run::{Finished, Run};
use std::sync::Arc;
use std::time::Instant;

/// Environments of a run on a GPU, where its limits allow.
const GPU_RUN: usize = 64;
/// Compiled plans kept; each holds a copy of the constants.
const PLANS_KEPT: usize = 4;

/// A planner: model, settings and device.
#[derive(Debug)]
pub struct Mppi {
    model: Tdmpc2,
    settings: MppiSettings,
    device: Device,
    compiled: Vec<(Form, Arc<Compiled>)>,
}

/// A compiled call.
#[derive(Debug)]
pub(super) struct Compiled {
    pool: OrbitPool,
    tensors: Tensors,
    form: Form,
    /// The value function that a node belongs to, by node.
    members: Vec<Option<usize>>,
}

impl Mppi {
    /// A planner over a model.
    ///
    /// # Errors
    /// [`MppiError::Setting`] naming the setting that is out of range or does not fit the model.
    pub fn new(model: Tdmpc2, settings: MppiSettings, device: &Device) -> Result<Self, MppiError> {
        settings.check(model.config())?;
        Ok(Self {
            model,
            settings,
            device: device.clone(),
            compiled: Vec::new(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Tdmpc2 {
        &self.model
    }

    /// The settings.
    pub fn settings(&self) -> &MppiSettings {
        &self.settings
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The plan of a call for `environments` environments, with draws made on the device.
    ///
    /// # Errors
    /// [`MppiError::Graph`] if it does not fit the device.
    pub fn plan_of(&self, environments: usize, evaluation: bool) -> Result<Plan, MppiError> {
        let form = Form {
            environments,
            replays: false,
            evaluation,
            record: false,
        };
        let (graph, _) = Builder::new(&self.model, &self.settings, form).build();
        Ok(Plan::compile(graph, &self.device)?)
    }

    /// Plans an action for every environment.
    ///
    /// # Errors
    /// [`MppiError`] naming the part of the request that does not fit, the limit of the device that is too
    /// small, or the environment that has no finite values or whose action is not finite.
    pub fn plan(&mut self, request: &MppiRequest<'_>) -> Result<MppiPlans, MppiError> {
        let begun = Instant::now();
        request.check(self.model.config(), &self.settings)?;
        let count = request.count(self.model.config());
        let compiled = self.fitting(request, count)?;
        let batch = compiled.form.environments;
        let runs: Vec<Run<'_>> = (0..count)
            .step_by(batch)
            .map(|first| Run {
                request,
                settings: &self.settings,
                config: self.model.config(),
                first,
                valid: batch.min(count - first),
                count,
            })
            .collect();
        let pairs = request.pairs(self.model.config(), &self.settings);
        let one = |run: &Run<'_>| -> Result<Finished, MppiError> {
            let mut orbit = compiled.pool.borrow()?;
            orbit.execution.parallel = runs.len() == 1;
            let finished = run.carry_out(&compiled, &mut orbit, &pairs);
            compiled.pool.give_back(orbit);
            finished
        };
        let finished: Result<Vec<Finished>, MppiError> = match self.device.gpu() {
            None if runs.len() > 1 => runs.par_iter().map(one).collect(),
            _ => runs.iter().map(one).collect(),
        };
        let mut plans = run::gather(finished?, count, request.record);
        plans.report.run_environments = batch;
        plans.report.working_bytes = compiled.pool.working_bytes();
        plans.report.seconds = begun.elapsed().as_secs_f64();
        let width = self.model.config().action_dim;
        match plans.actions.iter().position(|value| !value.is_finite()) {
            Some(place) => Err(MppiError::NotFinite {
                environment: place / width,
            }),
            None => Ok(plans),
        }
    }

    /// A compiled call of as many environments as suit the device: one on the CPU device, whose threads then
    /// work on an environment each within their caches.
    fn fitting(
        &mut self,
        request: &MppiRequest<'_>,
        count: usize,
    ) -> Result<Arc<Compiled>, MppiError> {
        let preferred = match self.device.gpu() {
            Some(_) => GPU_RUN,
            None => 1,
        };
        let mut limit = request.batch.unwrap_or(preferred).min(count).max(1);
        loop {
            let form = Form {
                environments: count.div_ceil(count.div_ceil(limit)),
                replays: request.draws.is_some(),
                evaluation: request.evaluation,
                record: request.record,
            };
            let compiled = self.compiled(form);
            if limit == 1 || !is_too_large(&compiled) {
                return compiled;
            }
            limit /= 2;
        }
    }

    fn compiled(&mut self, form: Form) -> Result<Arc<Compiled>, MppiError> {
        if let Some(place) = self.compiled.iter().position(|(known, _)| *known == form) {
            // Most recently used last.
            let found = self.compiled.remove(place);
            let compiled = Arc::clone(&found.1);
            self.compiled.push(found);
            return Ok(compiled);
        }
        let (graph, tensors) = Builder::new(&self.model, &self.settings, form).build();
        let plan = Plan::compile(graph, &self.device)?;
        let labels: Vec<String> = (0..self.model.config().num_q).map(member_label).collect();
        let member = |label: &str| labels.iter().position(|own| label.starts_with(own));
        let nodes = plan.graph().nodes().iter();
        let members = nodes.map(|node| member(&node.label)).collect();
        let compiled = Arc::new(Compiled {
            pool: OrbitPool::new(plan),
            tensors,
            form,
            members,
        });
        if self.compiled.len() >= PLANS_KEPT {
            self.compiled.remove(0);
        }
        self.compiled.push((form, Arc::clone(&compiled)));
        Ok(compiled)
    }
}

/// Whether a call has more environments than the device's limits allow.
fn is_too_large(compiled: &Result<Arc<Compiled>, MppiError>) -> bool {
    matches!(
        compiled,
        Err(MppiError::Graph(GraphError::Device(
            DeviceError::TooLarge { .. } | DeviceError::TooManyWorkgroups { .. }
        )))
    )
}
