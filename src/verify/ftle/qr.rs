//! Cases of one file of `qr` goldens: the factors of many matrices, of full rank or less.
//!
//! A case of full rank names its shape (`batch`, `m`, `n`) and has tensors A, Q and R; one of lesser rank
//! names the rank of every matrix (`true_rank`) and has A alone, since Q is then not unique.

use super::super::checks::{CaseError, Cases, Checks};
use super::super::folder::{Folder, Node, numbers, wide};
use crate::device::{Device, Precision};
use crate::formats::ArrayMap;
use crate::orbit::{QrResult, batched_qr};

/// A column that keeps less of its length counts as dependent in single precision.
const DEPENDENT: f64 = 1e-6;
/// Errors of logarithms that are allowed, over those that the golden states of single precision.
const BUDGET: f64 = 10.0;
/// Numbers that a case may have; more are mistakes or attacks.
const MOST_NUMBERS: usize = 1 << 26;

/// What a device is held to.
#[derive(Debug, Clone, Copy)]
struct Tolerance {
    /// Largest difference of Q' Q from the identity.
    orthogonality: f64,
    /// Largest difference of Q R from A, as a share of the length of the column.
    product: f64,
    /// Relative error of an element of R.
    relative: f64,
    /// Error of an element of R as a share of the length of its column: what any computation in this precision
    /// may make of rounding A.
    backward: f64,
    /// Error of an element of Q, for each unit of the column's length over R_jj where that matters.
    direction: f64,
    /// Whether sums are exact enough that logarithms are held to the golden's budget.
    has_exact_sums: bool,
}

impl Tolerance {
    fn of(device: &Device) -> Self {
        let single = Self {
            orthogonality: 5e-6,
            product: 1e-6,
            relative: 1e-5,
            backward: 2e-6,
            direction: 2e-6,
            has_exact_sums: false,
        };
        match (device.gpu(), device.precision()) {
            (Some(_), _) => single,
            // Rounded results of double precision.
            (None, Precision::F32) => Self {
                relative: 1e-6,
                backward: 1e-7,
                direction: 0.0,
                has_exact_sums: true,
                ..single
            },
            (None, _) => Self {
                orthogonality: 1e-13,
                product: 1e-13,
                relative: 1e-9,
                backward: 1e-13,
                direction: 0.0,
                has_exact_sums: true,
            },
        }
    }
}

/// Matrices of a case.
struct Matrices {
    batch: usize,
    rows: usize,
    columns: usize,
    a: Vec<f64>,
}

impl Matrices {
    fn load(arrays: &ArrayMap, name: &str) -> Result<Self, CaseError> {
        let (shape, a) = numbers(arrays, name)?;
        let [batch, rows, columns] = shape[..] else {
            let found = format!("{name} {shape:?}");
            return Err(CaseError::Engine(format!(
                "expected three dimensions, found {found}"
            )));
        };
        if a.is_empty() || a.len() > MOST_NUMBERS || columns > rows {
            let found = format!(
                "{name}: expected matrices with no more columns than rows, found {shape:?}"
            );
            return Err(CaseError::Engine(found));
        }
        Ok(Self {
            batch,
            rows,
            columns,
            a,
        })
    }

    fn factor(&self, device: &Device) -> Result<QrResult, CaseError> {
        let found = batched_qr(device, &self.a, self.batch, self.rows, self.columns);
        found.map_err(|error| CaseError::Engine(error.to_string()))
    }

    /// Length of column `j` of matrix `b`.
    fn length(&self, b: usize, j: usize) -> f64 {
        let matrix = self.matrix(&self.a, b);
        let column = matrix.iter().skip(j).step_by(self.columns);
        column.map(|v| v * v).sum::<f64>().sqrt()
    }

