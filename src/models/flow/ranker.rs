//! The draw ranker: a score for each of a frame's draws, from the condition and the draw.
//!
//! `c = W2 gelu(W1 LN(cond))`, `d = V2 gelu(V1 draw)`, `s = u2 gelu(U [c, d, c d])`. The product with U
//! is taken in three parts, one for each third of its input: nothing is copied together, and the part
//! of c is computed once a frame.

use crate::device::Device;
use crate::formats::{ArrayMap, FormatError, load_arrays};
use crate::graph::layers::{RowSpan, size};
use crate::graph::{Graph, GraphError, Moment, Phase, Plan, TensorId, TensorKind};
use crate::models::weights::{Affine, Reader, WeightsError};
use crate::orbit::Orbit;
use attractor_kernels::Activation;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::matmul::MatMul;
use std::path::Path;

/// Epsilon of the layer norm.
const EPSILON: f32 = 1e-5;

/// What can go wrong with a ranker.
#[derive(Debug, thiserror::Error)]
pub enum RankerError {
    /// The weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The graph or the device.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Conditions or draws of another size than the ranker takes.
    #[error("ranker, {what}: expected {expected}, found {found}")]
    Size {
        /// What does not fit.
        what: &'static str,
        /// What would fit.
        expected: String,
        /// What was given.
        found: usize,
    },
    /// A score that is not a finite number.
    #[error("ranker: the score of frame {frame}, draw {draw} is not a finite number")]
    NotFinite {
        /// Frame, from 0.
        frame: usize,
        /// Draw, from 0.
        draw: usize,
    },
}

impl From<FormatError> for RankerError {
    fn from(error: FormatError) -> Self {
        Self::Weights(error.into())
    }
}

/// Sizes of a ranker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankerConfig {
    /// Elements of a condition, S Dc.
    pub condition: usize,
    /// Elements of a draw in model space, H A.
    pub chunk: usize,
    /// Hidden width, W.
    pub width: usize,
}

impl RankerConfig {
    /// Reads the sizes off the weights.
    ///
    /// # Errors
    /// [`FormatError`] when a weight is missing or no matrix.
    pub fn infer(map: &ArrayMap) -> Result<Self, FormatError> {
        let matrix = |name: &str| match *map.get(name)?.shape() {
            [rows, columns] => Ok((rows, columns)),
            // The shape check names both shapes.
            _ => map.expect(name, &[0, 0]).map(|_| (0, 0)),
        };
        let (width, condition) = matrix("cond_net.1.weight")?;
        let (_, chunk) = matrix("draw_net.0.weight")?;
        Ok(Self {
            condition,
            chunk,
            width,
        })
    }
}

/// A ranker with its weights. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ranker {
    config: RankerConfig,
    norm: Affine,
    condition: [Affine; 2],
    draw: [Affine; 2],
    head: [Affine; 2],
}

impl Ranker {
    /// Reads a ranker from a file of weights.
    ///
    /// # Errors
    /// [`RankerError::Weights`] naming the file and the tensor.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, RankerError> {
        Self::from_arrays(&load_arrays(path)?)
    }

    /// Takes a ranker from a state dict that holds nothing else.
    ///
    /// # Errors
    /// [`RankerError::Weights`] for a tensor that is missing, misshapen, not finite, or has no place.
    pub fn from_arrays(map: &ArrayMap) -> Result<Self, RankerError> {
        let config = RankerConfig::infer(map)?;
        let RankerConfig {
            condition,
            chunk,
            width,
        } = config;
        let mut reader = Reader::new(map);
        let mut affine = |prefix: &str, shape: &[usize]| reader.affine(prefix, shape);
        let ranker = Self {
            config,
            norm: affine("cond_net.0", &[condition])?,
            condition: [
                affine("cond_net.1", &[width, condition])?,
                affine("cond_net.3", &[width, width])?,
            ],
            draw: [
                affine("draw_net.0", &[width, chunk])?,
                affine("draw_net.2", &[width, width])?,
            ],
            head: [
                affine("head.0", &[width, 3 * width])?,
                affine("head.2", &[1, width])?,
            ],
        };
        reader.refuse_leftovers(|_| "a ranker has cond_net, draw_net and head".to_string())?;
        Ok(ranker)
    }

    /// Sizes.
    pub fn config(&self) -> RankerConfig {
        self.config
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        let layers = self.condition.iter().chain(&self.draw).chain(&self.head);
        let layers = layers.chain(std::iter::once(&self.norm));
        layers
            .map(|layer| layer.weight.values.len() + layer.bias.values.len())
            .sum()
    }

    /// Compiles the ranker for `draws` draws a frame; `frames` frames run at once, which bounds the
    /// memory, and more in several runs of the same plan.
    ///
    /// # Errors
    /// [`RankerError::Size`] for no draws or no frames; [`RankerError::Graph`] when it does not fit the
    /// device.
    pub fn compile(
        &self,
        device: &Device,
        draws: usize,
        frames: usize,
    ) -> Result<CompiledRanker, RankerError> {
        for (what, found) in [("draws", draws), ("frames at once", frames)] {
            if found == 0 {
                return Err(RankerError::Size {
                    what,
                    expected: "at least 1".into(),
                    found,
                });
            }
        }
        let mut graph = Graph::new();
        let mut builder = Builder {
            graph: &mut graph,
            config: self.config,
            frames,
            draws,
        };
        let (condition, chunks, scores) = builder.ranker(self);
        let orbit = Orbit::new(&Plan::compile(graph, device)?)?;
        Ok(CompiledRanker {
            config: self.config,
            frames,
            draws,
            orbit,
            condition,
            chunks,
            scores,
        })
    }
}

