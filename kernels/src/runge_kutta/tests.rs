//! The sum against plain loops in double precision.

use super::*;
use crate::View;
use crate::test_support::{assert_close, assert_refuses, numbers, run, widen};

fn view<T>(x: &[T]) -> View<'_, T> {
    match x.is_empty() {
        true => View::Absent,
        false => View::Float(x),
    }
}

/// A sum with gaps between stages, in both precisions, against its definition.
fn against_the_formula(kernel: RungeKutta, coefficients: &[Rational]) {
    let extents = kernel.extents();
    let [x, mut k, sizes, start] = [0, 1, 2, 3].map(|i| numbers(extents[i], 7 + i as u64));
    let (width, stride) = (kernel.width as usize, kernel.stage_stride as usize);
    let base = if kernel.has(RungeKutta::X) {
        &x
    } else {
        &start
    };
    let expected: Vec<f64> = (0..start.len())
        .map(|at| {
            let term = |(i, (n, d)): (usize, &Rational)| match *n {
                0 => 0.0,
                n => f64::from(n) * f64::from(k[i * stride + at]) / f64::from(*d),
            };
            let sum: f64 = coefficients.iter().enumerate().map(term).sum();
            let h = match kernel.has(RungeKutta::PER_ROW) {
                true => f64::from(sizes[at / width]),
                false => 1.0 / f64::from(kernel.steps),
            };
            f64::from(base[at]) + h * sum
        })
        .collect();
    for (stage, (numerator, _)) in coefficients.iter().enumerate() {
        if *numerator == 0 {
            k[stage * stride..][..start.len()].fill(f32::NAN);
        }
    }
    let mut single = start.clone();
    let views = vec![
        view(&x),
        View::Float(&k),
        view(&sizes),
        View::FloatMut(&mut single),
    ];
    run(kernel, views).unwrap();
    assert_close(&single, &expected, 2e-6, "single");
    let (x, k, sizes, mut double) = (widen(&x), widen(&k), widen(&sizes), widen(&start));
    let views = vec![
        view(&x),
        View::Float(&k),
        view(&sizes),
        View::FloatMut(&mut double),
    ];
    run(kernel, views).unwrap();
    for (found, expected) in double.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-13 * (1.0 + expected.abs()));
    }
}

#[test]
fn every_line_of_every_method_is_its_formula() {
    for tableau in TABLEAUS {
        let lines = tableau.stages.iter().copied().filter(|row| !row.is_empty());
        for line in lines.chain([tableau.weights]) {
            for (rows, width) in [(1, 1), (3, 7), (5, 65), (131, 257)] {
                for flags in 0..4 {
                    let kernel = RungeKutta::combination(rows, width, line, 13);
                    let stage_stride = kernel.stage_stride + 5;
                    let kernel = RungeKutta {
                        flags,
                        stage_stride,
                        ..kernel
                    };
                    against_the_formula(kernel, line);
                }
            }
        }
    }
}

#[test]
fn a_row_is_the_same_bits_in_any_batch() {
    let line = DORMAND_PRINCE.weights;
    let make = |rows: u32| {
        RungeKutta::combination(rows, 70, line, 9)
            .per_row()
            .in_place()
    };
    let (many, one) = (make(300), make(1));
    let [k, sizes, start] = [1, 2, 3].map(|i| numbers(many.extents()[i], i as u64));
    let mut all = start.clone();
    let views = vec![
        View::Absent,
        View::Float(&k),
        View::Float(&sizes),
        View::FloatMut(&mut all),
    ];
    run(many, views).unwrap();
    for row in [0, 1, 299] {
        let own: Vec<f32> = (0..7)
            .flat_map(|i| k[(i * 300 + row) * 70..][..70].to_vec())
            .collect();
        let mut alone = start[row * 70..][..70].to_vec();
        let sizes = &sizes[row..=row];
        let views = vec![
            View::Absent,
            View::Float(&own),
            View::Float(sizes),
            View::FloatMut(&mut alone),
        ];
        run(one, views).unwrap();
        assert_eq!(alone, all[row * 70..][..70]);
    }
}

#[test]
fn refuses_what_it_is_not_defined_for() {
    let good = RungeKutta::combination(2, 3, RK4.weights, 4);
    assert!(good.check().is_ok());
    assert_refuses(RungeKutta { rows: 0, ..good }, "rows");
    assert_refuses(RungeKutta { width: 0, ..good }, "width");
    assert_refuses(RungeKutta { steps: 0, ..good }, "steps");
    assert_refuses(RungeKutta { flags: 4, ..good }, "flags");
    let stage_stride = 5;
    assert_refuses(
        RungeKutta {
            stage_stride,
            ..good
        },
        "stage_stride",
    );
    let stage_stride = u32::MAX;
    assert_refuses(
        RungeKutta {
            stage_stride,
            ..good
        },
        "stage_stride",
    );
    assert_refuses(
        RungeKutta {
            numerator_4: 1,
            ..good
        },
        "numerator_4",
    );
    let denominator_2 = 0;
    assert_refuses(
        RungeKutta {
            denominator_2,
            ..good
        },
        "denominator_2",
    );
    let denominator_5 = -1;
    assert_refuses(
        RungeKutta {
            denominator_5,
            ..good
        },
        "denominator_5",
    );
    assert_refuses(RungeKutta::combination(2, 3, &[], 4), "stages");
    assert_refuses(RungeKutta::combination(2, 3, &[(1, 8); 8], 4), "stages");
}
