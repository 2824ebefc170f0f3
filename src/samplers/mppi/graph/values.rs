//! The values of an iteration's candidates: rewards and terminations along each sequence, the value functions
//! at its end, and the return of both.

use super::{Builder, Replayed, member_label};
use crate::graph::layers::size;
use crate::graph::{Phase, TensorId};
use crate::models::mlp::RowView;
use crate::models::tdmpc2::{Candidates, FirstLayers};
use crate::orbit::Stream;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::mppi_return::MppiReturn;
use attractor_kernels::philox::RandomKind;
use attractor_kernels::two_hot::TwoHot;

impl Builder<'_> {
    /// Values of all candidates.
    pub(super) fn values(
        &mut self,
        latent: RowView,
        actions: TensorId,
        (pairs, value): (TensorId, TensorId),
        replayed: Option<Replayed>,
    ) {
        let model = self.model;
        let config = model.config();
        let candidates = Candidates {
            environments: self.form.environments,
            each: self.settings.samples,
        };
        let (rows, horizon) = (candidates.rows(), self.settings.horizon);
        let at = (Phase::Once, "first.");
        let first = model.first_layers(&mut self.graph, at, candidates.environments, latent);
        let joint = self.intermediate("joint", &[rows, model.joint()]);
        let joint = RowView::of(joint, model.joint());
        let sequences = RowView::of(actions, self.settings.length(config));
        let rewards = self.intermediate("rewards", &[horizon, rows]);
        let ends = config
            .episodic
            .then(|| self.intermediate("terminations", &[horizon, rows]));
        for step in 0..horizon {
            let logits = self.step(step, candidates, first, sequences, joint);
            self.decode(&format!("step{step}."), logits, (rewards, step), rows);
            if let Some(ends) = ends {
                self.termination(step, rows, joint, ends);
            }
        }
        let width = config.action_dim;
        let drawn = (Phase::Step, Stream::MppiValue, RandomKind::NORMAL);
        let each = self.settings.samples.saturating_mul(width);
        let noise = self.noise(drawn, each, replayed.map(|draws| draws.value));
        let last = joint.from_column(config.latent_dim);
        self.act((Phase::Step, "last."), rows, joint, (noise, 0, width), last);
        let q = self.intermediate("q", &[config.num_q, rows]);
        for member in 0..config.num_q {
            let label = member_label(member);
            let at = (Phase::Step, label.as_str());
            if let Some(logits) = model.q_member(&mut self.graph, at, rows, joint, member) {
                self.decode(&label, logits, (q, member), rows);
            }
        }
        let kernel = MppiReturn {
            rows: size(rows),
            horizon: size(horizon),
            members: size(config.num_q),
            step: 0,
            discount: self.settings.discount as f32,
            flags: if ends.is_some() {
                MppiReturn::TERMINATION
            } else {
                0
            },
        };
        let operands = [Some(rewards), ends, Some(q), Some(pairs), Some(value)];
        self.graph.push(Phase::Step, "return", kernel, &operands);
    }

    /// One step of all candidates: gives the logits of their rewards and moves their latents on.
    fn step(
        &mut self,
        step: usize,
        candidates: Candidates,
        first: FirstLayers,
        sequences: RowView,
        joint: RowView,
    ) -> TensorId {
        let (model, rows) = (self.model, candidates.rows());
        let label = format!("step{step}.");
        let at = (Phase::Step, label.as_str());
        if step == 0 {
            return model.first_step(&mut self.graph, at, candidates, first, sequences, joint);
        }
        self.place(at, rows, (sequences, step), joint);
        let reward = format!("{label}reward.");
        let logits = model.reward(&mut self.graph, (Phase::Step, &reward), rows, joint);
        let dynamics = format!("{label}dynamics.");
        model.dynamics(
            &mut self.graph,
            (Phase::Step, &dynamics),
            rows,
            joint,
            joint,
        );
        logits
    }

    /// Numbers of logits, into row `row` of `[.., rows]`.
    fn decode(
        &mut self,
        label: &str,
        logits: TensorId,
        (out, row): (TensorId, usize),
        rows: usize,
    ) {
        let config = self.model.config();
        let (low, high) = (config.vmin as f32, config.vmax as f32);
        let kernel = TwoHot {
            y_offset: size(row.saturating_mul(rows)),
            ..TwoHot::decode(size(rows), size(config.num_bins), low, high)
        };
        let operands = [Some(logits), None, None, Some(out)];
        let label = format!("{label}decode");
        self.graph.push(Phase::Step, label, kernel, &operands);
    }

    fn termination(&mut self, step: usize, rows: usize, joint: RowView, ends: TensorId) {
        let label = format!("step{step}.termination.");
        let at = (Phase::Step, label.as_str());
        let Some(logits) = self.model.termination(&mut self.graph, at, rows, joint) else {
            return;
        };
        let copy = CopyFloats {
            dst_offset: size(step.saturating_mul(rows)),
            ..CopyFloats::contiguous(size(rows))
        };
        let label = format!("{label}place");
        self.graph
            .push(Phase::Step, label, copy, &[Some(logits), Some(ends)]);
    }
}
