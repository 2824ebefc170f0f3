//! One evaluation of the denoiser with every named intermediate, for comparison with the original.

use super::{Observations, Planner, PlannerError};
use crate::graph::{Graph, Moment, Plan, TensorKind};
use crate::models::remdm::{Rows, TimeAddressing, build};
use crate::orbit::Orbit;
use std::collections::BTreeMap;

/// What to evaluate.
#[derive(Debug, Clone, Copy)]
pub struct ForwardRequest<'a> {
    /// Observations.
    pub observations: &'a Observations,
    /// Sequences `[N, L]`, masks and paddings included.
    pub tokens: &'a [i32],
    /// Diffusion time of every example.
    pub times: &'a [i32],
}

/// A tensor of the evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// Shape, channels last.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f64>,
}

impl Planner {
    /// Evaluates the network once without savings. The result holds `out.actions`, `out.goal_pred` and
    /// the intermediates `act.*`; images are `[N, rows * columns, channels]`, feed-forward
    /// intermediates are before and after their activation (`act.block0.linear1_out`,
    /// `act.block0.gelu.out`).
    ///
    /// # Errors
    /// [`PlannerError`] when the request does not fit the model, or the device fails.
    pub fn forward(
        &self,
        request: &ForwardRequest<'_>,
    ) -> Result<BTreeMap<String, Activation>, PlannerError> {
        let (batch, config) = (request.observations.count, &self.config);
        self.check_forward(request)?;
        let mut graph = Graph::new();
        let tokens = graph.word("in.action_seq", &[batch, config.seq_len], TensorKind::Input);
        let times = TimeAddressing {
            length: batch,
            step_stride: 0,
            batch_stride: 1,
        };
        let network = build(
            &mut graph,
            config,
            &self.weights,
            batch,
            times,
            tokens,
            Rows::All,
        );
        let named = |name: &str| name.starts_with("act.") || name.starts_with("out.");
        let outputs: Vec<_> = graph
            .tensors()
            .iter()
            .filter(|tensor| tensor.kind == TensorKind::Intermediate && named(&tensor.name))
            .map(|tensor| tensor.name.clone())
            .collect();
        let ids: Vec<_> = outputs.iter().filter_map(|name| graph.find(name)).collect();
        for &id in &ids {
            graph.keep(id);
        }
        let plan = Plan::compile(graph, &self.device)?;
        let mut orbit = Orbit::new(&plan)?;
        let words = |values: &[i32]| values.iter().map(|&v| v as u32).collect::<Vec<_>>();
        let execution = &mut orbit.execution;
        execution.write_words(network.local, &words(&request.observations.local))?;
        if let Some(global) = network.global {
            execution.write_words(global, &words(&request.observations.global))?;
        }
        execution.write_words(network.times, &words(request.times))?;
        execution.write_words(tokens, &words(request.tokens))?;
        orbit.run(1, &Moment::default())?;
        let mut results = BTreeMap::new();
        for (name, id) in outputs.into_iter().zip(ids) {
            let shape = plan.graph().tensor(id).shape.clone();
            let values = orbit.execution.read_f64(id)?;
            results.insert(name, Activation { shape, values });
        }
        Ok(results)
    }

    fn check_forward(&self, request: &ForwardRequest<'_>) -> Result<(), PlannerError> {
        let (batch, config) = (request.observations.count, &self.config);
        request.observations.check(config)?;
        let check = |what: &'static str, values: &[i32], length: usize, limit: usize| {
            let found = if values.len() != length {
                format!("{} numbers", values.len())
            } else if let Some(bad) = values.iter().find(|&&v| v < 0 || v as usize >= limit) {
                bad.to_string()
            } else {
                return Ok(());
            };
            Err(PlannerError::Request {
                what,
                expected: format!("{length} numbers in 0..{limit}"),
                found,
            })
        };
        check(
            "action_seq",
            request.tokens,
            batch * config.seq_len,
            config.action_dim + 2,
        )?;
        check(
            "t_discrete",
            request.times,
            batch,
            config.num_diffusion_steps,
        )
    }
}
