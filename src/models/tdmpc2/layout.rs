//! Every tensor of a single-task checkpoint: name, shape, and how it is drawn when training begins.

use super::Tdmpc2Error;
use super::config::Tdmpc2Config;
use super::names::{MASKS, ONLINE, TARGET};
use crate::formats::{Array, ArrayMap};
use attractor_kernels::philox::{Philox, RandomKind};
use attractor_kernels::{AnyKernel, Kernel, Operands, View};

/// How a tensor is first drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Weights of a layer.
    Weight,
    /// Weights and bias of a head that begins at zero.
    Head,
    /// A bias, of a layer or a norm.
    Bias,
    /// Factors of a norm.
    Scale,
    /// Not trained: bounds of the policy's standard deviation.
    Bound,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: Role,
}

/// How random weights are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialWeights {
    /// As the original begins training: normals of deviation 0.02, cut at 2; heads of reward and value
    /// are zero, and so are reward and value.
    Stock,
    /// Normals of variance 1 over the inputs of a layer, heads among them, biases of a tenth of that
    /// deviation: every output moves with every input, which tests and benches need.
    Spread,
}

/// Layers of one network.
struct Network<'a> {
    prefix: &'a str,
    /// Leading dimension of an ensemble.
    members: Option<usize>,
    inputs: usize,
    hidden: Vec<usize>,
    outputs: usize,
    /// Whether the last layer has a norm.
    normed: bool,
    /// Role of the last layer's weights.
    last: Role,
}

impl Network<'_> {
    fn entries(&self, out: &mut Vec<Entry>) {
        let mut inputs = self.inputs;
        let widths = self.hidden.iter().chain([&self.outputs]);
        for (index, outputs) in widths.enumerate() {
            let last = index == self.hidden.len();
            let mut push = |part: &str, shape: &[usize], role: Role| {
                let leading = self.members.iter();
                out.push(Entry {
                    name: format!("{}{index}.{part}", self.prefix),
                    shape: leading.chain(shape).copied().collect(),
                    role,
                });
            };
            let role = if last { self.last } else { Role::Weight };
            push("weight", &[*outputs, inputs], role);
            let bias = if role == Role::Head {
                Role::Head
            } else {
                Role::Bias
            };
            push("bias", &[*outputs], bias);
            if !last || self.normed {
                push("ln.weight", &[*outputs], Role::Scale);
                push("ln.bias", &[*outputs], Role::Bias);
            }
            inputs = *outputs;
        }
    }
}

/// The trained tensors, in the order of the original's state dictionary, without copies.
pub(super) fn trained(config: &Tdmpc2Config) -> Vec<Entry> {
    let (latent, mlp) = (config.latent_dim, config.mlp_dim);
    let joint = latent + config.action_dim;
    let plain = |prefix, inputs, outputs, last| Network {
        prefix,
        members: None,
        inputs,
        hidden: vec![mlp; 2],
        outputs,
        normed: false,
        last,
    };
    let mut networks = vec![
        Network {
            hidden: vec![config.enc_dim; config.hidden_encoder_layers()],
            normed: true,
            ..plain("_encoder.state.", config.obs_dim, latent, Role::Weight)
        },
        Network {
            normed: true,
            ..plain("_dynamics.", joint, latent, Role::Weight)
        },
        plain("_reward.", joint, config.logits(), Role::Head),
    ];
    if config.episodic {
        networks.push(plain("_termination.", latent, 1, Role::Weight));
    }
    networks.push(plain("_pi.", latent, 2 * config.action_dim, Role::Weight));
    let mut out = Vec::new();
    networks
        .iter()
        .for_each(|network| network.entries(&mut out));
    ensemble(config, ONLINE, &mut out);
    out
}

/// The tensors of the value functions, under a prefix.
fn ensemble(config: &Tdmpc2Config, prefix: &str, out: &mut Vec<Entry>) {
    let network = Network {
        prefix,
        members: Some(config.num_q),
        inputs: config.latent_dim + config.action_dim,
        hidden: vec![config.mlp_dim; 2],
        outputs: config.logits(),
        normed: false,
        last: Role::Head,
    };
    network.entries(out);
}

/// The averages of the value functions, which a checkpoint may lack.
pub(super) fn averages(config: &Tdmpc2Config) -> Vec<Entry> {
    let mut out = Vec::new();
    ensemble(config, TARGET, &mut out);
    out
}

/// Bounds of the policy's standard deviation, which a checkpoint may lack.
pub(super) fn bounds() -> [Entry; 2] {
    ["log_std_min", "log_std_dif"].map(|name| Entry {
        name: name.to_string(),
        shape: Vec::new(),
        role: Role::Bound,
    })
}

