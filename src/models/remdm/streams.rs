//! From an observation and a sequence to the transformer's tokens.

use super::TimeAddressing;
use super::denoiser::Builder;
use super::weights::{
    DenoiserWeights, GLOBAL_CHANNELS, GLYPH_ROWS, GOAL_HIDDEN, GlobalWeights, LOCAL_CHANNELS,
};
use crate::graph::layers::{RowSpan, size};
use crate::graph::{Phase, TensorId};
use crate::models::weights::{Affine, Weight};
use attractor_kernels::Activation;
use attractor_kernels::adaptive_average_pool::AdaptiveAveragePool;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::embedding::Embedding;
use attractor_kernels::reduce::{Reduce, Reduction};

impl Builder<'_> {
    fn glyphs(
        &mut self,
        label: &str,
        table: &Weight,
        ids: TensorId,
        cells: usize,
        channels: usize,
    ) -> RowSpan {
        let out = self
            .graph
            .rows(format!("{label}.out"), self.batch, cells, channels);
        let kernel = Embedding::lookup(
            size(self.batch),
            size(cells),
            size(channels),
            size(GLYPH_ROWS),
        );
        let table = self.constant(table);
        let operands = [Some(ids), Some(table), None, None, None, Some(out.tensor)];
        self.graph.push(Phase::Once, label, kernel, &operands);
        out
    }

    /// A square convolution with GELU; `image` is (rows, columns) of `x`.
    fn convolution(
        &mut self,
        name: &str,
        affine: &Affine,
        x: RowSpan,
        image: (usize, usize),
        stride: usize,
    ) -> (RowSpan, (usize, usize)) {
        let (out_channels, side) = (affine.weight.shape[0], affine.weight.shape[1]);
        let kernel = Conv2d {
            batch: size(self.batch),
            height: size(image.0),
            width: size(image.1),
            in_channels: size(x.width),
            out_channels: size(out_channels),
            kernel_h: size(side),
            kernel_w: size(side),
            stride_h: size(stride),
            stride_w: size(stride),
            padding_h: size(side / 2),
            padding_w: size(side / 2),
            activation: Activation::GELU,
            flags: Conv2d::BIAS,
        };
        let after = (image.0.div_ceil(stride), image.1.div_ceil(stride));
        let out = self
            .graph
            .rows(name, self.batch, after.0 * after.1, out_channels);
        let (weight, bias) = self.affine(affine);
        let operands = [Some(x.tensor), Some(weight), Some(bias), Some(out.tensor)];
        self.graph.push(Phase::Once, name, kernel, &operands);
        (out, after)
    }

    /// Crop to one token.
    pub(super) fn local_stream(
        &mut self,
        weights: &DenoiserWeights,
        local: TensorId,
        token: RowSpan,
    ) {
        let side = self.config.crop_size;
        let cells = side * side;
        let x = self.glyphs(
            "local.embedding",
            &weights.embedding,
            local,
            cells,
            LOCAL_CHANNELS[0],
        );
        let (x, image) =
            self.convolution("act.local_conv1_gelu", &weights.conv1, x, (side, side), 1);
        let (x, _) = self.convolution("act.local_conv2_gelu", &weights.conv2, x, image, 1);
        // Channels last throughout: the flattened crop is [cells, channels], and so is the weight.
        let flat = RowSpan {
            total: 1,
            rows: 1,
            width: cells * LOCAL_CHANNELS[2],
            ..x
        };
        let affine = self.affine(&weights.local_proj);
        self.graph
            .linear(Phase::Once, "local.projection", flat, affine, token);
    }

    /// Level to eight gated tokens; returns the staircase prediction, which reads them ungated.
    pub(super) fn global_stream(
        &mut self,
        weights: &GlobalWeights,
        global: TensorId,
        tokens: RowSpan,
    ) -> TensorId {
        let (h, w) = (self.config.map_h, self.config.map_w);
        let x = self.glyphs(
            "global.embedding",
            &weights.embedding,
            global,
            h * w,
            GLOBAL_CHANNELS[0],
        );
        let (x, image) = self.convolution("act.global_conv1_gelu", &weights.conv1, x, (h, w), 2);
        let (x, image) = self.convolution("act.global_conv2_gelu", &weights.conv2, x, image, 2);
        let pooled = self
            .graph
            .rows("act.global_pool", self.batch, 8, GLOBAL_CHANNELS[2]);
        let pool = AdaptiveAveragePool {
            batch: size(self.batch),
            height: size(image.0),
            width: size(image.1),
            channels: size(x.width),
            out_height: 2,
            out_width: 4,
        };
        self.graph.push(
            Phase::Once,
            "global.pool",
            pool,
            &[Some(x.tensor), Some(pooled.tensor)],
        );
        let (batch, e) = (self.batch, self.config.n_embd);
        let affine = self.affine(&weights.proj);
        let gate = self.constant(&weights.gate);
        let ungated = self.graph.rows("act.global_tokens_pregate", batch, 8, e);
        self.graph
            .linear(Phase::Once, "global.projection", pooled, affine, ungated);
        self.graph.gated_linear(
            Phase::Once,
            "global.gated_projection",
            pooled,
            affine,
            gate,
            tokens,
        );
        let mean = self.graph.rows("global.mean", batch, 1, e);
        let reduce = Reduce::middle(Reduction::MEAN, size(batch), 8, size(e));
        self.graph.push(
            Phase::Once,
            "global.mean",
            reduce,
            &[Some(ungated.tensor), Some(mean.tensor)],
        );
        let hidden = self.graph.rows("goal.hidden", batch, 1, GOAL_HIDDEN);
        let affine = self.affine(&weights.goal1);
        self.graph
            .linear(Phase::Once, "goal.linear1", mean, affine, hidden);
        let hidden = self
            .graph
            .activate(Phase::Once, "goal.gelu", hidden, Activation::GELU);
        let goal = self.graph.rows("out.goal_pred", batch, 1, 2);
        let affine = self.affine(&weights.goal2);
        self.graph
            .linear(Phase::Once, "goal.linear2", hidden, affine, goal);
        goal.tensor
    }

    /// Tokens, time and positions to the actions' rows of `x`.
    pub(super) fn action_stream(
        &mut self,
        weights: &DenoiserWeights,
        tokens: TensorId,
        time_ids: TensorId,
        times: TimeAddressing,
        x: RowSpan,
    ) {
        let actions = self.actions(x);
        let kernel = Embedding {
            out_offset: actions.offset(),
            out_batch_stride: actions.batch_stride(),
            time_rows: size(self.config.num_diffusion_steps),
            time_step_stride: times.step_stride,
            time_batch_stride: times.batch_stride,
            flags: Embedding::TIME | Embedding::POSITION,
            ..Embedding::lookup(
                size(self.batch),
                size(actions.rows),
                size(actions.width),
                size(self.config.action_dim + 2),
            )
        };
        let operands = [
            Some(tokens),
            Some(self.constant(&weights.action_embedding)),
            Some(time_ids),
            Some(self.constant(&weights.timestep_embedding)),
            Some(self.constant(&weights.position_embedding)),
            Some(x.tensor),
        ];
        self.graph
            .push(Phase::Step, "actions.embedding", kernel, &operands);
    }
}
