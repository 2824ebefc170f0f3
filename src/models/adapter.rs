//! World models with a latent, as dynamics of observations: `s' = decoder(dynamics(encoder(s), a))`.
//!
//! Encoder and dynamics are those of TD-MPC2 (Hansen, Su, Wang 2024), the decoder is fitted afterwards. The
//! latent is encoded anew at every step, so that the map is one of observations alone.

mod checkpoint;

pub use checkpoint::AdapterFile;

use super::mlp::{LayerNames, Mlp, MlpError, Nonlinearity};
use super::{Dynamics, StepTensors};
use crate::formats::{ArrayMap, FormatError};
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorKind};
use attractor_kernels::Activation;
use attractor_kernels::copy::CopyFloats;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What can be wrong with an adapter.
#[derive(Debug, Error)]
pub enum AdapterError {
    /// The file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A network.
    #[error(transparent)]
    Mlp(#[from] MlpError),
    /// An entry beside the weights, or networks that do not fit it.
    #[error("{file}: {entry}: expected {expected}, found {found}")]
    Entry {
        /// File.
        file: String,
        /// The entry.
        entry: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// An action that the model was not made for.
    #[error("action {found}: expected one of the {count} actions of the set")]
    Action {
        /// The action.
        found: String,
        /// Actions of the set.
        count: usize,
    },
}

/// Sizes of the networks, under their names in checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterArch {
    /// Numbers of an observation.
    pub obs_dim: usize,
    /// Numbers of an action.
    pub action_dim: usize,
    /// Numbers of a latent.
    pub latent_dim: usize,
    /// Width of the encoder's hidden layers.
    pub enc_dim: usize,
    /// Width of the dynamics' two hidden layers.
    pub mlp_dim: usize,
    /// Layers of the encoder; a single one has a hidden layer all the same.
    pub num_enc_layers: usize,
    /// Numbers of a group of SimNorm.
    pub simnorm_dim: usize,
    /// Width of the decoder's two hidden layers.
    pub decoder_hidden: usize,
}

/// The three networks and the actions they were made for.
#[derive(Debug, Clone)]
pub struct Adapter {
    arch: AdapterArch,
    encoder: Mlp,
    dynamics: Mlp,
    decoder: Mlp,
    /// `[count, action_dim]`.
    actions: Vec<f64>,
}

impl Adapter {
    /// The adapter of a state dict: `encoder.{i}.*` and `dynamics.{i}.*` with layer norm and Mish, the last
    /// of each with SimNorm, `decoder.{0,2,4}.*` with SiLU between them; and of a set of actions,
    /// `[count, action_dim]`.
    ///
    /// # Errors
    /// [`AdapterError`] naming the tensor that is missing or not of the size that `arch` has for it, or the
    /// action that is not finite.
    pub fn new(map: &ArrayMap, arch: AdapterArch, actions: Vec<f64>) -> Result<Self, AdapterError> {
        check_arch(map, &arch)?;
        let width = arch.action_dim;
        if actions.is_empty() || !actions.len().is_multiple_of(width) {
            let expected = format!("at least one action of {width} numbers");
            let found = format!("{} numbers", actions.len());
            return Err(entry(map, "action_set", expected, found));
        }
        if let Some(action) = actions.iter().find(|action| !action.is_finite()) {
            return Err(entry(map, "action_set", "finite numbers", action));
        }
        let hidden = arch.num_enc_layers.saturating_sub(1).max(1);
        let group = arch.simnorm_dim;
        let mut sizes = vec![arch.obs_dim];
        sizes.extend(std::iter::repeat_n(arch.enc_dim, hidden));
        sizes.push(arch.latent_dim);
        let encoder = normed(map, "encoder", &sizes, group)?;
        let input = arch.latent_dim.saturating_add(width);
        let sizes = [input, arch.mlp_dim, arch.mlp_dim, arch.latent_dim];
        let dynamics = normed(map, "dynamics", &sizes, group)?;
        let hidden = arch.decoder_hidden;
        let sizes = [arch.latent_dim, hidden, hidden, arch.obs_dim];
        let names = |(index, last): (usize, bool)| {
            let prefix = format!("decoder.{}", 2 * index);
            let nonlinearity = match last {
                true => Nonlinearity::None,
                false => Nonlinearity::Activation(Activation::SILU),
            };
            LayerNames::plain(
                format!("{prefix}.weight"),
                format!("{prefix}.bias"),
                nonlinearity,
            )
        };
        let decoder = sized(map, &sizes, names)?;
        Ok(Self {
            arch,
            encoder,
            dynamics,
            decoder,
            actions,
        })
    }

    /// Sizes.
    pub fn arch(&self) -> &AdapterArch {
        &self.arch
    }

    /// The actions of the set, `[count, action_dim]`.
    pub fn actions(&self) -> &[f64] {
        &self.actions
    }

