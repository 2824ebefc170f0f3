//! Planning calls of TD-MPC2, replayed with their recorded draws: `plan{k}.*` of a file of networks.

use crate::device::Device;
use crate::formats::ArrayMap;
use crate::models::tdmpc2::{Tdmpc2, Tdmpc2Config};
use crate::samplers::mppi::{Mppi, MppiDraws, MppiPlans, MppiRequest, MppiSettings, MppiTrace};
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};

/// Tolerances on values, and on distributions, weights and actions.
const VALUE: f64 = 2e-5;
const ACTION: f64 = 1e-5;

pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    let prepared = Prepared::read(folder, stem, device);
    let count = folder.index().find("plan_variants");
    let count = count.and_then(|variants| variants.elements().ok());
    let calls = count.map_or(0, |variants| variants.len()).max(1);
    let mut prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            cases.run(&format!("{stem}/plans"), "planning", |_| Err(error));
            return;
        }
    };
    cases.run(&format!("{stem}/plans"), "planning", |checks| {
        prepared.whole(folder, calls, checks)
    });
    for call in 0..calls {
        let name = format!("{stem}/plan{call}");
        cases.run(&name, "planning", |checks| {
            prepared.call(folder, call, checks)
        });
    }
}

/// A file's tensors and a planner over its networks.
struct Prepared {
    arrays: ArrayMap,
    config: Tdmpc2Config,
    planner: Mppi,
}

fn engine(error: impl std::fmt::Display) -> CaseError {
    CaseError::Engine(error.to_string())
}

impl Prepared {
    fn read(folder: &Folder, stem: &str, device: &Device) -> Result<Self, CaseError> {
        let arrays = folder.arrays(&format!("{stem}.safetensors"))?;
        let file = format!("{stem}.json");
        let config = Tdmpc2Config::from_json(&file, folder.index().json()).map_err(engine)?;
        let mut weights = ArrayMap::new(arrays.file());
        for (name, array) in arrays.iter() {
            if let Some(name) = name.strip_prefix("w.") {
                weights.insert(name, array.clone())?;
            }
        }
        let model = Tdmpc2::read(&weights, &config, None).map_err(engine)?;
        let planner = Mppi::new(model, MppiSettings::of(&config), device).map_err(engine)?;
        Ok(Self {
            arrays,
            config,
            planner,
        })
    }

    /// What belongs to no call: the discount, and that every tensor of a plan belongs to one.
    fn whole(&self, folder: &Folder, calls: usize, checks: &mut Checks) -> Result<(), CaseError> {
        let discount = folder.index().number("discount")?;
        checks.close("discount", &[self.config.discount()], &[discount], 1e-7);
        folder.index().get("plan_variants")?.elements()?;
        let gaps = folder.index().get("elite_boundary_gap_per_iteration")?;
        checks.equal("calls with gaps", &[gaps.elements()?.len()], &[calls]);
        for name in self.arrays.names() {
            let Some((plan, part)) = name.split_once('.') else {
                continue;
            };
            let Some(number) = plan.strip_prefix("plan") else {
                continue;
            };
            let known = number.parse::<usize>().is_ok_and(|number| number < calls);
            checks.hold(known && PARTS.contains(&part), || {
                format!("{name}: expected a tensor of one of {calls} calls, found an unknown one")
            });
        }
        Ok(())
    }

    fn call(&mut self, folder: &Folder, call: usize, checks: &mut Checks) -> Result<(), CaseError> {
        let variants = folder.index().get("plan_variants")?;
        let variants = variants.elements()?;
        let variant = variants.get(call).ok_or_else(|| variants_missing(call))?;
        let flag = |key: &str| -> Result<bool, CaseError> { variant.get(key)?.as_bool() };
        let (start, evaluation) = (flag("t0")?, flag("eval_mode")?);
        let recorded = Recorded {
            arrays: &self.arrays,
            config: &self.config,
            settings: *self.planner.settings(),
            call,
        };
        let settings = recorded.settings;
        let observation = recorded.floats("obs", &[self.config.obs_dim])?;
        let shape = [settings.horizon, self.config.action_dim];
        let previous = recorded.floats("prev_mean_in", &shape)?;
        let mut draws = recorded.draws(evaluation)?;
        let request = MppiRequest {
            previous: &previous,
            starts: &[start],
            evaluation,
            record: true,
            ..MppiRequest::new(&observation, 0)
        };
        let elites = recorded.elites()?;
        let mut plans = replay(&mut self.planner, &request, &draws)?;
        // The draws of the choice are in order of the elites; rounding may swap two of almost equal value.
        if let Some(order) = reordered(&plans, &elites, settings.elites) {
            draws.exponential = order
                .iter()
                .filter_map(|place| draws.exponential.get(*place).copied())
                .collect();
            plans = replay(&mut self.planner, &request, &draws)?;
            checks.remark("elites of almost equal value changed places".into());
        }
        recorded.compare(&plans, &elites, checks)?;
        gaps(folder, call, &plans, &settings, checks)
    }
}