struct Builder<'a> {
    graph: &'a mut Graph,
    config: RankerConfig,
    frames: usize,
    draws: usize,
}

impl Builder<'_> {
    /// The whole ranker: inputs conditions and draws, output scores.
    fn ranker(&mut self, ranker: &Ranker) -> (TensorId, TensorId, TensorId) {
        let RankerConfig {
            condition,
            chunk,
            width,
        } = self.config;
        let input = self.span("in.condition", 1, condition, TensorKind::Input);
        let normed = self.span("normed", 1, condition, TensorKind::Intermediate);
        let norm = ranker.norm.constants(self.graph);
        self.graph
            .layer_norm(Phase::Once, "norm", input, norm, EPSILON, normed);
        let c = self.perceptron("condition", &ranker.condition, normed);
        let chunks = self.span("in.draws", self.draws, chunk, TensorKind::Input);
        let d = self.perceptron("draw", &ranker.draw, chunks);
        let cd = self.product(c, d);
        let [head, last] = &ranker.head;
        let of_frame = self.head_part("head.condition", head, 0, c, None);
        let of_draw = self.head_part("head.draw", head, width, d, Some(of_frame));
        let hidden = self.head_part("head.product", head, 2 * width, cd, Some(of_draw));
        let hidden = self
            .graph
            .activate(Phase::Once, "head.gelu", hidden, Activation::GELU);
        let scores = self.span("out.scores", self.draws, 1, TensorKind::Output);
        let last = last.constants(self.graph);
        self.graph
            .linear(Phase::Once, "head.last", hidden, last, scores);
        (input.tensor, chunks.tensor, scores.tensor)
    }

    /// A tensor `[frames, rows, width]`.
    fn span(&mut self, name: &str, rows: usize, width: usize, kind: TensorKind) -> RowSpan {
        let tensor = self.graph.float(name, &[self.frames, rows, width], kind);
        RowSpan {
            tensor,
            batch: self.frames,
            total: rows,
            first: 0,
            rows,
            width,
        }
    }

    /// Linear, GELU, linear.
    fn perceptron(&mut self, name: &str, layers: &[Affine; 2], x: RowSpan) -> RowSpan {
        let [first, second] = layers;
        let hidden = self.layer(&format!("{name}.first"), first, x);
        let label = format!("{name}.gelu");
        let hidden = self
            .graph
            .activate(Phase::Once, &label, hidden, Activation::GELU);
        self.layer(&format!("{name}.second"), second, hidden)
    }

    fn layer(&mut self, name: &str, layer: &Affine, x: RowSpan) -> RowSpan {
        let out = self.span(name, x.rows, self.config.width, TensorKind::Intermediate);
        let weights = layer.constants(self.graph);
        self.graph.linear(Phase::Once, name, x, weights, out);
        out
    }

    /// c d, with c the same for all draws of a frame.
    fn product(&mut self, c: RowSpan, d: RowSpan) -> RowSpan {
        let out = self.span("product", d.rows, d.width, TensorKind::Intermediate);
        let width = size(d.width);
        let kernel = Elementwise::broadcast(
            Operation::MULTIPLY,
            [1, size(d.batch), size(d.rows), width],
            [0, d.batch_stride(), width, 1],
            [0, c.batch_stride(), 0, 1],
        );
        let operands = [Some(d.tensor), Some(c.tensor), Some(out.tensor)];
        self.graph.push(Phase::Once, "product", kernel, &operands);
        out
    }

    /// The columns of the head from `first_column` on times `x`, plus what the columns before gave, or
    /// the bias.
    fn head_part(
        &mut self,
        name: &str,
        head: &Affine,
        first_column: usize,
        x: RowSpan,
        before: Option<RowSpan>,
    ) -> RowSpan {
        let width = size(self.config.width);
        let out = self.span(name, x.rows, self.config.width, TensorKind::Intermediate);
        let (weight, bias) = head.constants(self.graph);
        let mut kernel = MatMul {
            batch: size(x.batch),
            b_offset: size(first_column),
            b_column_stride: width.saturating_mul(3),
            ..MatMul::linear(size(x.rows), width, width)
        };
        if let Some(before) = before {
            kernel.flags = MatMul::RESIDUAL;
            kernel.residual_batch_stride = before.batch_stride();
            // One row of a frame counts for all its draws.
            kernel.residual_row_stride = if before.rows == 1 { 0 } else { width };
        }
        let bias = before.is_none().then_some(bias);
        let residual = before.map(|before| before.tensor);
        let operands = [
            Some(x.tensor),
            Some(weight),
            bias,
            residual,
            None,
            Some(out.tensor),
        ];
        self.graph.push(Phase::Once, name, kernel, &operands);
        out
    }
}

