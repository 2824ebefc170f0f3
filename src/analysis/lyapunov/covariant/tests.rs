use super::*;

/// Q and R of an orbit with the Jacobians `jacobian(t)`, `[n, n]`, from the first `k` axes, slightly
/// turned so that nothing starts aligned.
fn measured(
    events: usize,
    (n, k): (usize, usize),
    jacobian: impl Fn(usize) -> Vec<f64>,
) -> (Vec<f64>, Vec<f64>) {
    let mut q: Vec<f64> = (0..n * k)
        .map(|at| f64::from(u8::from(at / k == at % k)) + 0.1 * ((at * 7 + 3) as f64).sin())
        .collect();
    factor(&mut q, n, k);
    let (mut bases, mut factors) = (q.clone(), Vec::new());
    for event in 0..events {
        let a = jacobian(event);
        q = (0..n * k)
            .map(|at| {
                let row = &a[at / k * n..(at / k + 1) * n];
                row.iter()
                    .zip(q.iter().skip(at % k).step_by(k))
                    .map(|(a, q)| a * q)
                    .sum()
            })
            .collect();
        factors.extend(factor(&mut q, n, k));
        bases.extend(&q);
    }
    (bases, factors)
}

/// Modified Gram-Schmidt, twice: W becomes Q, R is returned.
fn factor(w: &mut [f64], n: usize, k: usize) -> Vec<f64> {
    let mut r = vec![0.0; k * k];
    for j in 0..k {
        for _ in 0..2 {
            for i in 0..j {
                let along: f64 = (0..n).map(|row| w[row * k + i] * w[row * k + j]).sum();
                r[i * k + j] += along;
                (0..n).for_each(|row| w[row * k + j] -= along * w[row * k + i]);
            }
        }
        let length = (0..n).map(|row| w[row * k + j].powi(2)).sum::<f64>().sqrt();
        r[j * k + j] = length;
        (0..n).for_each(|row| w[row * k + j] /= length);
    }
    r
}

/// `P diag(values) P^-1` for a unit lower triangular P times a unit upper one, and P's unit columns.
fn with_eigenvectors(values: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = values.len();
    let p: Vec<f64> = (0..n * n)
        .map(|at| f64::from(u8::from(at / n == at % n)) + 0.35 * ((at + 1) as f64).cos())
        .collect();
    // Gauss-Jordan with the identity beside it.
    let mut left = p.clone();
    let mut inverse: Vec<f64> = (0..n * n)
        .map(|at| f64::from(u8::from(at / n == at % n)))
        .collect();
    for i in 0..n {
        let pivot = left[i * n + i];
        for j in 0..n {
            left[i * n + j] /= pivot;
            inverse[i * n + j] /= pivot;
        }
        for row in (0..n).filter(|row| *row != i) {
            let factor = left[row * n + i];
            for j in 0..n {
                left[row * n + j] -= factor * left[i * n + j];
                inverse[row * n + j] -= factor * inverse[i * n + j];
            }
        }
    }
    let a = (0..n * n)
        .map(|at| {
            (0..n)
                .map(|m| p[at / n * n + m] * values[m] * inverse[m * n + at % n])
                .sum()
        })
        .collect();
    let vectors = (0..n)
        .map(|j| {
            let column: Vec<f64> = p.iter().skip(j).step_by(n).copied().collect();
            let length = dot(&column, &column).sqrt();
            column.iter().map(|value| value / length).collect()
        })
        .collect();
    (a, vectors)
}

#[test]
fn of_a_linear_map_they_are_the_eigenvectors() {
    let values = [2.0, 1.2, -0.7, 0.3];
    let (a, eigenvectors) = with_eigenvectors(&values);
    for k in [4, 2] {
        let events = 200;
        let (bases, factors) = measured(events, (4, k), |_| a.clone());
        let history = History {
            bases: &bases,
            factors: &factors,
            rows: 4,
            columns: k,
        };
        let found = covariant_vectors(&history, 90..110, 7).unwrap();
        assert_eq!((found.times(), found.start), (20, 90));
        for time in found.vectors.chunks(4 * k) {
            for (j, eigenvector) in eigenvectors.iter().take(k).enumerate() {
                let vector: Vec<f64> = time.iter().skip(j).step_by(k).copied().collect();
                let sign = dot(&vector, eigenvector).signum();
                for (found, expected) in vector.iter().zip(eigenvector) {
                    assert!((found - sign * expected).abs() < 1e-9, "{j}");
                }
            }
        }
        for row in found.growth.chunks(k) {
            for (growth, value) in row.iter().zip(values) {
                assert!((growth - value.abs().ln()).abs() < 1e-9);
            }
        }
        let exponents = found.exponents().unwrap();
        assert!((exponents[0] - 2.0_f64.ln()).abs() < 1e-9);
        let angles = found.angles();
        let expected = dot(&eigenvectors[0], &eigenvectors[1]).abs().acos();
        assert_eq!(angles.len(), 20 * k * (k - 1) / 2);
        assert!((angles[0] - expected).abs() < 1e-9);
        // Of two vectors the splitting is their angle.
        if k == 2 {
            let splitting = found.splitting_angles(1).unwrap();
            assert!((splitting[0] - expected).abs() < 1e-9);
        }
    }
}

