//! Cases of the kernels of world models and their planners: candidates of a planning call.

use super::{Case, Fill};
use attractor_kernels::KernelId;
use attractor_kernels::gaussian_policy::GaussianPolicy;
use attractor_kernels::two_hot::TwoHot;
use attractor_kernels::two_hot_encode::TwoHotEncode;

/// Candidates of one call.
const CANDIDATES: u32 = 512;
/// Bins of reward and value.
const BINS: u32 = 101;
/// Actions of a larger robot.
const ACTIONS: u32 = 6;

/// `batch` counts planning calls.
pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let rows = batch * CANDIDATES;
    match id {
        KernelId::GaussianPolicy => {
            let kernel = GaussianPolicy::sample(rows, ACTIONS);
            // At raw deviations up to e^2, actions saturate.
            let name = format!("{rows} rows of {ACTIONS} actions");
            vec![Case::new(name, 1, kernel).fill(0, Fill::Signed(0.5))]
        }
        KernelId::TwoHot => {
            let kernel = TwoHot::decode(rows, BINS, -10.0, 10.0).of_members(2);
            let name = format!("{rows} rows of 2 x {BINS} logits");
            vec![Case::new(name, BINS, kernel)]
        }
        KernelId::TwoHotEncode => {
            let kernel = TwoHotEncode::new(rows, BINS, -10.0, 10.0);
            let name = format!("{rows} numbers in {BINS} bins");
            // A place among 101 bins has 7 of single precision's 24 bits before the point.
            vec![Case::new(name, BINS * BINS, kernel).fill(0, Fill::Signed(100.0))]
        }
        _ => Vec::new(),
    }
}