/// A ranker on a device, for a number of draws a frame.
#[derive(Debug)]
pub struct CompiledRanker {
    config: RankerConfig,
    frames: usize,
    draws: usize,
    orbit: Orbit,
    condition: TensorId,
    chunks: TensorId,
    scores: TensorId,
}

impl CompiledRanker {
    /// Scores `[frames, K]` of draws `[frames, K, H, A]` in model space under conditions
    /// `[frames, S, Dc]`; any number of frames. A frame's scores do not depend on the others.
    ///
    /// # Errors
    /// [`RankerError::Size`] for lengths that are no whole frames or not equally many;
    /// [`RankerError::NotFinite`] for a score that is none; [`RankerError::Graph`] from the device.
    pub fn scores(&mut self, conditions: &[f32], draws: &[f32]) -> Result<Vec<f32>, RankerError> {
        let (condition, chunks) = (self.config.condition, self.draws * self.config.chunk);
        let frames = conditions.len() / condition.max(1);
        for (what, found, each) in [
            ("conditions", conditions.len(), condition),
            ("draws", draws.len(), chunks),
        ] {
            if found != frames * each {
                let expected = format!("{frames} frames of {each} elements");
                return Err(RankerError::Size {
                    what,
                    expected,
                    found,
                });
            }
        }
        let mut scores = Vec::with_capacity(frames * self.draws);
        let mut padded = (
            vec![0.0; self.frames * condition],
            vec![0.0; self.frames * chunks],
        );
        let parts = conditions.chunks(self.frames * condition.max(1));
        for (conditions, draws) in parts.zip(draws.chunks(self.frames * chunks.max(1))) {
            let count = conditions.len() / condition.max(1);
            fill(&mut padded.0, conditions);
            fill(&mut padded.1, draws);
            self.orbit.execution.write(self.condition, &padded.0)?;
            self.orbit.execution.write(self.chunks, &padded.1)?;
            self.orbit.run(0, &Moment::default())?;
            let found = self.orbit.execution.read(self.scores)?;
            scores.extend(found.into_iter().take(count * self.draws));
        }
        match scores.iter().position(|score| !score.is_finite()) {
            Some(index) => {
                let (frame, draw) = (index / self.draws, index % self.draws);
                Err(RankerError::NotFinite { frame, draw })
            }
            None => Ok(scores),
        }
    }

    /// Draws a frame, K.
    pub fn draws(&self) -> usize {
        self.draws
    }

    /// Bytes of working memory.
    pub fn working_bytes(&self) -> u64 {
        self.orbit.execution.working_bytes()
    }
}

/// Copies values to the start of a buffer and zeroes the rest.
fn fill(buffer: &mut [f32], values: &[f32]) {
    let mut values = values.iter().copied();
    buffer
        .iter_mut()
        .for_each(|place| *place = values.next().unwrap_or(0.0));
}