/// Names and shapes of every tensor of a newest single-task state dictionary under this configuration, in
/// the original's order: bounds, trained tensors, and two copies of the value functions.
pub fn state_dict(config: &Tdmpc2Config) -> Vec<(String, Vec<usize>)> {
    let mut all: Vec<Entry> = bounds().into();
    all.extend(trained(config));
    ensemble(config, "_detach_Qs_params.", &mut all);
    all.extend(averages(config));
    all.into_iter()
        .map(|entry| (entry.name, entry.shape))
        .collect()
}

/// Holds a map against a configuration.
///
/// # Errors
/// [`Tdmpc2Error`] naming the tensor that is missing, of another shape, or without a place.
pub(super) fn check(map: &ArrayMap, config: &Tdmpc2Config) -> Result<(), Tdmpc2Error> {
    let trained = trained(config);
    for entry in &trained {
        map.expect(&entry.name, &entry.shape)?;
    }
    let averages = averages(config);
    if map.names().any(|name| name.starts_with(TARGET)) {
        for entry in &averages {
            map.expect(&entry.name, &entry.shape)?;
        }
    }
    let bounds = bounds();
    let known: std::collections::BTreeSet<&str> = trained
        .iter()
        .chain(&averages)
        .chain(&bounds)
        .map(|entry| entry.name.as_str())
        .chain([MASKS])
        .collect();
    let mut others = map.names().filter(|name| !known.contains(name));
    match others.next() {
        None => Ok(()),
        Some(name) => Err(Tdmpc2Error::misfit(
            map,
            name,
            "no such tensor in this configuration",
            format!("it and {} others", others.count()),
        )),
    }
}

/// Deviation of the original's first weights.
const DEVIATION: f64 = 0.02;
/// Where the original cuts them.
const CUT: f64 = 2.0;

/// Random weights of this configuration, the averages of the value functions being copies of them. The same
/// seed gives the same weights.
///
/// # Errors
/// [`Tdmpc2Error`] for a configuration that does not hold, or tensors of more than 2^32 numbers.
pub fn random_weights(
    config: &Tdmpc2Config,
    law: InitialWeights,
    seed: u64,
) -> Result<ArrayMap, Tdmpc2Error> {
    config.check("configuration")?;
    let mut map = ArrayMap::new(format!("random weights of seed {seed}"));
    for (stream, entry) in trained(config).iter().enumerate() {
        let values = draw(entry, law, seed, stream as u32)?;
        let array = |values| {
            Array::new(&entry.shape, values).map_err(|error| map.array_error(&entry.name, error))
        };
        let copy = entry.name.strip_prefix(ONLINE);
        let copy = match copy {
            Some(rest) => Some((format!("{TARGET}{rest}"), array(values.clone())?)),
            None => None,
        };
        let own = array(values)?;
        map.insert(entry.name.clone(), own)?;
        if let Some((name, array)) = copy {
            map.insert(name, array)?;
        }
    }
    Ok(map)
}

fn draw(
    entry: &Entry,
    law: InitialWeights,
    seed: u64,
    stream: u32,
) -> Result<Vec<f32>, Tdmpc2Error> {
    let count = entry
        .shape
        .iter()
        .fold(1usize, |count, d| count.saturating_mul(*d));
    let inputs = entry.shape.last().copied().unwrap_or(1).max(1) as f64;
    let deviation = match (law, entry.role) {
        (_, Role::Scale) => return Ok(vec![1.0; count]),
        (InitialWeights::Stock, Role::Bias | Role::Head | Role::Bound) => {
            return Ok(vec![0.0; count]);
        }
        (InitialWeights::Stock, Role::Weight) => DEVIATION,
        (InitialWeights::Spread, Role::Bias | Role::Bound) => 0.1,
        // The bias of a head is a vector: it ends in as many numbers as there are outputs.
        (InitialWeights::Spread, Role::Head) if entry.name.ends_with("bias") => 0.1,
        (InitialWeights::Spread, Role::Weight | Role::Head) => inputs.sqrt().recip(),
    };
    let length = u32::try_from(count).unwrap_or(u32::MAX);
    let kernel = Philox::new(RandomKind::NORMAL, 1, length, seed, stream);
    let mut normals = vec![0.0f32; count];
    let mut operands = Operands::new(
        Philox::NAME,
        Philox::OPERANDS,
        vec![View::FloatMut(&mut normals)],
        true,
    );
    AnyKernel::from(kernel).twin(&mut operands)?;
    for value in &mut normals {
        *value = (f64::from(*value) * deviation).clamp(-CUT, CUT) as f32;
    }
    Ok(normals)
}