#[test]
fn they_are_covariant_under_changing_jacobians() {
    let jacobian = |t: usize| -> Vec<f64> {
        (0..9)
            .map(|at| {
                let diagonal = [1.6, 0.9, 0.4][at / 3] * f64::from(u8::from(at / 3 == at % 3));
                diagonal + 0.3 * ((t * 9 + at) as f64 * 1.3).sin()
            })
            .collect()
    };
    let (bases, factors) = measured(300, (3, 3), jacobian);
    let history = History {
        bases: &bases,
        factors: &factors,
        rows: 3,
        columns: 3,
    };
    let found = covariant_vectors(&history, 100..201, 1).unwrap();
    for time in 100..200 {
        let at = |time: usize, j: usize| -> Vec<f64> {
            let vectors = &found.vectors[(time - 100) * 9..(time - 99) * 9];
            vectors.iter().skip(j).step_by(3).copied().collect()
        };
        let a = jacobian(time);
        for j in 0..3 {
            let v = at(time, j);
            let image: Vec<f64> = a.chunks(3).map(|row| dot(row, &v)).collect();
            let growth = found.growth[(time - 100) * 3 + j];
            let next = at(time + 1, j);
            for (image, next) in image.iter().zip(&next) {
                assert!((image - growth.exp() * next).abs() < 1e-12, "{time} {j}");
            }
        }
    }
    // The same vectors whatever the start of the recursion, once it has converged.
    let other = covariant_vectors(&history, 100..201, 2).unwrap();
    let largest = found.vectors.iter().zip(&other.vectors);
    let largest = largest.fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(largest < 1e-9, "{largest}");
    let whole = covariant_vectors(&history, 0..301, 1).unwrap();
    assert!(whole.growth[900..].iter().all(|value| value.is_nan()));
    assert!(
        whole
            .exponents()
            .unwrap()
            .iter()
            .all(|value| value.is_finite())
    );
    assert_eq!(
        covariant_vectors(&history, 300..301, 1)
            .unwrap()
            .exponents(),
        None
    );
}

#[test]
fn small_splittings_keep_their_digits() {
    for angle in [1e-12_f64, 1e-5, 0.3, 1.5] {
        // Two vectors this far from the plane of the first two axes' first, in a space of four.
        let c = [
            1.0,
            0.2,
            angle.cos(),
            0.0, //
            0.0,
            1.0,
            0.0,
            0.6, //
            0.0,
            0.0,
            angle.sin(),
            0.0, //
            0.0,
            0.0,
            0.0,
            0.8,
        ];
        let found = splitting_angle(&c, 4, 2);
        let expected = angle.min(0.8_f64.asin());
        assert!((found / expected - 1.0).abs() < 1e-6, "{angle}: {found}");
    }
}

#[test]
fn bad_histories_are_refused() {
    let (bases, factors) = measured(5, (3, 2), |_| with_eigenvectors(&[2.0, 1.0, 0.5]).0);
    let good = History {
        bases: &bases,
        factors: &factors,
        rows: 3,
        columns: 2,
    };
    assert!(covariant_vectors(&good, 0..6, 0).is_ok());
    for window in [0..7, 3..3, 6..7, 0..usize::MAX] {
        assert!(covariant_vectors(&good, window, 0).is_err());
    }
    for bad in [
        History { rows: 1, ..good },
        History { columns: 0, ..good },
        History {
            rows: usize::MAX,
            ..good
        },
        History {
            columns: usize::MAX,
            rows: usize::MAX,
            ..good
        },
        History {
            bases: &bases[1..],
            ..good
        },
        History {
            factors: &factors[1..],
            ..good
        },
        History {
            factors: &[],
            ..good
        },
    ] {
        let error = covariant_vectors(&bad, 0..6, 0).unwrap_err();
        assert!(matches!(error, LyapunovError::Shape { .. }), "{error}");
    }
    let with = |at: usize, value: f64| {
        let mut factors = factors.clone();
        factors[at] = value;
        let bad = History {
            factors: &factors,
            ..good
        };
        covariant_vectors(&bad, 0..6, 0).unwrap_err()
    };
    assert_eq!(
        with(7, 0.0),
        LyapunovError::Singular {
            event: 1,
            column: 1
        }
    );
    assert!(matches!(
        with(2, f64::NAN),
        LyapunovError::NotFinite { event: 0, .. }
    ));
    let found = covariant_vectors(&good, 0..6, 0).unwrap();
    assert!(found.splitting_angles(0).is_err() && found.splitting_angles(2).is_err());
}