    /// Elements of matrix `b` of `[batch, rows, columns]` numbers.
    fn matrix<'a>(&self, all: &'a [f64], b: usize) -> &'a [f64] {
        let count = self.rows * self.columns;
        all.get(b * count..(b + 1) * count).unwrap_or_default()
    }

    /// Elements of matrix `b` of `[batch, columns, columns]` numbers.
    fn triangle<'a>(&self, all: &'a [f64], b: usize) -> &'a [f64] {
        let count = self.columns * self.columns;
        all.get(b * count..(b + 1) * count).unwrap_or_default()
    }

    /// That Q is orthonormal, R triangular with no negative diagonal, Q R is A, and all matrices are valid.
    fn check_factors(&self, found: &QrResult, tolerance: &Tolerance, checks: &mut Checks) {
        let k = self.columns;
        let (mut gram, mut identity) = (Vec::new(), Vec::new());
        let (mut product, mut below) = (Vec::new(), Vec::new());
        for b in 0..self.batch {
            let q = self.matrix(&found.q, b);
            let r = self.triangle(&found.r, b);
            let column = |j: usize| q.iter().skip(j).step_by(k);
            for x in 0..k {
                for y in 0..=x {
                    gram.push(column(x).zip(column(y)).map(|(x, y)| x * y).sum());
                    identity.push(if x == y { 1.0 } else { 0.0 });
                }
            }
            let upper = |l: usize, j: usize| r.get(l * k + j).copied().unwrap_or(f64::NAN);
            for j in 0..k {
                let length = self.length(b, j);
                let scale = if length > 0.0 { 1.0 / length } else { 1.0 };
                for (row, exact) in q
                    .chunks(k)
                    .zip(self.matrix(&self.a, b).iter().skip(j).step_by(k))
                {
                    let sum: f64 = row.iter().enumerate().map(|(l, q)| q * upper(l, j)).sum();
                    product.push((sum - exact) * scale);
                }
                below.extend((j + 1..k).map(|l| upper(l, j)));
                below.push(upper(j, j).min(0.0));
            }
        }
        checks.close("Q' Q", &gram, &identity, tolerance.orthogonality);
        checks.close(
            "(Q R - A) / |a_j|",
            &product,
            &vec![0.0; product.len()],
            tolerance.product,
        );
        checks.close("R below its diagonal", &below, &vec![0.0; below.len()], 0.0);
        let valid = found.invalid.iter().all(|invalid| !invalid);
        checks.hold(valid, || "a finite matrix is said not to be".to_owned());
    }
}

/// Verifies the cases of one file; the tensors are in `STEM.safetensors` beside it.
pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    let index = folder.index();
    let arrays = match folder.arrays(&format!("{stem}.safetensors")) {
        Ok(arrays) => arrays,
        Err(error) => return cases.run(stem, "qr", |_| Err(error)),
    };
    let entries = index.entries();
    for (name, entry) in &entries {
        cases.run(name, "qr", |checks| {
            if entry.find("true_rank").is_some() {
                check_rank(&arrays, name, entry, device, checks)
            } else if ["batch", "m", "n"]
                .iter()
                .all(|key| entry.find(key).is_some())
            {
                check_full(&arrays, name, entry, device, checks)
            } else {
                let what = "an entry with neither a shape nor ranks";
                Err(CaseError::Unsupported(what.to_owned()))
            }
        });
    }
    let described = |tensor: &str| {
        let case = tensor.rsplit_once('.').map(|(case, _)| case);
        entries.iter().any(|(name, _)| case == Some(*name))
    };
    for tensor in arrays.names().filter(|tensor| !described(tensor)) {
        cases.unsupported(tensor, "qr", "a tensor that no entry describes");
    }
}

/// Tensors of a case that are not compared.
fn refuse_others(arrays: &ArrayMap, name: &str, known: &[&str]) -> Result<(), CaseError> {
    let other = arrays.names().find(|tensor| {
        let of_case = tensor
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.'));
        of_case.is_some_and(|rest| !rest.contains('.') && !known.contains(&rest))
    });
    match other {
        Some(tensor) => Err(CaseError::Unsupported(format!(
            "tensor {tensor} is not known"
        ))),
        None => Ok(()),
    }
}

