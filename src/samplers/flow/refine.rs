//! End points within a tolerance: the adaptive solver again and again, each time finer, until they stand.
//!
//! A step-size controller bounds the estimated error of one step. On trained fields that says little about
//! the end point: their features of time turn faster than the steps, so the estimate is blind to part of the
//! error. Comparing end points of successive refinements (Richardson's idea) is not.

use super::adaptive::AdaptiveSettings;
use super::error::FlowError;
use super::request::{FlowDraws, FlowReport, FlowRequest, Noise, Solver};
use super::sampler::FlowSampler;
use std::time::Instant;

/// Refinements before a row has failed.
const MOST_REFINEMENTS: usize = 7;
/// Tolerances of a step and the first step shrink by this from one refinement to the next.
const FINER: f32 = 0.1;
/// The largest step shrinks by this, so that even steps that the tolerance does not limit differ.
const SHORTER: f32 = 0.5;
/// Part of the tolerance by which end points may still move: what remains is about as much again.
const MARGIN: f64 = 0.5;
/// Shortest steps and finest tolerances that single precision can tell apart.
const SHORTEST_STEP: f32 = 4e-6;

/// One row of a request on its way.
struct Row {
    /// Row of the request.
    index: usize,
    /// Its last end point.
    end: Vec<f64>,
}

impl FlowSampler {
    /// Draws whose end points moved by at most half the tolerance in the last refinement, element by element:
    /// `|x' - x| <= (absolute + relative |x'|) / 2`. Rows settle one by one, each as it would alone.
    pub(super) fn settle(
        &mut self,
        request: &FlowRequest<'_>,
        settings: &AdaptiveSettings,
    ) -> Result<FlowDraws, FlowError> {
        let start = Instant::now();
        let (rows, chunk) = (request.rows(), self.config().chunk());
        let mut level = AdaptiveSettings {
            refine: false,
            ..*settings
        };
        let first = FlowRequest {
            solver: Solver::Adaptive(level),
            ..*request
        };
        let mut draws = self.solve_once(&first)?;
        let ends = draws.values_f64.chunks_exact(chunk);
        let mut open: Vec<Row> = ends
            .enumerate()
            .map(|(index, end)| Row {
                index,
                end: end.to_vec(),
            })
            .collect();
        for _ in 0..MOST_REFINEMENTS {
            level = finer(&level);
            let finer = self.again(request, (settings, &level), &open)?;
            add(
                &mut draws.report,
                &finer.report,
                open.len() as f64 / rows as f64,
            );
            let ends = finer.values_f64.chunks_exact(chunk);
            let mut still = Vec::new();
            for (row, end) in open.into_iter().zip(ends) {
                if stands(&row.end, end, settings) {
                    let place = row.index * chunk..(row.index + 1) * chunk;
                    draws.values_f64[place].copy_from_slice(end);
                } else {
                    let (index, end) = (row.index, end.to_vec());
                    still.push(Row { index, end });
                }
            }
            open = still;
            if open.is_empty() {
                draws.values = draws.values_f64.iter().map(|&v| v as f32).collect();
                draws.report.seconds = start.elapsed().as_secs_f64();
                return Ok(draws);
            }
        }
        Err(FlowError::Unsettled {
            frame: open[0].index / request.draws,
            draw: open[0].index % request.draws,
            relative: settings.relative_tolerance,
            absolute: settings.absolute_tolerance,
            refinements: MOST_REFINEMENTS,
            count: open.len(),
            rows,
        })
    }

    /// The rows that have not settled, each as a frame of its own.
    fn again(
        &mut self,
        request: &FlowRequest<'_>,
        (settings, level): (&AdaptiveSettings, &AdaptiveSettings),
        open: &[Row],
    ) -> Result<FlowDraws, FlowError> {
        let config = self.config();
        let (chunk, width) = (config.chunk(), config.tokens * config.cond_dim);
        let mut conditions = Vec::with_capacity(open.len() * width);
        let mut noise = vec![0.0; open.len() * chunk];
        for (row, start) in open.iter().zip(noise.chunks_exact_mut(chunk)) {
            let (frame, draw) = (row.index / request.draws, row.index % request.draws);
            conditions.extend_from_slice(&request.conditions[frame * width..(frame + 1) * width]);
            request.fill_start((frame, draw), start);
        }
        let finer = FlowRequest {
            conditions: &conditions,
            frames: open.len(),
            first_frame: 0,
            draws: 1,
            noise: Noise::Recorded(&noise),
            solver: Solver::Adaptive(*level),
            record: false,
        };
        self.solve_once(&finer)
            .map_err(|error| place(error, request, settings, open))
    }
}

/// The next refinement.
fn finer(level: &AdaptiveSettings) -> AdaptiveSettings {
    AdaptiveSettings {
        relative_tolerance: level.relative_tolerance * FINER,
        absolute_tolerance: (level.absolute_tolerance * FINER).max(f32::MIN_POSITIVE),
        initial_step: (level.initial_step * FINER).max(SHORTEST_STEP),
        maximum_step: (level.maximum_step * SHORTER).max(SHORTEST_STEP),
        ..*level
    }
}

/// Whether an end point moved by little enough.
fn stands(before: &[f64], after: &[f64], settings: &AdaptiveSettings) -> bool {
    let (relative, absolute) = (
        f64::from(settings.relative_tolerance),
        f64::from(settings.absolute_tolerance),
    );
    let allowed = |x: f64| MARGIN * (absolute + relative * x.abs());
    before
        .iter()
        .zip(after)
        .all(|(b, a)| (a - b).abs() <= allowed(*a))
}

/// Names the frame and draw of the request, and its tolerance, in an error about one of the open rows.
fn place(
    mut error: FlowError,
    request: &FlowRequest<'_>,
    settings: &AdaptiveSettings,
    open: &[Row],
) -> FlowError {
    if let FlowError::Tolerance {
        relative,
        absolute,
        rows,
        ..
    } = &mut error
    {
        (*relative, *absolute) = (settings.relative_tolerance, settings.absolute_tolerance);
        *rows = request.rows();
    }
    if let FlowError::Tolerance { frame, draw, .. } | FlowError::NotFinite { frame, draw } =
        &mut error
        && let Some(row) = open.get(*frame)
    {
        (*frame, *draw) = (row.index / request.draws, row.index % request.draws);
    }
    error
}

/// Adds what a refinement took; `share` is the part of all rows that it carried on.
fn add(report: &mut FlowReport, finer: &FlowReport, share: f64) {
    report.runs += finer.runs;
    report.dispatches += finer.dispatches;
    report.submissions += finer.submissions;
    report.host_seconds += finer.host_seconds;
    report.working_bytes = report.working_bytes.max(finer.working_bytes);
    report.evaluations += share * finer.evaluations;
    report.accepted += finer.accepted;
    report.rejected += finer.rejected;
}
