//! What the kernels that draw, commit and remask tokens are measured on.

use super::{ACTIONS, Case, Fill, LENGTH, unit};
use attractor_kernels::KernelId;
use attractor_kernels::categorical::{Categorical, TokenMode};
use attractor_kernels::philox::{Philox, RandomKind};
use attractor_kernels::physics_override::PhysicsOverride;
use attractor_kernels::remask_bernoulli::RemaskBernoulli;
use attractor_kernels::unmask_top::{RemaskStrategy, UnmaskTop};

pub fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let rows = batch * LENGTH;
    match id {
        KernelId::Categorical => {
            let sample = |mode| Categorical::sample(rows, ACTIONS, 0.5, mode);
            let by_count = Categorical {
                top_k: 4,
                ..sample(TokenMode::SAMPLE_FILTERED_CONFIDENCE)
            };
            let by_mass = Categorical {
                top_p: 0.9,
                ..sample(TokenMode::SAMPLE_RAW_CONFIDENCE)
            };
            let drawn = |name: &str, kernel| {
                Case::new(format!("{rows} rows of 12, {name}"), ACTIONS, kernel)
                    .fill(0, Fill::Signed(4.0))
                    .fill(1, Fill::Exactly(pairs(rows)))
                    .decides()
            };
            vec![drawn("top-k 4", by_count), drawn("top-p 0.9", by_mass)]
        }
        KernelId::Philox => {
            let pair = Philox::new(RandomKind::UNIFORM_PAIR, batch, LENGTH, 7, 0);
            let normal = Philox::new(RandomKind::NORMAL, batch, 4096, 7, 1);
            vec![
                Case::new(format!("{batch} rows of 32, uniform pairs"), 1, pair),
                Case::new(format!("{batch} rows of 4096, normal"), 1, normal),
            ]
        }
        KernelId::PhysicsOverride => {
            let kernel = PhysicsOverride::minihack(batch, LENGTH);
            let case = Case::new(format!("{batch} rows of 32"), 1, kernel);
            let case = case.fill(0, Fill::Below(ACTIONS)).fill(1, Fill::Below(2));
            vec![case.fill(2, Fill::Unit)]
        }
        KernelId::RemaskBernoulli => {
            let strategy = RemaskStrategy::CONFIDENCE;
            let kernel = RemaskBernoulli::new(batch, LENGTH, ACTIONS, 1, strategy);
            let case = Case::new(format!("{batch} rows of 32, by confidence"), LENGTH, kernel);
            let case = case
                .fill(0, Fill::HalfMasked(ACTIONS))
                .fill(1, Fill::Psi(ACTIONS))
                .fill(2, Fill::Below(ACTIONS))
                .fill(3, Fill::Unit)
                .fill(4, Fill::Unit);
            let schedule = RemaskBernoulli::schedule_row(0.4, 0.5, 2.0).to_vec();
            vec![case.fill(5, Fill::Exactly(schedule)).decides()]
        }
        KernelId::UnmaskTop => {
            let kernel = UnmaskTop::greedy(batch, LENGTH, ACTIONS, 1)
                .with_remasking(RemaskStrategy::CONFIDENCE);
            let case = Case::new(format!("{batch} rows of 32, 8 committed"), 1, kernel);
            let case = case
                .fill(0, Fill::HalfMasked(ACTIONS))
                .fill(1, Fill::Below(ACTIONS))
                .fill(2, Fill::Unit)
                .fill(4, Fill::Unit);
            let schedule = UnmaskTop::schedule_row(8, 0.4).to_vec();
            vec![case.fill(3, Fill::Exactly(schedule)).decides()]
        }
        _ => Vec::new(),
    }
}

/// Uniform numbers as halves: 24 bits, and 24 below them.
fn pairs(rows: u32) -> Vec<f32> {
    let low = 1.0 / 16_777_216.0;
    (0..rows as usize)
        .flat_map(|row| [unit(row, 11), unit(row, 12) * low])
        .collect()
}
