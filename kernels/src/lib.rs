//! Compute kernels of the attractor engine.
//!
//! A kernel is one room with two doors: a WGSL shader `shaders/NAME.wgsl` and a Rust file `NAME.rs`
//! here. The Rust side holds the parameter block (plain data, shared bit for bit with the shader),
//! checks it, says how large every operand must be, how the shader is launched, what it costs, and
//! holds the *twin*: the same function over slices, generic over `f32` and `f64`, which is both the
//! oracle of the tests and what the CPU device runs.
//!
//! This crate knows no device: it neither creates buffers nor submits work.
#![deny(unsafe_code)]

mod activation_slopes;
mod activations;
mod addressing;
mod combination;
mod error;
mod kernel;
mod lanes;
mod operands;
mod packet;
mod parallel;
mod real;
mod registry;
mod row_norm;
mod row_norm_tangent;
mod rows;
mod sequence_step;
mod shader;
mod tangent_views;
mod tangents;
#[cfg(test)]
mod test_support;
mod vectors;

pub mod activation;
pub mod activation_tangent;
pub mod adam;
pub mod adaptive_average_pool;
pub mod adaptive_step;
pub mod argmax;
pub mod attention;
pub mod attention_tangent;
pub mod categorical;
pub mod compensated_sum;
pub mod control_step;
pub mod control_step_tangent;
pub mod conv2d;
pub mod copy;
pub mod elementwise;
pub mod elementwise_tangent;
pub mod embedding;
pub mod gated_activation;
pub mod gated_activation_tangent;
pub mod gaussian_policy;
pub mod layer_norm;
pub mod layer_norm_tangent;
pub mod matmul;
pub mod maze_rollout;
pub mod maze_select;
pub mod mean_squared_error;
pub mod mppi_choose;
pub mod mppi_return;
pub mod mppi_sample;
pub mod mppi_update;
pub mod ode_ensemble;
pub mod philox;
pub mod physics_override;
pub mod plan_draw;
pub mod plan_refit;
pub mod plan_select;
pub mod plan_track;
pub mod qr;
pub mod reduce;
pub mod reduce_tangent;
pub mod remask_bernoulli;
pub mod rms_norm;
pub mod rms_norm_tangent;
pub mod roofline_copy;
pub mod roofline_fma;
pub mod rotary;
pub mod runge_kutta;
pub mod sim_norm;
pub mod sim_norm_tangent;
pub mod softmax;
pub mod softmax_tangent;
pub mod tangent_ensemble;
pub mod time_features;
pub mod time_features_tangent;
pub mod two_hot;
pub mod two_hot_encode;
pub mod unmask_top;

pub use activations::Activation;
pub use error::KernelError;
pub use kernel::{
    Access, Capabilities, Cost, Element, Kernel, Launch, Operand, SOFTWARE_ITERATIONS,
    element_count,
};
pub use operands::{Operands, View};
pub use parallel::{for_each_row, for_each_weighted_row, simd};
pub use real::Real;
pub use registry::{AnyKernel, KernelId, Scalar};
pub use shader::{compose, linear_workgroups};
pub use vectors::Lanes;