    /// Index of an action in the set.
    ///
    /// # Errors
    /// [`AdapterError::Action`] for one that is not in it.
    pub fn action_index(&self, action: &[f64]) -> Result<usize, AdapterError> {
        let mut set = self.actions.chunks_exact(self.arch.action_dim.max(1));
        set.position(|known| known == action)
            .ok_or_else(|| AdapterError::Action {
                found: format!("{action:?}"),
                count: self.actions.len() / self.arch.action_dim.max(1),
            })
    }
}

fn entry(
    map: &ArrayMap,
    name: &str,
    expected: impl ToString,
    found: impl ToString,
) -> AdapterError {
    AdapterError::Entry {
        file: map.file().display().to_string(),
        entry: name.to_string(),
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

fn check_arch(map: &ArrayMap, arch: &AdapterArch) -> Result<(), AdapterError> {
    /// Most numbers of a layer, so that sizes multiplied stay sizes.
    const MOST: usize = 1 << 20;
    for (name, found) in [
        ("obs_dim", arch.obs_dim),
        ("action_dim", arch.action_dim),
        ("latent_dim", arch.latent_dim),
        ("enc_dim", arch.enc_dim),
        ("mlp_dim", arch.mlp_dim),
        ("simnorm_dim", arch.simnorm_dim),
        ("decoder_hidden", arch.decoder_hidden),
    ] {
        if !(1..=MOST).contains(&found) {
            return Err(entry(
                map,
                &format!("arch.{name}"),
                format!("1..={MOST}"),
                found,
            ));
        }
    }
    if arch.num_enc_layers > 64 {
        let found = arch.num_enc_layers;
        return Err(entry(map, "arch.num_enc_layers", "at most 64", found));
    }
    if !arch.latent_dim.is_multiple_of(arch.simnorm_dim) {
        let expected = format!("a multiple of simnorm_dim = {}", arch.simnorm_dim);
        return Err(entry(map, "arch.latent_dim", expected, arch.latent_dim));
    }
    Ok(())
}

/// Layers with layer norm and Mish, the last with SimNorm.
fn normed(
    map: &ArrayMap,
    network: &str,
    sizes: &[usize],
    group: usize,
) -> Result<Mlp, AdapterError> {
    sized(map, sizes, |(index, last)| {
        let nonlinearity = match last {
            true => Nonlinearity::SimNorm { group },
            false => Nonlinearity::Activation(Activation::MISH),
        };
        LayerNames::normed(&format!("{network}.{index}"), nonlinearity)
    })
}

/// Layers of exactly these sizes.
fn sized(
    map: &ArrayMap,
    sizes: &[usize],
    names: impl Fn((usize, bool)) -> LayerNames,
) -> Result<Mlp, AdapterError> {
    let layers = sizes.len().saturating_sub(1);
    let names: Vec<LayerNames> = (0..layers)
        .map(|index| names((index, index + 1 == layers)))
        .collect();
    for (layer, pair) in names.iter().zip(sizes.windows(2)) {
        if let &[inputs, outputs] = pair {
            map.expect(&layer.weight, &[outputs, inputs])?;
        }
    }
    Ok(Mlp::read(map, &names)?)
}

impl Dynamics for Adapter {
    fn state(&self) -> usize {
        self.arch.obs_dim
    }

    fn action(&self) -> usize {
        self.arch.action_dim
    }

    fn push(
        &self,
        graph: &mut Graph,
        (phase, label): (Phase, &str),
        rows: usize,
        tensors: StepTensors,
    ) {
        let (latent, action) = (self.arch.latent_dim, self.arch.action_dim);
        let wide = latent + action;
        let middle = TensorKind::Intermediate;
        let z = graph.float(format!("{label}latent"), &[rows, latent], middle);
        let input = graph.float(format!("{label}input"), &[rows, wide], middle);
        let next = graph.float(format!("{label}next_latent"), &[rows, latent], middle);
        let at = format!("{label}encoder.");
        self.encoder
            .forward(graph, (phase, &at), rows, tensors.state, (z, 0));
        for (from, width, offset) in [(z, latent, 0), (tensors.action, action, latent)] {
            let copy = CopyFloats {
                dst_offset: size(offset),
                ..CopyFloats::strided(
                    [1, 1, size(rows), size(width)],
                    [0, 0, size(width), 1],
                    [0, 0, size(wide), 1],
                )
            };
            let name = format!("{label}input");
            graph.push(phase, name, copy, &[Some(from), Some(input)]);
        }
        let at = format!("{label}dynamics.");
        self.dynamics
            .forward(graph, (phase, &at), rows, input, (next, 0));
        let at = format!("{label}decoder.");
        self.decoder
            .forward(graph, (phase, &at), rows, next, (tensors.next, 0));
    }
}
