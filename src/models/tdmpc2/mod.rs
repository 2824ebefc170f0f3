//! TD-MPC2 (Hansen, Su, Wang 2024): an encoder, latent dynamics, reward, policy and an ensemble of value
//! functions, as pieces of a graph.
//!
//! Observation and latent come before the action in every joint input. Rows that hold a latent and an
//! action side by side need no copies: the dynamics write the next latent over the old one, and a planner
//! writes its actions beside it.

mod config;
mod ensemble;
mod error;
mod layout;
mod names;
mod planning;

pub use config::{Tdmpc2Config, Tdmpc2ConfigError};
pub use ensemble::Members;
pub use error::Tdmpc2Error;
pub use layout::{InitialWeights, random_weights, state_dict};
pub use planning::{Candidates, FirstLayers};

use super::dynamics::LatentDynamics;
use super::mlp::{LayerNames, Mlp, MlpError, Nonlinearity, RowView};
use crate::formats::ArrayMap;
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::Activation;
use attractor_kernels::gaussian_policy::GaussianPolicy;
use attractor_kernels::two_hot::TwoHot;
use attractor_kernels::two_hot_encode::TwoHotEncode;
use ensemble::{Ensemble, Stacked};
use std::sync::Arc;

/// Which of the two sets of value functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueNetwork {
    /// Those in training, which the planner asks.
    Online,
    /// Their slowly moving averages, which training aims at.
    Target,
}

/// The tensors of a checkpoint under the newest names, of one task: old and new names and checkpoints of
/// several tasks are brought to one form, bookkeeping is left out.
///
/// # Errors
/// [`Tdmpc2Error`] if a task is missing, superfluous or out of range, or a tensor does not fit.
pub fn single_task(map: &ArrayMap, task: Option<usize>) -> Result<ArrayMap, Tdmpc2Error> {
    names::of_task(names::newest(map)?, task)
}

/// A model: its networks, ready to be put into graphs.
#[derive(Debug, Clone)]
pub struct Tdmpc2 {
    config: Tdmpc2Config,
    encoder: Mlp,
    dynamics: LatentDynamics,
    reward: Mlp,
    policy: Mlp,
    termination: Option<Mlp>,
    online: Ensemble,
    /// The value functions in training once more, each by itself.
    members: Vec<Mlp>,
    target: Option<Ensemble>,
    /// Hidden layers of dynamics and reward side by side, and what follows them.
    both: (Ensemble, Mlp, Mlp),
    action_mask: Option<Vec<f32>>,
    file: String,
    hash: String,
}

