//! What each step of a sampler needs to know, worked out on the host before the run.

use super::schedule::{NoiseSchedule, time_index_greedy, time_index_remdm};
use super::{RemaskStrategy, SamplerKind, SamplerSettings, SettingsError};
use attractor_kernels::remask_bernoulli::RemaskBernoulli;
use attractor_kernels::unmask_top::UnmaskTop;

/// Per-step values of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTables {
    /// Index of the network's time embedding at each step.
    pub times: Vec<u32>,
    /// Rows of the step kernel's schedule, one after the other.
    pub schedule: Vec<f32>,
    /// Numbers in one row.
    pub columns: usize,
}

impl StepTables {
    /// Steps.
    pub fn steps(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }

    /// The tables of a sampler over plans of `length` actions and a network of `levels` diffusion times.
    ///
    /// # Errors
    /// [`SettingsError`] for settings out of range.
    pub fn new(
        settings: &SamplerSettings,
        length: usize,
        levels: usize,
    ) -> Result<Self, SettingsError> {
        settings.check()?;
        let schedule = settings.schedule()?;
        Ok(match settings.sampler {
            SamplerKind::Greedy => greedy(settings.steps, length, levels),
            SamplerKind::MaskgitRemask => maskgit(settings, schedule, length, levels),
            SamplerKind::RemdmBernoulli => bernoulli(settings, schedule, levels),
        })
    }

    /// Steps after which nothing can change, for plans with at most `masked` masked positions: a greedy
    /// sampler is done when the counts so far reach that number. Other samplers remask, so all steps count.
    pub fn steps_needed(&self, settings: &SamplerSettings, masked: usize) -> u32 {
        if settings.sampler != SamplerKind::Greedy {
            return self.steps();
        }
        let mut committed = 0.0f64;
        for (step, row) in (1u32..).zip(self.schedule.chunks_exact(self.columns)) {
            committed += f64::from(row[0]);
            if committed >= masked as f64 {
                return step;
            }
        }
        self.steps()
    }
}

/// Numbers as the device wants them.
fn word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// `max(1, trunc(length * k / steps))`, evaluated in double precision as the original does.
fn share(length: usize, k: u32, steps: u32) -> u32 {
    let progress = f64::from(k) / f64::from(steps);
    word((length as f64 * progress) as usize).max(1)
}

/// Section 6.1: commit more and more of the most confident positions; a last pass at time 0 commits
/// whatever the counts leave over.
fn greedy(steps: u32, length: usize, levels: usize) -> StepTables {
    let mut times = Vec::new();
    let mut schedule = Vec::new();
    let mut committed = 0u64;
    for k in 1..=steps {
        let count = share(length, k, steps);
        committed += u64::from(count);
        times.push(time_index_greedy(word(levels), k, steps));
        schedule.extend(UnmaskTop::schedule_row(count, 0.0));
    }
    if committed < length as u64 {
        times.push(0);
        schedule.extend(UnmaskTop::schedule_row(word(length), 0.0));
    }
    StepTables {
        times,
        schedule,
        columns: 2,
    }
}

/// Section 6.2: as greedy with a floor of a tenth of the length, then remasking; the last step commits all.
fn maskgit(
    settings: &SamplerSettings,
    noise: NoiseSchedule,
    length: usize,
    levels: usize,
) -> StepTables {
    let steps = settings.steps;
    let floor = word((0.1 * length as f64) as usize).max(1);
    let mut times = Vec::new();
    let mut schedule = Vec::new();
    for k in 1..=steps {
        times.push(time_index_greedy(word(levels), k, steps));
        if k == steps {
            schedule.extend(UnmaskTop::schedule_row(word(length), 0.0));
            continue;
        }
        let progress = (f64::from(k) / f64::from(steps)) as f32;
        let largest = f64::from(1.0 - noise.alpha_f32(progress));
        let eta = f64::from(settings.eta);
        let scale = match settings.strategy {
            RemaskStrategy::Cap => eta.min(largest),
            _ => eta * largest,
        };
        let count = share(length, k, steps).max(floor);
        schedule.extend(UnmaskTop::schedule_row(count, scale));
    }
    StepTables {
        times,
        schedule,
        columns: 2,
    }
}

/// Section 6.3 (ReMDM, algorithm 1), and the `loop` strategy of the same paper.
fn bernoulli(settings: &SamplerSettings, noise: NoiseSchedule, levels: usize) -> StepTables {
    let steps = settings.steps;
    let eta = f64::from(settings.eta);
    let mut times = Vec::new();
    let mut schedule = Vec::new();
    for i in 0..steps {
        let t = f64::from(steps - i) / f64::from(steps);
        let s = f64::from(steps - i - 1) / f64::from(steps);
        if settings.strategy == RemaskStrategy::Loop {
            let (alpha_t, alpha_s) = (loop_alpha(settings, t), loop_alpha(settings, s));
            let inside = t <= settings.loop_on && t > settings.loop_off;
            let sigma = if inside {
                eta.min(RemaskBernoulli::largest_sigma(alpha_t, alpha_s))
            } else {
                0.0
            };
            times.push(time_of_alpha(noise, alpha_t, levels));
            schedule.extend(RemaskBernoulli::schedule_row(alpha_t, alpha_s, sigma));
            continue;
        }
        let alpha_t = f64::from(noise.alpha_f32(t as f32));
        let alpha_s = f64::from(noise.alpha_f32(s as f32));
        let largest = RemaskBernoulli::largest_sigma(alpha_t, alpha_s);
        let sigma = match settings.strategy {
            RemaskStrategy::Cap => eta.min(largest),
            _ => eta * largest,
        };
        times.push(time_index_remdm(word(levels), i, steps));
        schedule.extend(RemaskBernoulli::schedule_row(alpha_t, alpha_s, sigma));
    }
    StepTables {
        times,
        schedule,
        columns: 3,
    }
}

