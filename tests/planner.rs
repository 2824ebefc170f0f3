//! The trained planner on recorded observations: the same seed gives the same bits, run to run, alone
//! or in any batch, on any number of threads; savings change nothing.

mod common;

use attractor::device::Device;
use attractor::samplers::{
    Observations, PlanRequest, Planner, RemaskStrategy, SamplerKind, SamplerSettings,
};
use common::trained::{observations, planner, settings};

const SEED: u64 = 0x1234_5678_9abc;

/// Tokens and the bits of the logits of every step, example by example.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    tokens: Vec<i32>,
    logits: Vec<u64>,
}

/// Plans examples `numbers` of a job in one request.
fn plan(
    planner: &mut Planner,
    settings: &SamplerSettings,
    job: &Observations,
    numbers: std::ops::Range<usize>,
) -> Vec<Outcome> {
    let part = job.slice(numbers.clone());
    let request = PlanRequest {
        first_example: numbers.start as u32,
        record: true,
        ..PlanRequest::new(&part, SEED)
    };
    let plans = planner.plan(settings, &request).expect("plans");
    assert!(plans.tokens.iter().all(|token| (0..12).contains(token)));
    let trace = plans.trace.as_ref().expect("a trace");
    let logits = &trace["logits"];
    let width: usize = logits.shape[2..].iter().product();
    let steps = logits.shape[0];
    assert_eq!(logits.shape[1], part.count);
    (0..part.count)
        .map(|example| Outcome {
            tokens: plans.plan(example).to_vec(),
            logits: (0..steps)
                .flat_map(|step| &logits.step(step)[example * width..(example + 1) * width])
                .map(|v| v.to_bits())
                .collect(),
        })
        .collect()
}

fn assert_same(what: &str, whole: &[Outcome], found: &[Outcome]) {
    assert_eq!(whole.len(), found.len(), "{what}");
    for (example, (a, b)) in whole.iter().zip(found).enumerate() {
        assert!(a.logits == b.logits, "{what}: logits of example {example}");
        assert!(a.tokens == b.tokens, "{what}: plan of example {example}");
    }
}

fn check(device: &Device, every: &[SamplerSettings], count: usize, sizes: &[usize]) {
    let job = observations().slice(100..100 + count);
    let mut planner = planner(device);
    for settings in every {
        let whole = plan(&mut planner, settings, &job, 0..count);
        let again = plan(&mut planner, settings, &job, 0..count);
        assert_same(&format!("{settings:?} run to run"), &whole, &again);
        let different = whole.iter().any(|o| o.tokens != whole[0].tokens);
        assert!(different, "{settings:?}: all plans are the same");
        for &size in sizes {
            let mut parts = Vec::new();
            for first in (0..count).step_by(size) {
                let end = count.min(first + size);
                parts.extend(plan(&mut planner, settings, &job, first..end));
            }
            assert_same(
                &format!("{settings:?} in batches of {size}"),
                &whole,
                &parts,
            );
        }
    }
}

/// A whole batch twice, and a few of its examples alone, in twos and in sevens: what a software driver
/// can do of [`check`] over a large batch.
fn check_inside(device: &Device, settings: &SamplerSettings, count: usize) {
    let job = observations().slice(100..100 + count);
    let mut planner = planner(device);
    let whole = plan(&mut planner, settings, &job, 0..count);
    let again = plan(&mut planner, settings, &job, 0..count);
    assert_same(&format!("{count} run to run"), &whole, &again);
    for part in [
        0..1,
        41..42,
        count - 1..count,
        40..42,
        35..42,
        count - 7..count,
    ] {
        let found = plan(&mut planner, settings, &job, part.clone());
        assert_same(&format!("{part:?} of {count}"), &whole[part], &found);
    }
}

fn every_sampler(steps: u32) -> Vec<SamplerSettings> {
    let strategies = [
        RemaskStrategy::Rescale,
        RemaskStrategy::Cap,
        RemaskStrategy::Conf,
        RemaskStrategy::Loop,
    ];
    let mut all = vec![settings(SamplerKind::Greedy, steps)];
    for sampler in [SamplerKind::MaskgitRemask, SamplerKind::RemdmBernoulli] {
        for strategy in strategies {
            let mut settings = settings(sampler, steps);
            settings.strategy = strategy;
            // Much remasking, so that every branch is taken.
            settings.eta = 0.8;
            if settings.check().is_ok() {
                all.push(settings);
            }
        }
    }
    assert_eq!(all.len(), 8);
    all
}

#[test]
fn bits_do_not_depend_on_the_batch_on_the_cpu() {
    check(&Device::cpu(), &every_sampler(3), 64, &[1, 2, 7]);
}

