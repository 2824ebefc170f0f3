//! Exponents of reasoners: the same whatever the batch, the granularity and the device.

use super::{CASES, reasoner, tokens};
use attractor::device::Device;
use attractor::models::recursive::Granularity;
use attractor::samplers::recursive::{ExponentSettings, Exponents, Reasoner, SolveRequest};

const STEPS: usize = 3;
const COLUMNS: usize = 5;

fn measure(
    reasoner: &mut Reasoner,
    tokens: &[u32],
    (first, batch): (u32, Option<usize>),
    granularity: Granularity,
) -> Exponents {
    let puzzles = vec![0; tokens.len() / reasoner.config().seq_len];
    let request = SolveRequest {
        puzzles: &puzzles,
        steps: STEPS,
        batch,
        ..SolveRequest::new(tokens, reasoner.config())
    };
    let settings = ExponentSettings {
        first_example: first,
        keep_tangents: true,
        ..ExponentSettings::new(COLUMNS, granularity, 11)
    };
    reasoner.exponents(&request, &settings).unwrap()
}

/// Every number of an example, in batches of 1, 2, 3 and 5 and on its own.
fn check_batches(device: &Device, cases: &[&str]) {
    for case in cases {
        let mut reasoner = reasoner(case, device);
        let cells = reasoner.config().seq_len;
        let tokens = tokens(reasoner.config(), 5);
        let all = measure(&mut reasoner, &tokens, (0, Some(5)), Granularity::Sub);
        assert!(all.invalid.is_empty() && all.log_r.iter().all(|log| log.is_finite()));
        for batch in [1, 2, 3] {
            let cut = measure(&mut reasoner, &tokens, (0, Some(batch)), Granularity::Sub);
            assert_eq!(cut.log_r, all.log_r, "{case} in batches of {batch}");
            assert_eq!(cut.tangents, all.tangents, "{case} in batches of {batch}");
            assert_eq!(cut.solutions.drift_h, all.solutions.drift_h, "{case}");
        }
        // On its own it is the same example by its number alone.
        let third = &tokens[2 * cells..3 * cells];
        let alone = measure(&mut reasoner, third, (2, None), Granularity::Sub);
        let size = all.events * COLUMNS;
        assert_eq!(alone.log_r, all.log_r[2 * size..3 * size], "{case}");
        let other = measure(&mut reasoner, third, (3, None), Granularity::Sub);
        assert_ne!(
            other.log_r, alone.log_r,
            "{case}: its first tangents are its own"
        );
    }
}

