//! Orthonormal bases of many matrices, as one call.

use super::Orbit;
use crate::device::Device;
use crate::graph::layers::size;
use crate::graph::{Graph, GraphError, Moment, Phase, Plan, TensorKind};
use attractor_kernels::qr::Qr;

/// The factors of many matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct QrResult {
    /// Q `[batch, rows, columns]`, orthonormal columns; NaN for an invalid matrix.
    pub q: Vec<f64>,
    /// R `[batch, columns, columns]`, upper triangular with no negative number on its diagonal.
    pub r: Vec<f64>,
    /// Natural logarithms of the diagonal `[batch, columns]`, of replaced columns at least ln 1e-30.
    pub log_r: Vec<f64>,
    /// Columns of every matrix that depend on those before, and were replaced by random directions.
    pub restarts: Vec<u32>,
    /// Matrices with an element that is infinite or NaN.
    pub invalid: Vec<bool>,
}

/// Reduced QR factorisation of `batch` matrices `[rows, columns]` that lie in `a` one after another, row
/// after row; see [`Qr`] for the method, its accuracy and what becomes of dependent columns. In single
/// precision, except on the CPU device of double precision.
///
/// # Errors
/// [`GraphError::Node`] where there is no matrix, no column, more columns than 64 or than rows;
/// [`GraphError::Access`] where `a` is not as long as the shape says; [`GraphError::Device`].
pub fn batched_qr(
    device: &Device,
    a: &[f64],
    batch: usize,
    rows: usize,
    columns: usize,
) -> Result<QrResult, GraphError> {
    let mut graph = Graph::new();
    let w = graph.float("w", &[batch, rows, columns], TensorKind::State);
    let r = graph.float("r", &[batch, columns, columns], TensorKind::Output);
    let log_r = graph.float("log_r", &[batch, columns], TensorKind::Output);
    let status = graph.word("status", &[batch, 2], TensorKind::State);
    let kernel = Qr::contiguous(size(batch), size(rows), size(columns));
    let operands = [w, r, log_r, status].map(Some);
    graph.push(Phase::Once, "qr", kernel, &operands);
    let plan = Plan::compile(graph, device)?;
    let mut orbit = Orbit::new(&plan)?;
    orbit.execution.write_f64(w, a)?;
    orbit.execution.write_words(status, &vec![0; 2 * batch])?;
    orbit.run(0, &Moment::default())?;
    let found = orbit.execution.read_words(status)?;
    let words = |which: usize| found.iter().skip(which).step_by(2);
    Ok(QrResult {
        q: orbit.execution.read_f64(w)?,
        r: orbit.execution.read_f64(r)?,
        log_r: orbit.execution.read_f64(log_r)?,
        restarts: words(0).copied().collect(),
        invalid: words(1).map(|flags| flags & Qr::NON_FINITE != 0).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_by_hand() {
        let a = [3.0, 1.0, 4.0, 2.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        for device in [Device::cpu(), Device::cpu_f64()] {
            let found = batched_qr(&device, &a, 2, 3, 2).unwrap();
            let close = |x: &[f64], y: &[f64]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-6);
            assert!(close(&found.q[..6], &[0.6, -0.8, 0.8, 0.6, 0.0, 0.0]));
            assert!(close(&found.r[..4], &[5.0, 2.2, 0.0, 0.4]));
            assert!(close(&found.log_r[..2], &[5f64.ln(), 0.4f64.ln()]));
            // The second matrix has two equal directions.
            assert!(close(&found.r[4..], &[1.0, 2.0, 0.0, 0.0]));
            assert_eq!(found.restarts, [0, 1]);
            assert_eq!(found.invalid, [false, false]);
            let dot: f64 = (0..3)
                .map(|i| found.q[6 + 2 * i] * found.q[7 + 2 * i])
                .sum();
            assert!(dot.abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        let device = Device::cpu();
        for (batch, rows, columns) in [(0, 3, 2), (1, 3, 0), (1, 0, 1), (1, 2, 3), (1, 100, 65)] {
            let a = vec![1.0; batch * rows * columns];
            assert!(batched_qr(&device, &a, batch, rows, columns).is_err());
        }
        assert!(batched_qr(&device, &[1.0; 5], 1, 3, 2).is_err());
        let odd = batched_qr(&device, &[1.0, f64::NAN, 2.0], 3, 1, 1).unwrap();
        assert_eq!(odd.invalid, [false, true, false]);
    }
}