/// Tensors of a call.
const PARTS: [&str; 17] = [
    "obs",
    "prev_mean_in",
    "draw.pi_eps",
    "draw.samples",
    "draw.value_pi_eps",
    "draw.q_pair",
    "draw.gumbel_exp",
    "draw.final_eps",
    "out.value",
    "out.elite_idx",
    "out.score",
    "out.mean",
    "out.std",
    "out.actions_iter0",
    "out.actions_last",
    "out.action",
    "out.prev_mean",
];

fn variants_missing(call: usize) -> CaseError {
    CaseError::Index {
        path: format!("plan_variants/{call}"),
        expected: "an entry",
        found: "none".into(),
    }
}

fn replay(
    planner: &mut Mppi,
    request: &MppiRequest<'_>,
    draws: &MppiDraws,
) -> Result<MppiPlans, CaseError> {
    let request = MppiRequest {
        draws: Some(draws),
        ..*request
    };
    planner.plan(&request).map_err(engine)
}

fn trace(plans: &MppiPlans) -> Result<&MppiTrace, CaseError> {
    let trace = plans.trace.as_ref();
    trace.ok_or_else(|| engine("a recorded call has no record"))
}

/// Where the expected order has each of the last iteration's elites, if they are the same but their order is
/// not.
fn reordered(plans: &MppiPlans, expected: &[i64], elites: usize) -> Option<Vec<usize>> {
    let found = last(&plans.trace.as_ref()?.elite, elites);
    let expected = last(expected, elites);
    let place = |own: &u32| expected.iter().position(|e| *e == i64::from(*own));
    let order: Vec<usize> = found.iter().map(place).collect::<Option<_>>()?;
    let same = order.iter().enumerate().all(|(at, place)| at == *place);
    (!same).then_some(order)
}

/// The last `count` elements.
fn last<T>(values: &[T], count: usize) -> &[T] {
    values
        .get(values.len().saturating_sub(count)..)
        .unwrap_or_default()
}

/// The recorded tensors of one call.
struct Recorded<'a> {
    arrays: &'a ArrayMap,
    config: &'a Tdmpc2Config,
    settings: MppiSettings,
    call: usize,
}