#[test]
fn exponents_do_not_depend_on_the_batch() {
    check_batches(&Device::cpu(), &CASES);
    check_batches(&Device::cpu_f64(), &CASES[..1]);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn exponents_do_not_depend_on_the_batch_on_a_gpu() {
    let gpu = Device::wgpu("").expect("an adapter; ./scripts/test installs a software one");
    check_batches(&gpu, &["hrm_learned", "trm_tiny_full"]);
}

#[test]
fn sums_do_not_depend_on_the_granularity() {
    for case in CASES {
        let mut reasoner = reasoner(case, &Device::cpu_f64());
        let tokens = tokens(reasoner.config(), 2);
        let mut sums = Vec::new();
        for granularity in [Granularity::Sub, Granularity::Lstep, Granularity::Step] {
            let found = measure(&mut reasoner, &tokens, (0, None), granularity);
            let per_step = found.events / STEPS;
            assert_eq!(found.events % STEPS, 0, "{case}");
            assert_eq!(per_step == 1, granularity == Granularity::Step, "{case}");
            let total = (0..2).flat_map(|example| found.of(example));
            sums.push(
                total
                    .map(|mean| mean * found.events as f64)
                    .collect::<Vec<f64>>(),
            );
        }
        for coarse in &sums[1..] {
            for (fine, coarse) in sums[0].iter().zip(coarse) {
                assert!((fine - coarse).abs() < 1e-10, "{case}: {fine} {coarse}");
            }
        }
    }
}

/// Largest difference of logarithms over the first step, where chaos has not parted the precisions yet.
fn check_device(device: &Device, allowed: f64) {
    for case in ["hrm_learned", "trm_tiny_full"] {
        let (mut exact, mut found) = (reasoner(case, &Device::cpu_f64()), reasoner(case, device));
        let tokens = tokens(exact.config(), 2);
        let exact = measure(&mut exact, &tokens, (0, None), Granularity::Sub);
        let found = measure(&mut found, &tokens, (0, None), Granularity::Sub);
        let first = exact.events / STEPS * COLUMNS;
        let pairs = exact.log_r.chunks(exact.events * COLUMNS);
        let pairs = pairs.zip(found.log_r.chunks(exact.events * COLUMNS));
        let differences = pairs.flat_map(|(e, f)| e[..first].iter().zip(&f[..first]));
        let worst = differences.map(|(e, f)| (e - f).abs()).fold(0.0, f64::max);
        println!("{case}: largest difference of ln R from double precision {worst:.1e}");
        assert!(worst < allowed, "{case}: {worst}");
    }
}

#[test]
fn the_cpu_keeps_the_contract_of_single_precision() {
    check_device(&Device::cpu(), 2e-5);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_gpu_keeps_the_contract_of_single_precision() {
    let gpu = Device::wgpu("").expect("an adapter; ./scripts/test installs a software one");
    check_device(&gpu, 2e-5);
}

#[test]
fn work_of_a_tangent_is_that_of_a_forward_pass_at_most() {
    for case in CASES {
        let mut reasoner = reasoner(case, &Device::cpu());
        let tokens = tokens(reasoner.config(), 2);
        let puzzles = [0, 0];
        let request = SolveRequest {
            puzzles: &puzzles,
            steps: 16,
            batch: Some(2),
            ..SolveRequest::new(&tokens, reasoner.config())
        };
        let settings = ExponentSettings::new(8, Granularity::Sub, 0);
        let (with, _) = reasoner.exponents_summary(&request, &settings).unwrap();
        let forward = reasoner.plan(&request).unwrap().summary(16);
        let ratio = with.cost.flops as f64 / forward.cost.flops as f64;
        // Small models have little work beside the attention and the QR, whose share falls with the width.
        assert!(ratio < 9.0 * 1.35, "{case}: {ratio}");
        // What is held does not grow with the steps but for the readouts.
        let short = SolveRequest {
            steps: 1,
            ..request
        };
        let (short, _) = reasoner.exponents_summary(&short, &settings).unwrap();
        let readouts = 15 * 2 * 4 * 4;
        let growth = with.working_bytes - short.working_bytes;
        assert!(
            growth <= 4 * readouts,
            "{case}: {growth} bytes for 15 steps more"
        );
    }
}

#[test]
fn bad_settings_are_refused() {
    let mut reasoner = reasoner("trm_tiny_full", &Device::cpu());
    let dimension = reasoner.config().dimension();
    let tokens = tokens(reasoner.config(), 2);
    let mut refused = |steps: usize, columns: usize, start: Option<&[f64]>, words: &str| {
        let request = SolveRequest {
            steps,
            ..SolveRequest::new(&tokens, reasoner.config())
        };
        let settings = ExponentSettings {
            start,
            ..ExponentSettings::new(columns, Granularity::Sub, 0)
        };
        let error = reasoner
            .exponents(&request, &settings)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(0, 1, None, "steps");
    refused(1, 0, None, "tangent vectors k");
    refused(1, dimension + 1, None, "tangent vectors k");
    refused(1, 65, None, "columns");
    refused(1, 2, Some(&[1.0, 0.0]), "first tangents");
    let bad = vec![f64::NAN; 2 * dimension];
    refused(1, 1, Some(&bad), "finite");
}
