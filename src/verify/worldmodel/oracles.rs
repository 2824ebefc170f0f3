//! Control tasks in closed form: constants, start states, the state sample, rollouts with rewards, single
//! transitions.

mod constants;
mod device;

use std::ops::Range;

use crate::device::{Device, Precision};
use crate::formats::ArrayMap;
use crate::models::Dynamics;
use crate::models::control::ControlTask;
use crate::orbit::PythonRandom;
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node, numbers};
use crate::worlds::control::{ControlEnvironment, Resets, action_sequence, reward};
use device::stepped;

/// What is asked for in double precision, as a part of a number or of 1.
const DOUBLE: f64 = 1e-12;
/// Error of one step in single precision, as a part of the largest number before and after it, or of 1.
const SINGLE: f64 = 1e-5;
/// Steps of rollouts in single precision, from every so-manieth observation.
const STRETCH: usize = 10;
/// Their error, likewise: what a swing-up makes of the rounding of ten steps, limits included.
const SINGLE_ROLLOUT: f64 = 2e-5;
/// States from one reset to the next, and the seed, of the published sample.
const SAMPLE: (usize, u64) = (25, 0);

pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    let arrays = match folder.arrays(&format!("{stem}.safetensors")) {
        Ok(arrays) => arrays,
        Err(error) => {
            cases.run(stem, "oracles", |_| Err(error));
            return;
        }
    };
    let entries = folder.index().entries();
    let stray = arrays.names().find(|name| {
        let owner = name.split('.').next().unwrap_or_default();
        !entries.iter().any(|(task, _)| *task == owner)
    });
    if let Some(stray) = stray {
        let reason = format!("tensor {stray}: its task is not in the index");
        cases.unsupported(stem, "oracles", &reason);
    }
    for (name, entry) in entries {
        let Ok(task) = ControlTask::parse(name) else {
            cases.unsupported(
                &format!("{stem}/{name}"),
                "oracles",
                "a task that is not known",
            );
            continue;
        };
        let golden = Golden {
            task,
            name,
            arrays: &arrays,
        };
        let case = |part: &str| format!("{stem}/{name} {part}");
        cases.run(&case("constants"), "oracles", |checks| {
            constants::check(task, &entry, checks)
        });
        cases.run(&case("tensors"), "oracles", |checks| golden.known(checks));
        cases.run(&case("starts"), "oracles", |checks| golden.starts(checks));
        cases.run(&case("sample"), "oracles", |checks| golden.sample(checks));
        cases.run(&case("rollouts"), "oracles", |checks| {
            let actions = entry.get("actions")?;
            golden.rollouts(&actions, device, checks)
        });
        cases.run(&case("transitions"), "oracles", |checks| {
            let actions = entry.get("actions")?;
            golden.transitions(&actions, device, checks)
        });
    }
}

/// The tensors of one task.
struct Golden<'a> {
    task: ControlTask,
    name: &'a str,
    arrays: &'a ArrayMap,
}

/// Tensors that there may be.
const TENSORS: [&str; 11] = [
    "init_obs",
    "init_task_seed",
    "offline_states",
    "offline_action_seq",
    "roll_obs",
    "roll_act",
    "roll_reward",
    "oracle_state",
    "oracle_action",
    "oracle_next",
    "oracle_next_score",
];

