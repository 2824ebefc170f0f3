//! The twin against repeated Gram-Schmidt in double precision, an algorithm of another family.

use super::*;
use crate::Scalar;
use crate::View;
use crate::test_support::{assert_refuses, numbers, run};

/// Sizes that are 1, prime, or one off a block of some variant.
const ROWS: [usize; 14] = [1, 2, 3, 5, 8, 17, 33, 64, 65, 255, 256, 257, 1000, 4099];
const COLUMNS: [usize; 9] = [1, 2, 3, 7, 8, 9, 32, 33, 64];

/// What a run leaves, matrices row after row.
struct Found<T> {
    q: Vec<T>,
    r: Vec<T>,
    log_r: Vec<T>,
    status: Vec<u32>,
}

/// Runs a kernel with all outputs; `w` lies as the kernel says.
fn found<T: Scalar>(kernel: Qr, w: &[T]) -> Found<T> {
    let extents = kernel.extents();
    let mut found = Found {
        q: w.to_vec(),
        r: vec![T::from_f64(9.0); extents[1]],
        log_r: vec![T::from_f64(9.0); extents[2]],
        status: vec![0; extents[3]],
    };
    let views = vec![
        View::FloatMut(&mut found.q),
        View::FloatMut(&mut found.r),
        View::FloatMut(&mut found.log_r),
        View::WordMut(&mut found.status),
    ];
    run(kernel, views).unwrap();
    found
}

/// R of a matrix by Gram-Schmidt with every projection taken three times.
fn exact_r(a: &[f64], n: usize, k: usize) -> Vec<f64> {
    let mut q: Vec<Vec<f64>> = Vec::new();
    let mut r = vec![0.0; k * k];
    for j in 0..k {
        let mut v: Vec<f64> = (0..n).map(|i| a[i * k + j]).collect();
        for _ in 0..3 {
            for (l, q) in q.iter().enumerate() {
                let along: f64 = q.iter().zip(&v).map(|(q, v)| q * v).sum();
                r[l * k + j] += along;
                v.iter_mut().zip(q).for_each(|(v, q)| *v -= along * q);
            }
        }
        let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        r[j * k + j] = length;
        q.push(v.iter().map(|v| v / length).collect());
    }
    r
}