/// alpha of the `loop` strategy (arXiv 2503.00307, section 4): it rises to `loop_alpha` as t falls to
/// `loop_on`, stays there until `loop_off`, and then rises to 1.
fn loop_alpha(settings: &SamplerSettings, t: f64) -> f64 {
    let (on, off, plateau) = (settings.loop_on, settings.loop_off, settings.loop_alpha);
    if t > on {
        plateau * (1.0 - t) / (1.0 - on)
    } else if t > off {
        plateau
    } else {
        1.0 - t * (1.0 - plateau) / off
    }
}

/// Time index at which the network was trained to see this share of unmasked tokens.
fn time_of_alpha(noise: NoiseSchedule, alpha: f64, levels: usize) -> u32 {
    let quarter_turns = |x: f64| x.clamp(0.0, 1.0).acos() / std::f64::consts::FRAC_PI_2;
    let t = match noise {
        NoiseSchedule::Linear => 1.0 - alpha,
        NoiseSchedule::Cosine => quarter_turns(alpha),
        NoiseSchedule::CosineSquared => quarter_turns(alpha.sqrt()),
    };
    word(((t * levels as f64) as usize).min(levels.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sampler: SamplerKind, steps: u32) -> StepTables {
        let mut settings = SamplerSettings::new(sampler);
        settings.steps = steps;
        StepTables::new(&settings, 64, 100).unwrap()
    }

    #[test]
    fn greedy_counts_and_times_are_those_of_the_original() {
        let five = tables(SamplerKind::Greedy, 5);
        assert_eq!(five.times, [80, 60, 40, 19, 0]);
        let counts: Vec<_> = five.schedule.chunks(2).map(|row| row[0]).collect();
        assert_eq!(counts, [12.0, 25.0, 38.0, 51.0, 64.0]);
        let settings = SamplerSettings::new(SamplerKind::Greedy);
        assert_eq!(five.steps_needed(&settings, 64), 3);
        assert_eq!(five.steps_needed(&settings, 12), 1);
        let ten = tables(SamplerKind::Greedy, 10);
        assert_eq!(ten.times, [90, 80, 70, 60, 50, 40, 30, 19, 9, 0]);
        assert_eq!(ten.steps_needed(&settings, 64), 5);
    }

    #[test]
    fn one_greedy_step_commits_everything() {
        let one = tables(SamplerKind::Greedy, 1);
        assert_eq!(
            (one.times.as_slice(), one.schedule[0]),
            ([0].as_slice(), 64.0)
        );
    }

    #[test]
    fn every_sampler_ends_with_everything_committed() {
        for steps in [1, 2, 7, 10, 100] {
            let maskgit = tables(SamplerKind::MaskgitRemask, steps);
            assert_eq!(maskgit.schedule[maskgit.schedule.len() - 2..], [64.0, 0.0]);
            for strategy in [
                RemaskStrategy::Rescale,
                RemaskStrategy::Cap,
                RemaskStrategy::Conf,
                RemaskStrategy::Loop,
            ] {
                let mut settings = SamplerSettings::new(SamplerKind::RemdmBernoulli);
                (settings.steps, settings.strategy) = (steps, strategy);
                let last = StepTables::new(&settings, 64, 100).unwrap().schedule;
                let [base, gain, sigma] = last[last.len() - 3..] else {
                    panic!("three columns")
                };
                assert!(
                    base + gain * sigma >= 1.0 - 1e-6,
                    "{strategy:?} {steps}: {base} {gain} {sigma}"
                );
            }
        }
    }

    #[test]
    fn the_loop_holds_its_plateau() {
        let mut settings = SamplerSettings::new(SamplerKind::RemdmBernoulli);
        (settings.steps, settings.strategy, settings.eta) = (100, RemaskStrategy::Loop, 0.02);
        assert_eq!(loop_alpha(&settings, 1.0), 0.0);
        assert!((loop_alpha(&settings, 0.55 + 1e-12) - 0.9).abs() < 1e-9);
        assert_eq!(loop_alpha(&settings, 0.3), 0.9);
        assert_eq!(loop_alpha(&settings, 0.0), 1.0);
        let table = StepTables::new(&settings, 64, 100).unwrap();
        let sigmas: Vec<_> = table.schedule.chunks(3).map(|row| row[2]).collect();
        assert_eq!(sigmas.iter().filter(|s| **s > 0.0).count(), 50);
        // On the plateau as many tokens are committed as are remasked: p (1 - alpha) = sigma alpha.
        let row = &table.schedule[60 * 3..61 * 3];
        let p = row[0] + row[1] * row[2];
        assert!((p * 0.1 - 0.02 * 0.9).abs() < 1e-6);
    }
}
