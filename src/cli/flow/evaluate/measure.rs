//! Everything that is measured in an evaluation, beside the record of the run.

use anyhow::Result;
use attractor::analysis::flow::{
    Calibration, Draws, JointCount, Mark, Panel, PanelConfig, PanelInput, RankedReadouts,
    RankingConfig, Rollout, RouteReport, RouteSelector, Routes, calibrate, decision_marks,
    decision_test, evaluate, evaluate_route_selector, rank_readouts, signed_turn, waypoints,
};
use attractor::report::flow::{
    TitledTable, calibration_table, panel_tables, ranking_table, rollout_tables, route_table,
};
use attractor::worlds::driving::{
    CHANNELS, Decision, Drive, FRAMES, TARGET_VALUES, TRAINING_DRIVES, WAYPOINTS,
};
use rayon::prelude::*;
use serde::Serialize;

/// Joints of the route that the short selector looks at.
const FIRST_JOINTS: JointCount = JointCount::First(3);
/// Steering among the raw channels of the benchmark.
const STEERING: usize = 2;

/// What an evaluation found.
#[derive(Debug, Serialize)]
pub struct Measures {
    /// Items 1 to 7 of the panel.
    pub panel: Panel,
    /// Readouts by the scores of a ranker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranking: Option<RankedReadouts>,
    /// Modes chosen by the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteMeasures>,
    /// Draw mass against the known laws of the benchmark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibrations>,
    /// Action feedback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
}

/// The route selector, its line fitted on the training drives.
#[derive(Debug, Serialize)]
pub struct RouteMeasures {
    /// With the first three joints.
    pub first_joints: RouteReport,
    /// With all of them.
    pub all_joints: RouteReport,
}

/// One calibration a decision of the benchmark.
#[derive(Debug, Serialize)]
pub struct Calibrations {
    /// Going on at a junction.
    pub junction: Calibration,
    /// Passing an obstacle on the left.
    pub obstacle: Calibration,
    /// Braking behind a lead.
    pub lead: Calibration,
}

impl Measures {
    /// The panel, and how good the ranker's scores are where there are some, `[frames, K]`.
    pub fn of(
        input: &PanelInput,
        scores: Option<&[f32]>,
        config: &PanelConfig,
        ranking: &RankingConfig,
    ) -> Result<Self> {
        let ranking = match scores {
            Some(scores) => Some(rank_readouts(input, scores, config, ranking)?),
            None => None,
        };
        Ok(Self {
            panel: evaluate(input, config)?,
            ranking,
            route: None,
            calibration: None,
            rollout: None,
        })
    }

    /// Every table, titled; `channels` names the raw channels.
    pub fn tables(&self, channels: &[&str]) -> Vec<TitledTable> {
        let mut tables = panel_tables(&self.panel, channels);
        let mut add = |title: &str, table| tables.push((title.to_owned(), table));
        if let Some(ranking) = &self.ranking {
            add(
                "Ranked draws, steering chunk-L1 by frame",
                ranking_table(ranking),
            );
        }
        if let Some(route) = &self.route {
            add("Mode by the first joints", route_table(&route.first_joints));
            add("Mode by the whole route", route_table(&route.all_joints));
        }
        if let Some(calibration) = &self.calibration {
            for (title, calibration) in [
                ("Calibration, turning at junctions", &calibration.junction),
                ("Calibration, left of obstacles", &calibration.obstacle),
                ("Calibration, braking behind leads", &calibration.lead),
            ] {
                add(title, calibration_table(calibration));
            }
        }
        if let Some(rollout) = &self.rollout {
            tables.extend(rollout_tables(rollout));
        }
        tables
    }
}

impl RouteMeasures {
    /// Measures on frames whose conditions `[frames, 12, 16]` are the benchmark's.
    pub fn of(input: &PanelInput, conditions: &[f32], config: &PanelConfig) -> Result<Self> {
        let points = waypoints(conditions);
        let routes = Routes::new(&points, input.truth.frames(), WAYPOINTS)?;
        let drives: Vec<Drive> = TRAINING_DRIVES
            .into_par_iter()
            .map(|number| Drive::generate(number, FRAMES))
            .collect();
        let measure = |joints| -> Result<RouteReport> {
            let selector = RouteSelector::fit(&turns(&drives, joints))?;
            let report = evaluate_route_selector(input, &routes, joints, Some(selector), config)?;
            Ok(report)
        };
        Ok(Self {
            first_joints: measure(FIRST_JOINTS)?,
            all_joints: measure(JointCount::All)?,
        })
    }
}

/// Signed turn of the route and chunk-mean steering of every sample.
fn turns(drives: &[Drive], joints: JointCount) -> Vec<(f64, f64)> {
    let of_drive = |drive: &Drive| {
        let points = waypoints(&drive.conditions);
        let routes = points.chunks_exact(2 * WAYPOINTS);
        let targets = drive.targets.chunks_exact(TARGET_VALUES);
        let pair = |(route, target): (&[f32], &[f32])| {
            let steering = target.iter().skip(STEERING).step_by(CHANNELS.len());
            let slots = TARGET_VALUES / CHANNELS.len();
            let mean = steering.map(|&value| f64::from(value)).sum::<f64>() / slots as f64;
            (signed_turn(route, joints), mean)
        };
        routes.zip(targets).map(pair).collect::<Vec<_>>()
    };
    drives.par_iter().flat_map_iter(of_drive).collect()
}

impl Calibrations {
    /// Measures at the marks of whole drives, one after another; `row_of` gives the row of the draws that a
    /// sample of all drives is at, if it is there.
    pub fn of(
        draws: &Draws,
        drives: &[Drive],
        row_of: impl Fn(usize) -> Option<usize>,
    ) -> Result<Self> {
        let measure = |decision: Decision| -> Result<Calibration> {
            let (channel, test) = decision_test(decision);
            let marks: Vec<Mark> = decision_marks(drives, decision)
                .into_iter()
                .filter_map(|mark| {
                    let frame = row_of(mark.frame)?;
                    Some(Mark { frame, ..mark })
                })
                .collect();
            Ok(calibrate(draws, channel, test, &marks)?)
        };
        Ok(Self {
            junction: measure(Decision::Junction)?,
            obstacle: measure(Decision::Obstacle)?,
            lead: measure(Decision::Lead)?,
        })
    }
}