fn length(a: &[f64], k: usize, j: usize) -> f64 {
    let column = a.iter().skip(j).step_by(k);
    let largest = column.clone().fold(0.0f64, |m, v| m.max(v.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    largest * column.map(|v| (v / largest).powi(2)).sum::<f64>().sqrt()
}

/// Asserts that `q` is orthonormal within `orthogonal`, `q r` is `a` within `product` of the lengths of
/// columns, and `r` upper triangular with no negative number on its diagonal.
fn assert_factors(
    what: &str,
    (a, n, k): (&[f64], usize, usize),
    (q, r): (&[f64], &[f64]),
    (orthogonal, product): (f64, f64),
) {
    for x in 0..k {
        for y in 0..=x {
            let sum: f64 = (0..n).map(|i| q[i * k + x] * q[i * k + y]).sum();
            let unit = if x == y { 1.0 } else { 0.0 };
            assert!(
                (sum - unit).abs() <= orthogonal,
                "{what}: {x} on {y}: {sum}"
            );
        }
    }
    for j in 0..k {
        let size = length(a, k, j);
        assert!(r[j * k + j] >= 0.0, "{what}: diagonal {j}");
        assert!((j + 1..k).all(|i| r[i * k + j] == 0.0), "{what}: below {j}");
        for i in 0..n {
            let value: f64 = (0..=j).map(|l| q[i * k + l] * r[l * k + j]).sum();
            let error = (value - a[i * k + j]).abs();
            assert!(
                error <= product * size,
                "{what}: ({i}, {j}) off by {error} of {size}"
            );
        }
    }
}

fn wide<T: Scalar>(x: &[T]) -> Vec<f64> {
    x.iter().map(|v| v.to_f64()).collect()
}

/// Compares with the exact R of matrices without dependent columns.
fn against_exact<T: Scalar>(what: &str, kernel: Qr, w: &[T], tolerance: f64) {
    let (n, k) = (kernel.rows as usize, kernel.columns as usize);
    let result = found(kernel, w);
    let (q, r, a) = (wide(&result.q), wide(&result.r), wide(w));
    for b in 0..kernel.batch as usize {
        let part = b * n * k..(b + 1) * n * k;
        let (a, q) = (&a[part.clone()], &q[part]);
        let r = &r[b * k * k..(b + 1) * k * k];
        let what = format!("{what} {n} x {k}, number {b}");
        assert_factors(&what, (a, n, k), (q, r), (tolerance, tolerance));
        let exact = exact_r(a, n, k);
        for j in 0..k {
            let (found, exact) = (r[j * k + j], exact[j * k + j]);
            let error = (found - exact).abs() / exact;
            // What is found is rounded; the columns' own dependence only enlarges errors of double precision.
            let allowed = T::EPSILON
                .to_f64()
                .max(1e-15 * 64.0 * length(a, k, j) / exact);
            assert!(error <= allowed, "{what}: R_{j}{j} {found} {exact}");
            let log = result.log_r[b * k + j].to_f64();
            let allowed = allowed + T::EPSILON.to_f64() * exact.ln().abs();
            assert!(
                (log - exact.ln()).abs() <= allowed,
                "{what}: log {j}: {log}"
            );
        }
    }
    assert!(result.status.iter().all(|word| *word == 0), "{what}");
}

fn random<T: Scalar>(batch: usize, n: usize, k: usize) -> Vec<T> {
    let numbers = numbers(batch * n * k, (n * 64 + k) as u64);
    numbers.into_iter().map(T::from_f32).collect()
}

fn sizes() -> impl Iterator<Item = (usize, usize)> {
    let pairs = ROWS
        .iter()
        .flat_map(|n| COLUMNS.iter().map(move |k| (*n, *k)));
    pairs.filter(|(n, k)| k <= n)
}

#[test]
fn random_matrices_of_every_size() {
    for (n, k) in sizes() {
        let batch = if n * k < 1000 { 17 } else { 2 };
        let kernel = Qr::contiguous(batch as u32, n as u32, k as u32);
        against_exact("single", kernel, &random::<f32>(batch, n, k), 2e-6);
        against_exact("double", kernel, &random::<f64>(batch, n, k), 2e-14);
    }
}

#[test]
fn graded_and_nearly_parallel_columns() {
    for (n, k) in sizes().filter(|(n, k)| *k > 1 && *n < 1000) {
        let kernel = Qr::contiguous(3, n as u32, k as u32);
        let mut graded: Vec<f64> = random(3, n, k);
        let mut parallel = graded.clone();
        for (index, value) in graded.iter_mut().enumerate() {
            let j = index % k;
            *value *= 2f64.powi(((j * 23) % 55) as i32 - 27);
        }
        for row in parallel.chunks_mut(k) {
            let first = row[0];
            row[1..].iter_mut().for_each(|v| *v = first + 1e-3 * *v);
        }
        let single = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<_>>();
        against_exact("graded", kernel, &single(&graded), 2e-6);
        against_exact("graded", kernel, &graded, 2e-14);
        against_exact("parallel", kernel, &single(&parallel), 2e-6);
        against_exact("parallel", kernel, &parallel, 2e-14);
    }
}

#[test]
fn huge_and_tiny_numbers() {
    for (n, k) in [(3, 2), (8, 8), (65, 7), (257, 33)] {
        let kernel = Qr::contiguous(2, n as u32, k as u32);
        for scale in [1e-20, 1e20, 1e-30, 1e37] {
            let w: Vec<f32> = random::<f32>(2, n, k).iter().map(|v| v * scale).collect();
            against_exact("single", kernel, &w, 2e-6);
        }
        for exponent in [-900, 900] {
            let scale = 2f64.powi(exponent);
            let w: Vec<f64> = random::<f64>(2, n, k).iter().map(|v| v * scale).collect();
            let found = found(kernel, &w);
            let a = random::<f64>(2, n, k);
            let r: Vec<f64> = found.r.iter().map(|v| v / scale).collect();
            let part = (&found.q[..n * k], &r[..k * k]);
            assert_factors("double", (&a[..n * k], n, k), part, (2e-14, 2e-14));
        }
    }
}

/// Matrices of a rank: later columns are sums of the first ones, every other one zero.
fn of_rank<T: Scalar>(batch: usize, n: usize, k: usize, rank: usize) -> Vec<T> {
    let mut w = random::<T>(batch, n, k);
    for row in w.chunks_mut(k) {
        for j in rank..k {
            let sum = row[j % rank] + T::from_f64(0.5) * row[(j + 1) % rank];
            row[j] = if j % 2 == 0 { sum } else { T::ZERO };
        }
    }
    w
}

fn dependent_columns<T: Scalar>(orthogonal: f64, product: f64) {
    for (n, k) in sizes().filter(|(n, k)| *k > 1 && *n < 2000) {
        for rank in [1, 2, k - 1].into_iter().filter(|rank| *rank < k) {
            let kernel = Qr::contiguous(3, n as u32, k as u32);
            let w = of_rank::<T>(3, n, k, rank);
            let result = found(kernel, &w);
            for b in 0..3 {
                let part = b * n * k..(b + 1) * n * k;
                let what = format!("{n} x {k} of rank {rank}");
                let (a, q) = (wide(&w[part.clone()]), wide(&result.q[part]));
                let r = wide(&result.r[b * k * k..(b + 1) * k * k]);
                assert_factors(&what, (&a, n, k), (&q, &r), (orthogonal, product));
                assert_eq!(
                    result.status[2 * b..2 * b + 2],
                    [(k - rank) as u32, 0],
                    "{what}"
                );
                for j in rank..k {
                    let log = result.log_r[b * k + j].to_f64();
                    let zero = j % 2 == 1;
                    assert!(r[j * k + j] == 0.0, "{what}");
                    assert!(log >= 1e-30f64.ln() - 1e-5 && log < -11.0, "{what}: {log}");
                    assert!(!zero || (log - 1e-30f64.ln()).abs() < 1e-5, "{what}: {log}");
                }
            }
        }
    }
}

#[test]
fn dependent_columns_are_replaced() {
    dependent_columns::<f32>(2e-6, 1.5e-6);
    dependent_columns::<f64>(2e-14, 2e-14);
}

#[test]
fn replacements_follow_seed_step_and_example_alone() {
    for (n, k) in [(5, 3), (65, 9), (600, 4)] {
        let w = of_rank::<f32>(4, n, k, 1);
        let kernel = Qr::contiguous(4, n as u32, k as u32);
        let whole = found(kernel.with_seed(7, 10), &w);
        let part = Qr { batch: 1, ..kernel }.with_seed(7, 12);
        let own = found(part, &w[2 * n * k..3 * n * k]);
        assert_eq!(own.q, whole.q[2 * n * k..3 * n * k]);
        for other in [
            kernel.with_seed(8, 10),
            kernel.with_seed(7, 11),
            kernel.with_seed(7, 10).at_step(1),
            Qr {
                stream: 1,
                ..kernel.with_seed(7, 10)
            },
        ] {
            assert_ne!(found(other, &w).q, whole.q);
        }
    }
}

#[test]
fn a_matrix_gives_the_same_bits_in_any_batch_and_layout() {
    for (n, k) in [
        (1, 1),
        (3, 2),
        (8, 8),
        (17, 7),
        (64, 33),
        (257, 8),
        (1000, 3),
        (4099, 5),
    ] {
        for batch in [2, 16, 17, 1000]
            .into_iter()
            .filter(|b| b * n * k < 1 << 20)
        {
            let kernel = Qr::contiguous(batch as u32, n as u32, k as u32);
            let w = random::<f32>(batch, n, k);
            let whole = found(kernel, &w);
            for b in [0, batch / 2, batch - 1] {
                let part = b * n * k..(b + 1) * n * k;
                let own = found(Qr { batch: 1, ..kernel }, &w[part.clone()]);
                assert_eq!(own.q, whole.q[part], "{n} x {k}, {b} of {batch}");
                assert_eq!(own.r, whole.r[b * k * k..(b + 1) * k * k]);
                assert_eq!(own.log_r, whole.log_r[b * k..(b + 1) * k]);
            }
            let tangents = Qr {
                offset: 3,
                flags: 7,
                ..Qr::tangents(batch as u32, n as u32, k as u32)
            };
            let at = |b, i, j| 3 + j * batch * n + b * n + i;
            let mut turned = vec![5.0f32; tangents.extents()[0] + 2];
            for (index, value) in w.iter().enumerate() {
                let (b, i, j) = (index / (n * k), index / k % n, index % k);
                turned[at(b, i, j)] = *value;
            }
            let other = found(tangents, &turned);
            assert_eq!((&other.r, &other.log_r), (&whole.r, &whole.log_r));
            for (index, value) in whole.q.iter().enumerate() {
                let (b, i, j) = (index / (n * k), index / k % n, index % k);
                assert_eq!(other.q[at(b, i, j)], *value);
            }
            assert_eq!(other.q[..3], [5.0; 3]);
            assert_eq!(other.q[other.q.len() - 2..], [5.0; 2]);
        }
    }
}

#[test]
fn what_lies_between_the_elements_of_a_strided_matrix_stays() {
    // Lanes, a block of rows, and rows for several threads.
    for (batch, n, k) in [(3, 40, 5), (3, 90, 5), (2, 4200, 5)] {
        let plain = Qr::contiguous(batch as u32, n as u32, k as u32);
        let w = random::<f32>(batch, n, k);
        let apart = 11 * n + 10;
        let spread = Qr {
            offset: 1,
            column_stride: 2,
            row_stride: 11,
            batch_stride: apart as u32,
            ..plain
        };
        let at = |index: usize| 1 + index / (n * k) * apart + index / k % n * 11 + index % k * 2;
        let mut held = vec![5.0f32; spread.extents()[0]];
        w.iter().enumerate().for_each(|(i, v)| held[at(i)] = *v);
        let (found_spread, expected) = (found(spread, &held), found(plain, &w));
        let mut exact = vec![5.0f32; held.len()];
        let values = expected.q.iter().enumerate();
        values.for_each(|(i, v)| exact[at(i)] = *v);
        assert_eq!(found_spread.q, exact);
    }
}

#[test]
fn matrices_that_are_not_finite_are_marked_and_alone() {
    for (n, k) in [(1, 1), (8, 8), (40, 3), (257, 8), (66, 64)] {
        let kernel = Qr::contiguous(20, n as u32, k as u32);
        let good = random::<f32>(20, n, k);
        let clean = found(kernel, &good);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut w = good.clone();
            w[4 * n * k - 1] = bad;
            let result = found(kernel, &w);
            for b in 0..20 {
                let flag = u32::from(b == 3);
                assert_eq!(result.status[2 * b..2 * b + 2], [0, flag], "{n} x {k}");
                let part = b * n * k..(b + 1) * n * k;
                if b == 3 {
                    assert!(result.q[part].iter().all(|v| v.is_nan()));
                    assert!(
                        result.r[b * k * k..(b + 1) * k * k]
                            .iter()
                            .all(|v| v.is_nan())
                    );
                    assert!(result.log_r[b * k..(b + 1) * k].iter().all(|v| v.is_nan()));
                } else {
                    assert_eq!(result.q[part.clone()], clean.q[part]);
                }
            }
        }
    }
}

#[test]
fn an_orbit_records_a_history_at_the_steps_that_are_due() {
    let kernel = Qr {
        every: 3,
        log_offset: 2,
        log_step_stride: 10,
        ..Qr::contiguous(2, 4, 3)
    };
    let w = random::<f64>(2, 4, 3);
    for step in 0..7 {
        let at = kernel.at_step(step);
        let result = found(at, &w);
        if step % 3 != 2 {
            assert_eq!(result.q, w);
            continue;
        }
        let start = 2 + 10 * (step as usize / 3);
        assert_eq!(at.extents()[2], start + 6);
        assert!(result.log_r[..start].iter().all(|v| *v == 9.0));
        assert_eq!(
            result.log_r[start..],
            found(Qr::contiguous(2, 4, 3), &w).log_r
        );
    }
}

#[test]
fn refuses_what_it_is_not_defined_for() {
    let good = Qr::contiguous(2, 7, 3);
    assert!(good.check().is_ok());
    for parameter in ["batch", "rows", "columns", "every"] {
        let mut bad = good;
        match parameter {
            "batch" => bad.batch = 0,
            "rows" => bad.rows = 0,
            "columns" => bad.columns = 0,
            _ => bad.every = 0,
        }
        assert_refuses(bad, parameter);
    }
    assert_refuses(Qr::contiguous(2, 7, 8), "columns");
    assert_refuses(Qr::contiguous(2, 100, 65), "columns");
    assert_refuses(Qr { flags: 8, ..good }, "flags");
    assert_refuses(
        Qr {
            column_stride: 0,
            ..good
        },
        "batch_stride",
    );
    assert_refuses(Qr::contiguous(u32::MAX, 7, 3), "batch");
}
