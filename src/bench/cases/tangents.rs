//! What the tangent kernels are measured on: a small recursive reasoner's blocks with eight tangents, and
//! with many examples also a large one's.

use super::{Case, MANY};
use attractor_kernels::KernelId;
use attractor_kernels::attention::Attention;
use attractor_kernels::attention_tangent::AttentionTangent;
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::layer_norm_tangent::LayerNormTangent;
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::rms_norm_tangent::RmsNormTangent;

/// Tangents that are carried.
const TANGENTS: u32 = 8;
/// Positions of a small reasoner.
const ROWS: u32 = 20;
/// Its width, and that of a norm.
const WIDTH: u32 = 64;

/// Tangents of attention over a fused projection.
fn attention(batch: u32, rows: u32, heads: u32, head_dim: u32) -> Case {
    let width = heads * head_dim;
    let primal = Attention::fused(batch, rows, heads, head_dim);
    let (inputs, out) = (Some(3 * batch * rows * width), batch * rows * width);
    let kernel = AttentionTangent::new(primal, TANGENTS, [inputs; 3], out);
    let name =
        format!("{batch} examples, {rows} rows, {heads} heads of {head_dim}, {TANGENTS} tangents");
    Case::new(name, rows.max(head_dim), kernel)
}

/// Cases of a kernel at a batch.
pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let rows = batch * ROWS;
    let stride = rows * WIDTH;
    let name = format!("{rows} rows of {WIDTH}, {TANGENTS} tangents");
    let still = [None; 2];
    match id {
        KernelId::AttentionTangent => {
            let mut cases = vec![attention(batch, ROWS, 4, 16)];
            if batch >= MANY {
                cases.push(attention(8, 97, 8, 64));
            }
            cases
        }
        KernelId::LayerNormTangent => {
            let primal = LayerNorm::contiguous(batch, ROWS, WIDTH, 1e-5, LayerNorm::WEIGHT);
            let kernel = LayerNormTangent::new(primal, TANGENTS, stride, still, stride);
            vec![Case::new(name, WIDTH, kernel).weights(&[1])]
        }
        KernelId::RmsNormTangent => {
            let primal = RmsNorm::contiguous(batch, ROWS, WIDTH, 1e-5, 0);
            let kernel = RmsNormTangent::new(primal, TANGENTS, stride, still, stride);
            vec![Case::new(name, WIDTH, kernel)]
        }
        _ => Vec::new(),
    }
}