fn check_full(
    arrays: &ArrayMap,
    name: &str,
    entry: &Node<'_>,
    device: &Device,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let given = Matrices::load(arrays, &format!("{name}.A"))?;
    let stated = [entry.size("batch")?, entry.size("m")?, entry.size("n")?];
    checks.equal(
        "shape of A",
        &[given.batch, given.rows, given.columns],
        &stated,
    );
    let (_, q) = numbers(arrays, &format!("{name}.Q"))?;
    let (_, r) = numbers(arrays, &format!("{name}.R"))?;
    refuse_others(arrays, name, &["A", "Q", "R"])?;
    let found = given.factor(device)?;
    let tolerance = Tolerance::of(device);
    given.check_factors(&found, &tolerance, checks);
    check_restarts(&given, (&found, &r), &tolerance, checks);
    check_elements(&given, (&found, &q, &r), &tolerance, checks);
    let budget = entry.number("lapack_f32_logdiagR_err")?;
    check_logarithms(&given, (&found, &r), budget, &tolerance, checks);
    Ok(())
}

/// That no column is replaced, unless rounding may have taken it for a dependent one.
fn check_restarts(
    given: &Matrices,
    (found, r): (&QrResult, &[f64]),
    tolerance: &Tolerance,
    checks: &mut Checks,
) {
    let k = given.columns;
    let doubtful = if tolerance.has_exact_sums {
        0.0
    } else {
        DEPENDENT + tolerance.backward
    };
    let allowed = (0..given.batch).map(|b| {
        let diagonal = given.triangle(r, b).iter().step_by(k + 1).take(k);
        let lengths = diagonal.enumerate().map(|(j, r)| r / given.length(b, j));
        lengths.filter(|share| *share < doubtful).count()
    });
    for (b, (count, allowed)) in found.restarts.iter().zip(allowed).enumerate() {
        checks.hold(*count as usize <= allowed, || {
            format!("restarts[{b}]: expected at most {allowed}, found {count}")
        });
    }
}

/// Differences of Q and R from the golden's, over what is allowed of each.
fn check_elements(
    given: &Matrices,
    (found, q, r): (&QrResult, &[f64], &[f64]),
    tolerance: &Tolerance,
    checks: &mut Checks,
) {
    let k = given.columns;
    checks.equal("numbers of Q", &[q.len()], &[found.q.len()]);
    checks.equal("numbers of R", &[r.len()], &[found.r.len()]);
    let (mut of_q, mut of_r) = (Vec::new(), Vec::new());
    for b in 0..given.batch {
        let (exact, own) = (given.triangle(r, b), given.triangle(&found.r, b));
        // How far rounding may turn a direction: as much as the worst column so far was shortened.
        let mut turn = 1.0f64;
        for j in 0..k {
            let length = given.length(b, j);
            let column = exact.iter().skip(j).step_by(k);
            for (exact, own) in column.zip(own.iter().skip(j).step_by(k)) {
                let allowed = tolerance.relative * exact.abs() + tolerance.backward * length;
                of_r.push((own - exact).abs() / allowed.max(f64::MIN_POSITIVE));
            }
            let diagonal = exact.get(j * k + j).copied().unwrap_or(0.0);
            turn = turn.max(length / diagonal);
            // Goldens are stored in single precision, and so is what is found.
            let allowed = 3e-7 + tolerance.direction * turn;
            let columns = |all| given.matrix(all, b).iter().skip(j).step_by(k);
            let pairs = columns(q).zip(columns(found.q.as_slice()));
            of_q.extend(pairs.map(|(exact, own)| (own - exact).abs() / allowed));
        }
    }
    checks.close(
        "R, in units of its tolerance",
        &of_r,
        &vec![0.0; of_r.len()],
        1.0,
    );
    checks.close(
        "Q, in units of its tolerance",
        &of_q,
        &vec![0.0; of_q.len()],
        1.0,
    );
}