impl Tdmpc2 {
    /// Takes the networks out of a state dictionary, with old or new names; `task` chooses one of several,
    /// and must be left out where there is one.
    ///
    /// # Errors
    /// [`Tdmpc2Error`] naming the tensor that is missing, of another shape, not finite or without a place,
    /// or the key of the configuration that does not hold.
    pub fn read(
        map: &ArrayMap,
        config: &Tdmpc2Config,
        task: Option<usize>,
    ) -> Result<Self, Tdmpc2Error> {
        let file = map.file().display().to_string();
        config.check(&file)?;
        let hash = map.content_hash();
        let map = single_task(map, task)?;
        layout::check(&map, config)?;
        check_bounds(&map, config)?;
        let group = config.simnorm_dim;
        let encoder = perceptron(
            &map,
            "_encoder.state",
            config.hidden_encoder_layers() + 1,
            Some(Nonlinearity::SimNorm { group }),
        )?;
        let dynamics = LatentDynamics::tdmpc2(&map, group)?;
        let reward = perceptron(&map, "_reward", 3, None)?;
        let policy = perceptron(&map, "_pi", 3, None)?;
        let termination = match config.episodic {
            true => Some(perceptron(&map, "_termination", 3, None)?),
            false => None,
        };
        let target = match map.names().any(|name| name.starts_with(names::TARGET)) {
            true => Some(value_functions(&map, names::TARGET, config)?),
            false => None,
        };
        let both = side_by_side(dynamics.perceptron(), &reward);
        Ok(Self {
            online: value_functions(&map, names::ONLINE, config)?,
            members: planning::members(&map, config)?,
            action_mask: action_mask(&map, config)?,
            config: config.clone(),
            encoder,
            dynamics,
            reward,
            policy,
            termination,
            target,
            both,
            file,
            hash,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &Tdmpc2Config {
        &self.config
    }

    /// The file of the weights, and the hash of what it holds.
    pub fn source(&self) -> (&str, &str) {
        (&self.file, &self.hash)
    }

    /// The latent dynamics, for roll-outs and exponents.
    pub fn latent_dynamics(&self) -> &LatentDynamics {
        &self.dynamics
    }

    /// Which actions the task has, 1 or 0, where it shares a model with tasks of more.
    pub fn action_mask(&self) -> Option<&[f32]> {
        self.action_mask.as_deref()
    }

    /// Whether there are averages of the value functions.
    pub fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// Numbers of a latent and an action side by side.
    pub fn joint(&self) -> usize {
        self.config.latent_dim + self.config.action_dim
    }

    /// Adds the encoder: rows of `[obs]` into rows of `[latent]`.
    pub fn encode(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        observation: RowView,
        latent: RowView,
    ) {
        self.encoder
            .forward_rows(graph, at, rows, observation, latent);
    }

    /// Adds the dynamics: rows of `[latent, action]` into rows of `[latent]`, which may be the same rows.
    pub fn dynamics(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        joint: RowView,
        next: RowView,
    ) {
        self.dynamics.step_rows(graph, at, rows, joint, next);
    }

    /// Adds the reward of rows of `[latent, action]`; gives logits `[rows, bins]`.
    pub fn reward(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        joint: RowView,
    ) -> TensorId {
        self.logits(graph, at, rows, (&self.reward, joint))
    }

    /// Adds the reward of rows of `[latent, action]`, whose logits `[rows, bins]` it gives, and the next
    /// latents, which may go over the old ones. Both networks' hidden layers are one product each.
    pub fn reward_and_dynamics(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        rows: usize,
        joint: RowView,
        next: RowView,
    ) -> TensorId {
        let (hidden, dynamics, reward) = &self.both;
        let label_of = |part: &str| format!("{label}{part}.");
        let y = hidden.forward(graph, (phase, &label_of("both")), rows, joint, Members::All);
        let y = RowView::of(y, self.config.mlp_dim);
        let second = y.from_column(rows.saturating_mul(self.config.mlp_dim));
        let logits = self.logits(graph, (phase, &label_of("reward")), rows, (reward, second));
        dynamics.forward_rows(graph, (phase, &label_of("dynamics")), rows, y, next);
        logits
    }

    /// Adds the policy of rows of `[latent]`; gives means and raw logarithms of deviations,
    /// `[rows, 2 action_dim]`, which [`GaussianPolicy`]
    /// makes actions of.
    pub fn policy(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        latent: RowView,
    ) -> TensorId {
        self.logits(graph, at, rows, (&self.policy, latent))
    }

    /// Adds the termination of rows of `[latent]`, where episodes end: logits `[rows, 1]`.
    pub fn termination(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        latent: RowView,
    ) -> Option<TensorId> {
        let network = self.termination.as_ref()?;
        Some(self.logits(graph, at, rows, (network, latent)))
    }

    /// Adds members of the value functions over rows of `[latent, action]`; gives logits
    /// `[members, rows, bins]`, or `None` for averages that the checkpoint lacks.
    pub fn value(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        joint: RowView,
        (network, members): (ValueNetwork, Members),
    ) -> Option<TensorId> {
        let ensemble = match network {
            ValueNetwork::Online => &self.online,
            ValueNetwork::Target => self.target.as_ref()?,
        };
        Some(ensemble.forward(graph, at, rows, joint, members))
    }

    /// Members of the value functions in training over rows of `[latent, action]`: logits
    /// `[members, rows, bins]`.
    pub fn q(
        &self,
        graph: &mut Graph,
        at: (Phase, &str),
        rows: usize,
        joint: RowView,
        members: Members,
    ) -> TensorId {
        self.online.forward(graph, at, rows, joint, members)
    }

    /// The kernel that reads numbers out of `rows` rows of logits of reward or value; weight, addends and
    /// members are the caller's.
    pub fn decode(&self, rows: usize) -> TwoHot {
        let config = &self.config;
        let (low, high) = (config.vmin as f32, config.vmax as f32);
        TwoHot::decode(size(rows), size(config.num_bins), low, high)
    }

    /// The kernel that makes distributions over bins of `rows` numbers.
    pub fn encode_scalars(&self, rows: usize) -> TwoHotEncode {
        let config = &self.config;
        let (low, high) = (config.vmin as f32, config.vmax as f32);
        TwoHotEncode::new(size(rows), size(config.num_bins), low, high)
    }

    /// The kernel that makes actions of what [`Tdmpc2::policy`] gives for `rows` rows, and the mask it
    /// needs, as a constant of the graph, where the task has not all actions.
    pub fn actor(&self, graph: &mut Graph, rows: usize) -> (GaussianPolicy, Option<TensorId>) {
        let config = &self.config;
        let mut kernel = GaussianPolicy {
            log_std_min: config.log_std_min as f32,
            log_std_dif: (config.log_std_max - config.log_std_min) as f32,
            ..GaussianPolicy::sample(size(rows), size(config.action_dim))
        };
        let mask = self.action_mask.as_ref().map(|mask| {
            kernel.flags |= GaussianPolicy::MASK;
            let found = graph.find(names::MASKS);
            found.unwrap_or_else(|| {
                graph.constant(names::MASKS, &[mask.len()], Arc::new(mask.clone()))
            })
        });
        (kernel, mask)
    }

    fn logits(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        rows: usize,
        (network, x): (&Mlp, RowView),
    ) -> TensorId {
        let width = network.outputs();
        let name = format!("{label}logits");
        let out = graph.float(name, &[rows, width], TensorKind::Intermediate);
        let view = RowView::of(out, width);
        network.forward_rows(graph, (phase, label), rows, x, view);
        out
    }
}

/// A perceptron of dense layers with norm and Mish; the last is plain unless something follows it.
fn perceptron(
    map: &ArrayMap,
    prefix: &str,
    layers: usize,
    last: Option<Nonlinearity>,
) -> Result<Mlp, MlpError> {
    let names: Vec<LayerNames> = (0..layers)
        .map(|index| {
            let name = format!("{prefix}.{index}");
            match (index + 1 == layers, last) {
                (false, _) => LayerNames::normed(&name, Nonlinearity::Activation(Activation::MISH)),
                (true, Some(nonlinearity)) => LayerNames::normed(&name, nonlinearity),
                (true, None) => LayerNames::plain(
                    format!("{name}.weight"),
                    format!("{name}.bias"),
                    Nonlinearity::None,
                ),
            }
        })
        .collect();
    Mlp::read(map, &names)
}

/// The ensemble of value functions under a prefix.
fn value_functions(
    map: &ArrayMap,
    prefix: &str,
    config: &Tdmpc2Config,
) -> Result<Ensemble, Tdmpc2Error> {
    let members = config.num_q;
    let joint = config.latent_dim + config.action_dim;
    let widths = [joint, config.mlp_dim, config.mlp_dim, config.logits()];
    let mut layers = Vec::new();
    for (index, pair) in widths.windows(2).enumerate() {
        let &[inputs, outputs] = pair else { continue };
        let read = |part: &str, shape: &[usize]| {
            map.expect_finite_f32(&format!("{prefix}{index}.{part}"), shape)
        };
        let norm = match index + 2 < widths.len() {
            true => Some((
                read("ln.weight", &[members, outputs])?,
                read("ln.bias", &[members, outputs])?,
            )),
            false => None,
        };
        layers.push(Stacked {
            inputs,
            outputs,
            weight: read("weight", &[members, outputs, inputs])?,
            bias: read("bias", &[members, outputs])?,
            norm,
        });
    }
    Ok(Ensemble::new(prefix, members, &layers))
}

/// The hidden layers of dynamics and reward as an ensemble of two, and the last layers of each.
fn side_by_side(dynamics: &Mlp, reward: &Mlp) -> (Ensemble, Mlp, Mlp) {
    let hidden = reward.layers().len().saturating_sub(1);
    let pairs = dynamics.layers().iter().zip(reward.layers()).take(hidden);
    let both = |a: &super::weights::Weight, b: &super::weights::Weight| -> Vec<f32> {
        a.values.iter().chain(b.values.iter()).copied().collect()
    };
    let layers: Vec<Stacked> = pairs
        .map(|(a, b)| Stacked {
            inputs: a.inputs,
            outputs: a.outputs,
            weight: both(&a.affine.weight, &b.affine.weight),
            bias: both(&a.affine.bias, &b.affine.bias),
            norm: a
                .norm
                .as_ref()
                .zip(b.norm.as_ref())
                .map(|(a, b)| (both(&a.0, &b.0), both(&a.1, &b.1))),
        })
        .collect();
    let ensemble = Ensemble::new("_dynamics_and_reward", 2, &layers);
    (ensemble, dynamics.tail(hidden), reward.tail(hidden))
}

/// The bounds of the policy's deviation, where the checkpoint has them, must be the configuration's.
fn check_bounds(map: &ArrayMap, config: &Tdmpc2Config) -> Result<(), Tdmpc2Error> {
    let expected = [
        ("log_std_min", config.log_std_min),
        ("log_std_dif", config.log_std_max - config.log_std_min),
    ];
    for (name, expected) in expected {
        let Some(array) = map.find(name) else {
            continue;
        };
        // Whole numbers are stored as such.
        let values = array.to_f64().or_else(|error| match array.to_i64() {
            Ok(values) => Ok(values.into_iter().map(|value| value as f64).collect()),
            Err(_) => Err(error),
        });
        let values = values.map_err(|error| map.array_error(name, error))?;
        let close = |value: &f64| (value - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        if values.len() != 1 || !values.iter().all(close) {
            let expected = format!("{expected}, as the configuration has it");
            return Err(Tdmpc2Error::misfit(
                map,
                name,
                expected,
                format!("{values:?}"),
            ));
        }
    }
    Ok(())
}

fn action_mask(map: &ArrayMap, config: &Tdmpc2Config) -> Result<Option<Vec<f32>>, Tdmpc2Error> {
    if !map.contains(names::MASKS) {
        return Ok(None);
    }
    let mask = map.expect_finite_f32(names::MASKS, &[config.action_dim])?;
    if let Some(value) = mask.iter().find(|value| **value != 0.0 && **value != 1.0) {
        return Err(Tdmpc2Error::misfit(
            map,
            names::MASKS,
            "zeros and ones",
            value,
        ));
    }
    Ok(Some(mask))
}