#[test]
fn bits_do_not_depend_on_the_batch_in_double_precision() {
    let settings = [settings(SamplerKind::RemdmBernoulli, 2)];
    check(&Device::cpu_f64(), &settings, 16, &[1, 2, 7]);
    check_inside(&Device::cpu_f64(), &settings[0], 64);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn bits_do_not_depend_on_the_batch_on_a_gpu() {
    let mut strong = settings(SamplerKind::RemdmBernoulli, 2);
    strong.eta = 0.8;
    check_inside(&common::gpu(), &strong, 64);
    check(&common::gpu(), &[strong], 16, &[1, 2, 7]);
    let maskgit = settings(SamplerKind::MaskgitRemask, 2);
    check(&common::gpu(), &[maskgit], 9, &[7]);
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let job = observations().slice(0..21);
    let settings = settings(SamplerKind::RemdmBernoulli, 3);
    let outcome = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool").install(|| {
            // Alone, an example spreads over the threads; in a batch, examples share them out.
            let mut planner = planner(&Device::cpu());
            let mut all = plan(&mut planner, &settings, &job, 0..21);
            all.extend(plan(&mut planner, &settings, &job, 3..4));
            all
        })
    };
    let one = outcome(1);
    assert_same("alone", &one[3..4], &one[21..]);
    for threads in [2, 3] {
        assert_same(&format!("{threads} threads"), &one, &outcome(threads));
    }
}

#[test]
fn shards_make_up_the_whole() {
    let job = observations().slice(40..70);
    let mut planner = planner(&Device::cpu());
    let settings = settings(SamplerKind::MaskgitRemask, 4);
    let whole = plan(&mut planner, &settings, &job, 0..30);
    let mut shards = Vec::new();
    for range in [0..11, 11..12, 12..30] {
        shards.extend(plan(&mut planner, &settings, &job, range));
    }
    assert_same("shards", &whole, &shards);
    // Under other numbers the examples draw other numbers.
    let elsewhere = PlanRequest {
        first_example: 1000,
        ..PlanRequest::new(&job, SEED)
    };
    let plans = planner.plan(&settings, &elsewhere).expect("plans");
    let moved = (0..30).filter(|&example| plans.plan(example) != whole[example].tokens);
    assert!(moved.count() > 0, "example numbers are of no effect");
}

/// What a trace is of: it ends in the plan, starts masked, and each step starts where one ended.
#[test]
fn a_trace_is_of_the_run() {
    let job = observations().slice(0..10);
    let mut planner = planner(&Device::cpu());
    for settings in every_sampler(6) {
        let request = PlanRequest {
            record: true,
            ..PlanRequest::new(&job, 5)
        };
        let plans = planner.plan(&settings, &request).expect("plans");
        let trace = plans.trace.as_ref().expect("a trace");
        let (before, after) = (&trace["tokens_in"], &trace["tokens_out"]);
        let steps = before.shape[0];
        assert!(steps >= 6);
        assert!(before.step(0).iter().all(|&token| token == 12.0));
        for step in 1..steps {
            assert_eq!(before.step(step), after.step(step - 1), "{settings:?}");
        }
        let tokens: Vec<f64> = plans.tokens.iter().map(|&t| f64::from(t)).collect();
        assert_eq!(after.step(steps - 1), tokens, "{settings:?}");
        let probabilities = &trace["probabilities"];
        for step in 0..steps {
            for row in probabilities.step(step).chunks_exact(12) {
                let sum: f64 = row.iter().sum();
                assert!((sum - 1.0).abs() < 1e-5, "{settings:?} step {step}: {sum}");
            }
        }
    }
}

/// Greedy stops when everything is committed; a recorded run goes on to the end.
#[test]
fn early_exit_and_locked_prefixes_change_nothing() {
    let job = observations().slice(200..212);
    let mut planner = planner(&Device::cpu());
    let length = planner.config().seq_len;
    for prefix in [0usize, 1, 5, length - 1, length] {
        let actions: Vec<Vec<i32>> = (0..12)
            .map(|example| {
                // Of two examples in three only, so that the shortest prefix is shorter.
                let own = if example % 3 == 0 { prefix / 2 } else { prefix };
                (0..own)
                    .map(|place| ((place * 5 + example) % 12) as i32)
                    .collect()
            })
            .collect();
        for mut settings in every_sampler(9) {
            settings.steps = 9;
            let request = PlanRequest {
                locked: Some(&actions),
                ..PlanRequest::new(&job, 8)
            };
            let short = planner.plan(&settings, &request).expect("plans");
            let recorded = PlanRequest {
                record: true,
                ..request
            };
            let full = planner.plan(&settings, &recorded).expect("plans");
            assert_eq!(short.tokens, full.tokens, "{settings:?} prefix {prefix}");
            for (example, locked) in actions.iter().enumerate() {
                assert_eq!(&short.plan(example)[..locked.len()], locked, "{settings:?}");
            }
            if settings.sampler == SamplerKind::Greedy {
                assert!(short.report.steps < full.report.steps, "nothing was saved");
                assert!(short.report.dispatches < full.report.dispatches);
            }
        }
    }
}