impl Recorded<'_> {
    fn name(&self, part: &str) -> String {
        format!("plan{}.{part}", self.call)
    }

    fn floats(&self, part: &str, shape: &[usize]) -> Result<Vec<f32>, CaseError> {
        Ok(self.arrays.expect_f32(&self.name(part), shape)?)
    }

    fn numbers(&self, part: &str, shape: &[usize]) -> Result<Vec<f64>, CaseError> {
        let values = self.floats(part, shape)?;
        Ok(values.into_iter().map(f64::from).collect())
    }

    fn elites(&self) -> Result<Vec<i64>, CaseError> {
        let shape = [self.settings.iterations, self.settings.elites];
        Ok(self
            .arrays
            .expect_i64(&self.name("out.elite_idx"), &shape)?)
    }

    fn draws(&self, evaluation: bool) -> Result<MppiDraws, CaseError> {
        let MppiSettings {
            iterations,
            samples,
            elites,
            policies,
            horizon,
            ..
        } = self.settings;
        let action = self.config.action_dim;
        let drawn = samples - policies;
        let policy = match policies {
            0 => Vec::new(),
            _ => by_candidate(
                &self.floats("draw.pi_eps", &[horizon, policies, action])?,
                horizon,
                policies,
            ),
        };
        let all = self.floats("draw.samples", &[iterations, horizon, drawn, action])?;
        let one = (horizon * drawn * action).max(1);
        let of_round = |round: &[f32]| by_candidate(round, horizon, drawn);
        let pairs = self.name("draw.q_pair");
        let pairs = self.arrays.expect_i64(&pairs, &[iterations, 2])?;
        let pairs: Result<Vec<u32>, _> = pairs.into_iter().map(u32::try_from).collect();
        let absent = self.arrays.contains(&self.name("draw.final_eps"));
        if evaluation && absent {
            return Err(engine(format!(
                "{}: expected none in evaluation, found one",
                self.name("draw.final_eps")
            )));
        }
        Ok(MppiDraws {
            policy,
            samples: all.chunks(one).flat_map(of_round).collect(),
            value: self.floats("draw.value_pi_eps", &[iterations, samples, action])?,
            pairs: pairs
                .map_err(|error| engine(format!("{}: {error}", self.name("draw.q_pair"))))?,
            exponential: self.floats("draw.gumbel_exp", &[elites])?,
            action: match evaluation {
                true => Vec::new(),
                false => self.floats("draw.final_eps", &[action])?,
            },
        })
    }

    fn compare(
        &self,
        plans: &MppiPlans,
        expected_elites: &[i64],
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let MppiSettings {
            iterations,
            samples,
            elites,
            horizon,
            ..
        } = self.settings;
        let (action, found) = (self.config.action_dim, trace(plans)?);
        let value = self.numbers("out.value", &[iterations, samples])?;
        checks.close("value", &found.value, &value, VALUE);
        self.compare_elites(&found.elite, expected_elites, elites, checks);
        let score = self.numbers("out.score", &[iterations, elites])?;
        let own: Vec<i64> = found.elite.iter().copied().map(i64::from).collect();
        // Candidate by candidate: rounding may swap two elites.
        let by_candidate_of = |scores: &[f64], order: &[i64]| -> Vec<f64> {
            let rounds = scores.chunks(elites).zip(order.chunks(elites));
            rounds
                .flat_map(|(scores, order)| {
                    let mut pairs: Vec<_> = order.iter().zip(scores).collect();
                    pairs.sort_by_key(|(candidate, _)| **candidate);
                    pairs.into_iter().map(|(_, score)| *score)
                })
                .collect()
        };
        checks.close(
            "score",
            &by_candidate_of(&found.score, &own),
            &by_candidate_of(&score, expected_elites),
            ACTION,
        );
        let shape = [iterations, horizon, action];
        for (part, own) in [("mean", &found.mean), ("std", &found.deviation)] {
            let expected = self.numbers(&format!("out.{part}"), &shape)?;
            checks.close(part, own, &expected, ACTION);
        }
        let one = samples * horizon * action;
        let first = found.actions.get(..one).unwrap_or_default();
        for (part, own) in [
            ("actions_iter0", first),
            ("actions_last", last(&found.actions, one)),
        ] {
            let expected = self.numbers(&format!("out.{part}"), &[horizon, samples, action])?;
            let expected = by_candidate(&expected, horizon, samples);
            checks.close(part, own, &expected, ACTION);
        }
        let expected = self.numbers("out.action", &[action])?;
        checks.close("action", &plans.actions, &expected, ACTION);
        let expected = self.numbers("out.prev_mean", &[horizon, action])?;
        checks.close("prev_mean", &plans.means, &expected, ACTION);
        Ok(())
    }

    /// The same elites in every iteration, in an order of falling values.
    fn compare_elites(&self, found: &[u32], expected: &[i64], elites: usize, checks: &mut Checks) {
        let sorted = |round: &[i64]| {
            let mut round = round.to_vec();
            round.sort_unstable();
            round
        };
        let found: Vec<i64> = found.iter().copied().map(i64::from).collect();
        for (round, (own, expected)) in found
            .chunks(elites)
            .zip(expected.chunks(elites))
            .enumerate()
        {
            let what = format!("elites of iteration {round}");
            checks.equal(&what, &sorted(own), &sorted(expected));
        }
        checks.equal("elites", &[found.len()], &[expected.len()]);
    }
}

/// Differences between the values of the last elite and the best candidate that is none.
fn gaps(
    folder: &Folder,
    call: usize,
    plans: &MppiPlans,
    settings: &MppiSettings,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let all = folder.index().get("elite_boundary_gap_per_iteration")?;
    let all = all.elements()?;
    let expected = all.get(call).map(Node::numbers);
    let expected = expected.ok_or_else(|| variants_missing(call))??;
    let gap = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        let last = values.get(settings.elites.saturating_sub(1))?;
        Some(last - values.get(settings.elites)?)
    };
    let rounds = trace(plans)?.value.chunks(settings.samples);
    let found: Vec<f64> = rounds.filter_map(gap).collect();
    checks.close("elite boundary gap", &found, &expected, 2.0 * VALUE);
    Ok(())
}

/// `[horizon, candidates, action]` as `[candidates, horizon, action]`.
fn by_candidate<T: Copy>(values: &[T], horizon: usize, candidates: usize) -> Vec<T> {
    let width = values.len() / (horizon * candidates).max(1);
    let mut out = Vec::with_capacity(values.len());
    for candidate in 0..candidates {
        for step in 0..horizon {
            let first = (step * candidates + candidate) * width;
            out.extend_from_slice(values.get(first..first + width).unwrap_or_default());
        }
    }
    out
}