/// Logarithms of the diagonal against those of the golden's R, within the golden's own figure for single
/// precision; and that figure against what rounding alone makes of them.
fn check_logarithms(
    given: &Matrices,
    (found, r): (&QrResult, &[f64]),
    budget: f64,
    tolerance: &Tolerance,
    checks: &mut Checks,
) {
    let k = given.columns;
    let triangles = (0..given.batch).map(|b| given.triangle(r, b));
    let diagonal: Vec<f64> = triangles
        .flat_map(|r| r.iter().copied().step_by(k + 1).take(k))
        .collect();
    let exact: Vec<f64> = diagonal.iter().map(|r| r.ln()).collect();
    let rounded = diagonal.iter().map(|r| (*r as f32).ln());
    let rounded = wide(&rounded.collect::<Vec<_>>());
    let errors = rounded.iter().zip(&exact).map(|(x, y)| (x - y).abs());
    let largest = errors.fold(0.0, f64::max);
    checks.hold(budget > largest / 2.0 && budget < largest * 2.0, || {
        format!("lapack_f32_logdiagR_err: expected about {largest:e}, found {budget:e}")
    });
    if tolerance.has_exact_sums {
        checks.close("ln R_jj", &found.log_r, &exact, BUDGET * budget);
        return;
    }
    let lengths = (0..given.batch).flat_map(|b| (0..k).map(move |j| (b, j)));
    let allowed: Vec<f64> = lengths
        .zip(&exact)
        .map(|((b, j), exact)| {
            let turned = tolerance.backward * given.length(b, j) / exact.exp();
            BUDGET * budget + turned / (1.0 - turned.min(0.9))
        })
        .collect();
    let pairs = found.log_r.iter().zip(&exact).zip(&allowed);
    let shares: Vec<f64> = pairs
        .map(|((x, y), allowed)| (x - y).abs() / allowed)
        .collect();
    checks.close(
        "ln R_jj, in units of its tolerance",
        &shares,
        &vec![0.0; exact.len()],
        1.0,
    );
}

fn check_rank(
    arrays: &ArrayMap,
    name: &str,
    entry: &Node<'_>,
    device: &Device,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let given = Matrices::load(arrays, &format!("{name}.A"))?;
    refuse_others(arrays, name, &["A"])?;
    let ranks = entry.get("true_rank")?.elements()?;
    let ranks: Vec<usize> = ranks.iter().map(Node::as_size).collect::<Result<_, _>>()?;
    let found = given.factor(device)?;
    // A dependent column leaves as much of itself as single precision cannot tell from nothing.
    let tolerance = Tolerance {
        product: 1e-6,
        ..Tolerance::of(device)
    };
    given.check_factors(&found, &tolerance, checks);
    let k = given.columns;
    let mut counted = Vec::new();
    for b in 0..given.batch {
        let diagonal = given.triangle(&found.r, b).iter().step_by(k + 1).take(k);
        let lengths = diagonal.enumerate().map(|(j, r)| (r, given.length(b, j)));
        let independent = |(r, length): &(&f64, f64)| **r > DEPENDENT * length;
        counted.push(lengths.filter(independent).count());
    }
    checks.equal("rank", &counted, &ranks);
    let finite = found.log_r.iter().all(|log| log.is_finite());
    checks.hold(finite, || "a logarithm is not finite".to_owned());
    // Elements of A are rounded to single precision: in double precision that shows as a direction of its own.
    if device.precision() == Precision::F64 {
        return Ok(());
    }
    let replaced: Vec<usize> = ranks.iter().map(|rank| k.saturating_sub(*rank)).collect();
    let restarts: Vec<usize> = found.restarts.iter().map(|count| *count as usize).collect();
    checks.equal("restarts", &restarts, &replaced);
    Ok(())
}
