//! All networks of a file in one graph, and what comes out against what is stored.

use super::{BIN, ENTROPY, LOG_STD, NETWORK, NetworkCase, VALUE, engine};
use crate::device::Device;
use crate::graph::{Graph, Moment, Phase, Plan, TensorId, TensorKind};
use crate::models::mlp::RowView;
use crate::models::tdmpc2::{Members, Tdmpc2, Tdmpc2Config, ValueNetwork};
use crate::models::{Dynamics, StepTensors};
use crate::orbit::Orbit;
use crate::verify::checks::{CaseError, Checks};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::gaussian_policy::GaussianPolicy;
use std::sync::Arc;

/// Numbers that a case may have; more are mistakes or attacks.
const MOST_NUMBERS: usize = 1 << 26;

/// The graph so far, what is written to it, and what is read.
struct Build<'a> {
    model: &'a Tdmpc2,
    graph: Graph,
    rows: usize,
    inputs: Vec<(TensorId, Vec<f64>)>,
    outputs: Vec<(String, TensorId)>,
}

impl<'a> Build<'a> {
    fn config(&self) -> &'a Tdmpc2Config {
        self.model.config()
    }

    fn input(&mut self, name: &str, shape: &[usize], values: Vec<f64>) -> TensorId {
        let id = self.graph.float(name, shape, TensorKind::Input);
        self.inputs.push((id, values));
        id
    }

    fn middle(&mut self, name: &str, shape: &[usize]) -> TensorId {
        self.graph.float(name, shape, TensorKind::Intermediate)
    }

    fn wanted(&mut self, name: &str, id: TensorId) {
        self.graph.keep(id);
        self.outputs.push((name.to_string(), id));
    }

    /// Numbers of `rows` rows of logits.
    fn decode(&mut self, name: &str, rows: usize, logits: TensorId) {
        let out = self.middle(name, &[rows]);
        let kernel = self.model.decode(rows);
        let operands = [Some(logits), None, None, Some(out)];
        self.graph.push(Phase::Step, name, kernel, &operands);
        self.wanted(name, out);
    }

    /// Latent and action side by side.
    fn join(&mut self, z: TensorId, action: TensorId) -> RowView {
        let (latent, actions) = (self.config().latent_dim, self.config().action_dim);
        let wide = latent + actions;
        let joint = self.middle("joint", &[self.rows, wide]);
        for (source, first, width) in [(z, 0, latent), (action, latent, actions)] {
            let shape = [1, 1, self.rows as u32, width as u32];
            let copy = CopyFloats {
                dst_offset: first as u32,
                ..CopyFloats::strided(shape, [0, 0, width as u32, 1], [0, 0, wide as u32, 1])
            };
            let operands = [Some(source), Some(joint)];
            let label = format!("joint.from{first}");
            self.graph.push(Phase::Step, label, copy, &operands);
        }
        RowView::of(joint, wide)
    }

    /// Encoder, dynamics and reward, each alone and both together.
    fn states(&mut self, observation: TensorId, action: TensorId) -> (TensorId, RowView) {
        let (rows, latent) = (self.rows, self.config().latent_dim);
        let (model, step) = (self.model, Phase::Step);
        let view = |id| RowView::of(id, latent);
        let z = self.middle("z", &[rows, latent]);
        let observation = RowView::of(observation, self.config().obs_dim);
        model.encode(&mut self.graph, (step, "enc."), rows, observation, view(z));
        self.wanted("z", z);
        for (name, label) in [
            ("enc0_linear", "enc.layer0"),
            ("enc0_out", "enc.layer0.activation"),
        ] {
            if let Some(id) = self.graph.find(label) {
                self.wanted(name, id);
            }
        }
        let joint = self.join(z, action);
        let next = self.middle("z_next", &[rows, latent]);
        let graph = &mut self.graph;
        model.dynamics(graph, (step, "dynamics."), rows, joint, view(next));
        let logits = model.reward(graph, (step, "reward."), rows, joint);
        self.wanted("z_next", next);
        self.wanted("reward_logits", logits);
        self.decode("reward", rows, logits);
        let next = self.middle("z_next of both", &[rows, latent]);
        let graph = &mut self.graph;
        let logits = model.reward_and_dynamics(graph, (step, "two."), rows, joint, view(next));
        self.wanted("z_next of both", next);
        self.wanted("reward_logits of both", logits);
        (z, joint)
    }

    /// The value functions: all, the same in reverse order by their numbers, and their averages.
    fn values(&mut self, joint: RowView) {
        let (rows, members) = (self.rows, self.config().num_q);
        let (model, step) = (self.model, Phase::Step);
        let logits = model.q(&mut self.graph, (step, "q."), rows, joint, Members::All);
        self.wanted("q_logits", logits);
        self.decode("q", members * rows, logits);
        let order: Vec<u32> = (0..members as u32).rev().collect();
        let words = self
            .graph
            .constant_words("members", &[members], Arc::new(order));
        let chosen = Members::Chosen {
            words,
            count: members,
            groups: 1,
        };
        let logits = model.q(&mut self.graph, (step, "chosen."), rows, joint, chosen);
        self.wanted("q_logits of chosen members", logits);
        let target = (ValueNetwork::Target, Members::All);
        if let Some(logits) = model.value(&mut self.graph, (step, "target."), rows, joint, target) {
            self.decode("target_q", members * rows, logits);
        }
    }

    /// The policy and everything it can say, and termination.
    fn policy(&mut self, z: RowView, eps: TensorId) {
        let (rows, actions) = (self.rows, self.config().action_dim);
        let (model, step) = (self.model, Phase::Step);
        let raw = model.policy(&mut self.graph, (step, "pi."), rows, z);
        let (mut kernel, mask) = model.actor(&mut self.graph, rows);
        kernel.flags |= GaussianPolicy::MEAN | GaussianPolicy::LOG_STD | GaussianPolicy::ENTROPY;
        let mut operands = vec![Some(raw), Some(eps), mask];
        let names = ["pi_action", "pi_mean", "pi_log_std", "entropies"];
        for (name, width) in names.into_iter().zip([actions, actions, actions, 2]) {
            let out = self.middle(name, &[rows, width]);
            operands.push(Some(out));
            self.wanted(name, out);
        }
        self.graph.push(step, "pi.actor", kernel, &operands);
        if let Some(logits) = model.termination(&mut self.graph, (step, "end."), rows, z) {
            self.wanted("termination", logits);
        }
    }

    /// Latents under recorded actions, step by step.
    fn rollout(&mut self, z: TensorId, actions: &[f64], steps: usize) {
        let (rows, latent, width) = (
            self.rows,
            self.config().latent_dim,
            self.config().action_dim,
        );
        let dynamics = self.model.latent_dynamics();
        let mut state = z;
        let of_steps = actions.chunks((rows * width).max(1));
        for (step, own) in of_steps.take(steps).enumerate() {
            let action = self.input(&format!("rollout_act.{step}"), &[rows, width], own.to_vec());
            let next = self.middle(&format!("rollout_z.{step}"), &[rows, latent]);
            let tensors = StepTensors {
                state,
                action,
                next,
            };
            let label = format!("rollout.{step}.");
            dynamics.push(&mut self.graph, (Phase::Step, &label), rows, tensors);
            self.wanted(&format!("rollout_z.{step}"), next);
            state = next;
        }
    }

    /// Encoding of numbers, and decoding of stored encodings.
    fn two_hot(&mut self, numbers: Vec<f64>, encoded: &[f64]) {
        let (count, logits) = (numbers.len(), self.config().logits());
        let x = self.input("two_hot_in", &[count], numbers);
        let y = self.middle("two_hot_out", &[count, logits]);
        let kernel = self.model.encode_scalars(count);
        let operands = [Some(x), Some(y)];
        self.graph.push(Phase::Step, "two_hot", kernel, &operands);
        self.wanted("two_hot_out", y);
        // Softmax undoes the logarithm of what sums to 1; fewer bins are not a distribution.
        let back = encoded.iter().map(|value| match self.config().num_bins {
            0 | 1 => *value,
            _ => value.ln(),
        });
        let back = back.collect();
        let logits = self.input("two_hot_logits", &[count, logits], back);
        self.decode("two_hot_roundtrip", count, logits);
    }

    /// Runs it and reads what is wanted.
    fn results(self, device: &Device) -> Result<Results, CaseError> {
        let plan = Plan::compile(self.graph, device).map_err(engine)?;
        let mut orbit = Orbit::new(&plan).map_err(engine)?;
        for (id, values) in &self.inputs {
            orbit.execution.write_f64(*id, values).map_err(engine)?;
        }
        orbit.run(1, &Moment::default()).map_err(engine)?;
        let mut all = Vec::new();
        for (name, id) in self.outputs {
            let values = orbit.execution.read_f64(id).map_err(engine)?;
            all.push((name, values));
        }
        Ok(Results(all))
    }
}

