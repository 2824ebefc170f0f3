//! The kernels that plan through tables.

use super::{Case, Fill};
use attractor_kernels::KernelId;
use attractor_kernels::maze_rollout::MazeRollout;
use attractor_kernels::maze_select::MazeSelect;

/// Planning calls of the published study with a hundred plans of twenty actions over the window of its
/// maze; as many for each example.
const CALLS: u32 = 16;
const CANDIDATES: u32 = 100;
const HORIZON: u32 = 20;
const STATES: u32 = 361;
const ACTIONS: u32 = 4;

pub(super) fn cases(id: KernelId, batch: u32) -> Vec<Case> {
    let batch = batch * CALLS;
    let name = format!("{batch} calls, 100 plans of 20");
    // Each row starts somewhere on the one table and draws under its own number.
    let row = |call| [0, call % STATES, HORIZON, 0, call, 0, 7, 0];
    let rows = Fill::Words((0..batch).flat_map(row).collect());
    if id == KernelId::MazeSelect {
        let kernel = MazeSelect::best(batch, CANDIDATES, HORIZON, ACTIONS).with_refit(25, 0.1);
        let case = Case::new(name, 1, kernel).fill(0, Fill::Below(20));
        return vec![case.fill(1, Fill::Below(ACTIONS)).fill(2, rows)];
    }
    let kernel = MazeRollout {
        batch,
        tables: 1,
        states: STATES,
        actions: ACTIONS,
        candidates: CANDIDATES,
        horizon: HORIZON,
        step: 0,
        flags: MazeRollout::DRAW,
    };
    let case = Case::new(name, 1, kernel).fill(0, Fill::Below(STATES));
    vec![case.fill(1, Fill::Below(20)).fill(2, rows)]
}