impl Golden<'_> {
    fn tensor(&self, tensor: &str) -> Result<(Vec<usize>, Vec<f64>), CaseError> {
        Ok(numbers(self.arrays, &format!("{}.{tensor}", self.name))?)
    }

    /// Numbers of a tensor whose last dimension is an observation, with the others.
    fn observations(&self, tensor: &str) -> Result<(Vec<usize>, Vec<f64>), CaseError> {
        let (mut shape, values) = self.tensor(tensor)?;
        let width = shape.pop();
        if width != Some(self.task.state()) {
            let expected = self.task.state();
            return Err(CaseError::Engine(format!(
                "{}.{tensor}: expected rows of {expected}, found {width:?}",
                self.name
            )));
        }
        Ok((shape, values))
    }

    /// Actions by their numbers in the index's list.
    fn actions(&self, tensor: &str, list: &Node<'_>) -> Result<Vec<Vec<f64>>, CaseError> {
        let rows: Vec<Vec<f64>> = list
            .elements()?
            .iter()
            .map(Node::numbers)
            .collect::<Result<_, _>>()?;
        let (_, numbers) = self.tensor(tensor)?;
        let action = |number: &f64| -> Result<Vec<f64>, CaseError> {
            let whole = number.fract() == 0.0 && *number >= 0.0;
            let found = rows.get(*number as usize).filter(|_| whole);
            found.cloned().ok_or_else(|| {
                let count = rows.len();
                CaseError::Engine(format!(
                    "{}.{tensor}: expected numbers below {count}, found {number}",
                    self.name
                ))
            })
        };
        numbers.iter().map(action).collect()
    }

    /// No tensor goes unread.
    fn known(&self, checks: &mut Checks) -> Result<(), CaseError> {
        let prefix = format!("{}.", self.name);
        for name in self.arrays.names() {
            if let Some(own) = name.strip_prefix(&prefix) {
                checks.hold(TENSORS.contains(&own), || {
                    format!("{name}: expected a tensor that is known, found another")
                });
            }
        }
        Ok(())
    }

    /// Start states of task seeds, drawn anew.
    fn starts(&self, checks: &mut Checks) -> Result<(), CaseError> {
        let (shape, observed) = self.observations("init_obs")?;
        let (_, seeds) = self.tensor("init_task_seed")?;
        checks.equal("init_task_seed: count", &[seeds.len()], &shape);
        let mut drawn = Vec::new();
        for seed in &seeds {
            if !(0.0..=f64::from(u32::MAX)).contains(seed) || seed.fract() != 0.0 {
                return Err(CaseError::Engine(format!(
                    "{}.init_task_seed: expected 32-bit numbers, found {seed}",
                    self.name
                )));
            }
            let mut resets = Resets::new(self.task, *seed as u32);
            drawn.extend(resets.environment().observe());
        }
        checks.close("init_obs", &drawn, &observed, DOUBLE);
        Ok(())
    }

    /// The sample of states and the action sequence, resets and actions drawn anew.
    fn sample(&self, checks: &mut Checks) -> Result<(), CaseError> {
        let (_, observed) = self.observations("offline_states")?;
        let count = observed.len() / self.task.state();
        let drawn = crate::worlds::control::state_sample(self.task, count, 0, SAMPLE.1);
        let drawn = drawn.map_err(|error| CaseError::Engine(error.to_string()))?;
        checks.close("offline_states", &drawn.concat(), &observed, DOUBLE);
        // Each stretch from its own published start as well.
        let mut random = PythonRandom::new(SAMPLE.1);
        let rows: Vec<&[f64]> = observed.chunks(self.task.state()).collect();
        let actions = self.task.actions();
        for stretch in rows.chunks(SAMPLE.0) {
            let Some(mut environment) = stretch
                .first()
                .map(|first| self.environment(first))
                .transpose()?
            else {
                continue;
            };
            for expected in stretch.iter().skip(1) {
                let action = actions.get(random.below(actions.len() as u32) as usize);
                let stepped = environment.step(action.copied().unwrap_or_default());
                stepped.map_err(|error| CaseError::Engine(error.to_string()))?;
                checks.close("offline_states", &environment.observe(), expected, DOUBLE);
            }
        }
        let (_, sequence) = self.tensor("offline_action_seq")?;
        let drawn = action_sequence(self.task, sequence.len(), SAMPLE.1);
        let drawn: Vec<f64> = drawn.into_iter().map(|action| action as f64).collect();
        checks.equal("offline_action_seq", &drawn, &sequence);
        Ok(())
    }

    fn environment(&self, observation: &[f64]) -> Result<ControlEnvironment, CaseError> {
        ControlEnvironment::new(self.task, observation)
            .map_err(|error| CaseError::Engine(error.to_string()))
    }

    /// Open-loop rollouts: the environment from the first observation on, in double precision; rewards of
    /// observed states; on a device of single precision stretches of ten steps.
    fn rollouts(
        &self,
        list: &Node<'_>,
        device: &Device,
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let (shape, observed) = self.observations("roll_obs")?;
        let [count, length] = shape[..] else {
            return Err(CaseError::Engine(format!(
                "{}.roll_obs: expected three dimensions, found {shape:?}",
                self.name
            )));
        };
        let steps = length.saturating_sub(1);
        let actions = self.actions("roll_act", list)?;
        let (_, rewards) = self.tensor("roll_reward")?;
        let counts = [actions.len(), rewards.len()];
        checks.equal("roll_act, roll_reward: count", &counts, &[count * steps; 2]);
        if counts != [count * steps; 2] || steps == 0 {
            return Ok(());
        }
        let width = self.task.state();
        let start = |rollout: usize, step: usize| (rollout * length + step) * width;
        let part = |range: Range<usize>| observed.get(range).unwrap_or_default();
        let (mut found, mut earned) = (Vec::new(), Vec::new());
        for rollout in 0..count {
            let first = part(start(rollout, 0)..start(rollout, 1));
            let mut environment = self.environment(first)?;
            found.extend(environment.observe());
            for (step, action) in actions.iter().skip(rollout * steps).take(steps).enumerate() {
                let outcome = environment.step(action);
                let outcome = outcome.map_err(|error| CaseError::Engine(error.to_string()))?;
                found.extend(environment.observe());
                let after = part(start(rollout, step + 1)..start(rollout, step + 2));
                let published = reward(self.task, after, action);
                checks.close(
                    "reward of the environment",
                    &[outcome.reward],
                    &[published],
                    DOUBLE,
                );
                earned.push(published);
            }
        }
        checks.close("roll_obs", &found, &observed, DOUBLE);
        checks.close("roll_reward", &earned, &rewards, DOUBLE);
        // The device, from every tenth observation.
        let precision = device.precision();
        let mut from = Vec::new();
        for rollout in 0..count {
            for step in (0..steps).step_by(STRETCH) {
                from.push((rollout, step, STRETCH.min(steps - step)));
            }
        }
        let mut states: Vec<Vec<f64>> = from
            .iter()
            .map(|(rollout, step, _)| {
                part(start(*rollout, *step)..start(*rollout, step + 1)).to_vec()
            })
            .collect();
        for ahead in 0..STRETCH {
            // A stretch that is over stands still.
            let driven: Vec<Vec<f64>> = from
                .iter()
                .map(|(rollout, step, _)| {
                    let last = step + ahead.min(steps - step - 1);
                    actions
                        .get(rollout * steps + last)
                        .cloned()
                        .unwrap_or_default()
                })
                .collect();
            let moved = stepped(device, self.task, &states.concat(), &driven.concat())?;
            states = moved.chunks(width).map(<[f64]>::to_vec).collect();
            for ((rollout, step, most), state) in from.iter().zip(&states) {
                if ahead < *most {
                    let at = step + ahead + 1;
                    let expected = part(start(*rollout, at)..start(*rollout, at + 1));
                    let what = format!("{} steps on the device", ahead + 1);
                    let tolerance = match precision {
                        Precision::F64 => DOUBLE,
                        _ => SINGLE_ROLLOUT,
                    };
                    checks.close(&what, state, expected, tolerance * size(expected));
                }
            }
        }
        self.remark(device, checks);
        Ok(())
    }

    /// Single steps of the kernel, and the scores of where they lead.
    fn transitions(
        &self,
        list: &Node<'_>,
        device: &Device,
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let (shape, before) = self.observations("oracle_state")?;
        let (_, after) = self.observations("oracle_next")?;
        let actions = self.actions("oracle_action", list)?;
        let rows = shape.iter().product::<usize>();
        let counts = [actions.len(), after.len()];
        checks.equal(
            "oracle_action, oracle_next: count",
            &counts,
            &[rows, before.len()],
        );
        if counts != [rows, before.len()] {
            return Ok(());
        }
        let width = self.task.state();
        // A step hangs on the angle alone.
        for row in before.chunks(width) {
            let lengths = directions(self.task, row);
            let ones = vec![1.0; lengths.len()];
            checks.close(
                "oracle_state: length of directions",
                &lengths,
                &ones,
                DOUBLE,
            );
        }
        let double = stepped(&Device::cpu_f64(), self.task, &before, &actions.concat())?;
        checks.close("oracle_next in double precision", &double, &after, DOUBLE);
        let found = stepped(device, self.task, &before, &actions.concat())?;
        let tolerance = match device.precision() {
            Precision::F64 => DOUBLE,
            _ => SINGLE,
        };
        let each = found
            .chunks(width)
            .zip(after.chunks(width))
            .zip(before.chunks(width));
        for ((found, expected), before) in each {
            let size = size(expected).max(size(before));
            checks.close(
                "oracle_next on the device",
                found,
                expected,
                tolerance * size,
            );
        }
        let scores: Vec<f64> = double
            .chunks(width)
            .map(|row| self.task.score().of(row))
            .collect();
        let name = format!("{}.oracle_next_score", self.name);
        if self.arrays.contains(&name) {
            let (_, expected) = self.tensor("oracle_next_score")?;
            checks.close("oracle_next_score", &scores, &expected, DOUBLE);
        }
        self.remark(device, checks);
        Ok(())
    }

    fn remark(&self, device: &Device, checks: &mut Checks) {
        if device.precision() != Precision::F64 {
            checks.remark("double precision on the CPU device, single on this one".to_owned());
        }
    }
}

/// Lengths of the directions that an observation has as cosine and sine.
fn directions(task: ControlTask, row: &[f64]) -> Vec<f64> {
    match (task, row) {
        (ControlTask::Cartpole, &[_, cosine, sine, _, _]) => vec![cosine.hypot(sine)],
        (ControlTask::Acrobot, &[us, ls, uc, lc, _, _]) => vec![us.hypot(uc), ls.hypot(lc)],
        _ => Vec::new(),
    }
}

/// The largest magnitude, at least 1.
fn size(row: &[f64]) -> f64 {
    row.iter()
        .fold(1.0, |largest, value| largest.max(value.abs()))
}
