//! The kernels of planners over discrete actions.

use super::{Case, EXAMPLES, Fill};
use attractor_kernels::plan_draw::PlanDraw;
use attractor_kernels::plan_refit::PlanRefit;
use attractor_kernels::plan_select::PlanSelect;
use attractor_kernels::plan_track::{PlanScore, PlanTrack};
use attractor_kernels::{Kernel, KernelId};

/// Candidates of an environment, actions of a plan, actions to choose among, numbers of a state.
const CANDIDATES: u32 = 50;
const HORIZON: u32 = 15;
const ACTIONS: u32 = 9;
const WIDTH: u32 = 6;

pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let environments = if batch == EXAMPLES { 100 } else { 10_000 };
    let rows = environments * CANDIDATES;
    let name = format!("{environments} x {CANDIDATES} plans of {HORIZON}");
    let case = match id {
        KernelId::PlanDraw => {
            let sizes = [environments, CANDIDATES, HORIZON];
            let kernel = PlanDraw::uniform(sizes, ACTIONS, 0).by_elites(8, 0.1);
            let case = Case::new(name, 1, kernel.at_step(1));
            case.fill(0, Fill::Below(1000)).fill(1, Fill::Below(2))
        }
        KernelId::PlanTrack => {
            let kernel = PlanTrack::new(rows, CANDIDATES, WIDTH, (PlanScore::NORM, 0b1100));
            Case::new(name, 2, kernel.at_step(1)).decides()
        }
        KernelId::PlanSelect => {
            let kernel = PlanSelect::new(environments, CANDIDATES, HORIZON);
            let case = Case::new(name, 1, kernel);
            case.fill(1, Fill::Below(HORIZON))
                .fill(2, Fill::Below(ACTIONS))
        }
        KernelId::PlanRefit => {
            let kernel = PlanRefit {
                environments,
                candidates: CANDIDATES,
                horizon: HORIZON,
                actions: ACTIONS,
                elites: 8,
            };
            Case::new(name, 1, kernel).fill(1, Fill::Below(ACTIONS))
        }
        _ => return Vec::new(),
    };
    vec![case]
}