/// What came out, by name.
struct Results(Vec<(String, Vec<f64>)>);

impl Results {
    fn get(&self, name: &str) -> &[f64] {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map_or(&[], |(_, values)| values)
    }
}

/// Checks every tensor; gives the quantities of which the index states ranges.
pub(super) fn check(
    case: &NetworkCase<'_>,
    model: &Tdmpc2,
    device: &Device,
    checks: &mut Checks,
) -> Result<Vec<(&'static str, Vec<f64>)>, CaseError> {
    let config = model.config();
    let (shape, observation) = case.tensor("obs")?;
    let &[rows, width] = &shape[..] else {
        return Err(engine(format!(
            "io.obs: expected a matrix, found {shape:?}"
        )));
    };
    let widest = config.mlp_dim.max(config.enc_dim).max(config.logits());
    let most = rows.saturating_mul(widest).saturating_mul(config.num_q);
    if rows == 0 || width != config.obs_dim || most > MOST_NUMBERS {
        let expected = format!("rows of {}", config.obs_dim);
        return Err(engine(format!(
            "io.obs: expected {expected}, found {shape:?}"
        )));
    }
    let (rolled, rollout) = case.tensor("rollout_act")?;
    let steps = rolled.first().copied().unwrap_or(0);
    if rolled != [steps, rows, config.action_dim] || steps > 1000 {
        return Err(engine(format!(
            "io.rollout_act: expected at most 1000 steps of {rows} actions, found {rolled:?}"
        )));
    }
    let mut build = Build {
        model,
        graph: Graph::new(),
        rows,
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let actions = [rows, config.action_dim];
    let observation = build.input("obs", &shape, observation);
    let action = build.input("act", &actions, case.shaped("act", &actions)?);
    let eps = build.input("pi_eps", &actions, case.shaped("pi_eps", &actions)?);
    let (z, joint) = build.states(observation, action);
    build.values(joint);
    build.policy(RowView::of(z, config.latent_dim), eps);
    build.rollout(z, &rollout, steps);
    let (scalars, encoded) = two_hot_inputs(case, config)?;
    build.two_hot(scalars.clone(), &encoded);
    let results = build.results(device)?;
    compare_networks(case, &results, (config, rows, steps), checks)?;
    compare_policy(case, &results, (config, rows), checks)?;
    compare_scalars(case, &results, (&scalars, &encoded), checks)?;
    let of = |name: &'static str| (name, results.get(name).to_vec());
    Ok(vec![
        of("reward"),
        of("q"),
        ("pi_mean", results.get("pi_mean").to_vec()),
    ])
}

fn two_hot_inputs(
    case: &NetworkCase<'_>,
    config: &Tdmpc2Config,
) -> Result<(Vec<f64>, Vec<f64>), CaseError> {
    let (shape, scalars) = case.tensor("two_hot_in")?;
    let count = scalars.len();
    if count == 0 || shape != [count, 1] {
        return Err(engine(format!(
            "io.two_hot_in: expected numbers in a column, found {shape:?}"
        )));
    }
    let encoded = case.shaped("two_hot_out", &[count, config.logits()])?;
    Ok((scalars, encoded))
}

fn compare_networks(
    case: &NetworkCase<'_>,
    results: &Results,
    (config, rows, steps): (&Tdmpc2Config, usize, usize),
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let (latent, logits, members) = (config.latent_dim, config.logits(), config.num_q);
    let hidden = [rows, config.enc_dim];
    let mut network = |what: &str, stored: &str, shape: &[usize], tolerance: f64| {
        let expected = case.shaped(stored, shape)?;
        checks.close(what, results.get(what), &expected, tolerance);
        Ok::<_, CaseError>(expected)
    };
    network("enc0_linear", "enc0_linear", &hidden, NETWORK)?;
    network("enc0_out", "enc0_out", &hidden, NETWORK)?;
    network("z", "z", &[rows, latent], NETWORK)?;
    for what in ["z_next", "z_next of both"] {
        network(what, "z_next", &[rows, latent], NETWORK)?;
    }
    for what in ["reward_logits", "reward_logits of both"] {
        network(what, "reward_logits", &[rows, logits], NETWORK)?;
    }
    network("reward", "reward", &[rows, 1], VALUE)?;
    let shape = [members, rows, logits];
    let q = network("q_logits", "q_logits", &shape, NETWORK)?;
    network("q", "q", &[members, rows, 1], VALUE)?;
    if !results.get("target_q").is_empty() {
        network("target_q", "target_q", &[members, rows, 1], VALUE)?;
    }
    let what = "q_logits of chosen members";
    let reversed: Vec<f64> = q.chunks(rows * logits).rev().flatten().copied().collect();
    checks.close(what, results.get(what), &reversed, NETWORK);
    let stored = case.shaped("rollout_z", &[steps, rows, latent])?;
    for (step, expected) in stored.chunks(rows * latent).enumerate() {
        let what = format!("rollout_z.{step}");
        checks.close(&what, results.get(&what), expected, NETWORK);
    }
    if config.episodic {
        let expected = case.shaped("termination", &[rows, 1])?;
        let logits = results.get("termination").iter();
        let found: Vec<f64> = logits.map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        checks.close("termination", &found, &expected, NETWORK);
    }
    Ok(())
}

fn compare_policy(
    case: &NetworkCase<'_>,
    results: &Results,
    (config, rows): (&Tdmpc2Config, usize),
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let shape = [rows, config.action_dim];
    for (what, tolerance) in [
        ("pi_action", NETWORK),
        ("pi_mean", NETWORK),
        ("pi_log_std", LOG_STD),
    ] {
        let expected = case.shaped(what, &shape)?;
        checks.close(what, results.get(what), &expected, tolerance);
    }
    // What an error of an action does to its entropy.
    let actions = case.shaped("pi_action", &shape)?;
    let sensitive = |row: &[f64]| -> f64 {
        let each = row.iter().map(|a| 1.0 / (1.0 - a * a + 1e-6));
        1.0 + each.sum::<f64>()
    };
    let scales: Vec<f64> = actions.chunks(config.action_dim).map(sensitive).collect();
    for (column, what) in ["pi_entropy", "pi_scaled_entropy"].into_iter().enumerate() {
        let expected = case.shaped(what, &[rows, 1])?;
        let found = results.get("entropies").iter().skip(column).step_by(2);
        let factor = if column == 0 { 1 } else { config.action_dim } as f64;
        let scaled = |values: &mut dyn Iterator<Item = f64>| -> Vec<f64> {
            let pairs = values.zip(&scales);
            pairs
                .map(|(value, scale)| value / (scale * factor))
                .collect()
        };
        let found = scaled(&mut found.copied());
        let expected = scaled(&mut expected.into_iter());
        let what = format!("{what} / sensitivity");
        checks.close(&what, &found, &expected, ENTROPY);
    }
    Ok(())
}

fn compare_scalars(
    case: &NetworkCase<'_>,
    results: &Results,
    (scalars, encoded): (&[f64], &[f64]),
    checks: &mut Checks,
) -> Result<(), CaseError> {
    checks.close("two_hot_out", results.get("two_hot_out"), encoded, BIN);
    let stored = case.shaped("two_hot_roundtrip", &[scalars.len(), 1])?;
    // An error on the logarithmic scale grows with the number.
    let relative = |values: &[f64]| -> Vec<f64> {
        let pairs = values.iter().zip(scalars);
        pairs.map(|(value, x)| value / (1.0 + x.abs())).collect()
    };
    checks.close(
        "two_hot_roundtrip / (1 + |x|)",
        &relative(results.get("two_hot_roundtrip")),
        &relative(&stored),
        VALUE,
    );
    Ok(())
}
