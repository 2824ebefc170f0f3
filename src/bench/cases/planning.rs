//! The kernels of planning with a world model, at the sizes of TD-MPC2's planner.

use super::{Case, Fill};
use attractor_kernels::KernelId;
use attractor_kernels::mppi_choose::MppiChoose;
use attractor_kernels::mppi_return::MppiReturn;
use attractor_kernels::mppi_sample::MppiSample;
use attractor_kernels::mppi_update::MppiUpdate;

/// Candidates of an environment.
const CANDIDATES: u32 = 512;
/// Elites of an environment.
const ELITES: u32 = 64;
/// Numbers of a sequence: three steps of six numbers.
const SEQUENCE: u32 = 18;

/// One case of the given kernel, an environment an example.
pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let name = format!("{batch} environments of 512 candidates");
    match id {
        KernelId::MppiSample => {
            let kernel = MppiSample {
                environments: batch,
                candidates: CANDIDATES,
                policies: 24,
                length: SEQUENCE,
            };
            vec![Case::new(name, 4, kernel)]
        }
        KernelId::MppiReturn => {
            let kernel = MppiReturn {
                rows: batch * CANDIDATES,
                horizon: 3,
                members: 5,
                step: 0,
                discount: 0.99,
                flags: MppiReturn::TERMINATION,
            };
            vec![Case::new(name, 8, kernel).fill(3, Fill::Words(vec![1, 4]))]
        }
        KernelId::MppiUpdate => {
            let kernel = MppiUpdate {
                environments: batch,
                candidates: CANDIDATES,
                elites: ELITES,
                length: SEQUENCE,
                temperature: 0.5,
                least: 0.05,
                most: 2.0,
            };
            vec![Case::new(name, ELITES, kernel).fill(0, Fill::Signed(8.0))]
        }
        KernelId::MppiChoose => {
            let kernel = MppiChoose {
                environments: batch,
                candidates: CANDIDATES,
                elites: ELITES,
                length: SEQUENCE,
                width: 6,
                flags: MppiChoose::NOISE,
            };
            let case = Case::new(name, 2, kernel).decides();
            let case = case.fill(0, Fill::Unit).fill(1, Fill::Unit);
            vec![case.fill(2, Fill::Below(CANDIDATES))]
        }
        _ => Vec::new(),
    }
}
