//! The Kuramoto-Sivashinsky equation.

use super::{MapError, check_size, finished, state};
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorId, TensorKind};
use crate::orbit::IteratedMap;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::matmul::MatMul;
use std::f64::consts::PI;

const NAME: &str = "Kuramoto-Sivashinsky";
/// Most points: matrices are dense.
const MOST_POINTS: usize = 4096;
/// Points of the contour on which the coefficients are means.
const CONTOUR: usize = 32;

/// `u_t = -u u_x - u_xx - u_xxxx`, periodic, by steps of ETDRK4 (Cox, Matthews, "Exponential
/// time differencing for stiff systems", 2002, with the coefficients of Kassam, Trefethen, "Fourth-order
/// time-stepping for stiff PDEs", 2005, means over a half circle of 32 points).
///
/// The state is `u` at `points` equidistant places. Nothing is dealiased; the highest mode of the
/// nonlinear term is left out. Every operation that is diagonal in Fourier space is a circulant matrix
/// here, so that a step is products with constant matrices and squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KuramotoSivashinsky {
    /// Period of space; 22 is the smallest that is well studied as chaotic.
    pub length: f64,
    /// Points, an even number from 4 to 4096.
    pub points: usize,
    /// Time of one step.
    pub step: f64,
}

impl KuramotoSivashinsky {
    /// `count` smooth states `cos(y) (1 + sin(y))` of zero mean, each shifted by another fraction of the
    /// period, `[count, points]`.
    pub fn start(&self, count: usize) -> Vec<f64> {
        let n = self.points.max(1) as f64;
        let value = |example: usize, point: usize| {
            // The golden ratio's conjugate spreads the shifts.
            let shift = (example as f64 * 0.618_033_988_749_894_9).fract();
            let y = 2.0 * PI * (point as f64 / n + shift);
            y.cos() * (1.0 + y.sin())
        };
        let examples = 0..count;
        examples
            .flat_map(|example| (0..self.points).map(move |point| value(example, point)))
            .collect()
    }

    /// One step over `batch` examples. The mean is conserved, so that one exponent, its own, is zero.
    ///
    /// # Errors
    /// [`MapError`] for a length or step that is not positive and finite, an odd number of points or one
    /// out of range, or an empty batch.
    pub fn map(&self, batch: usize) -> Result<IteratedMap, MapError> {
        for (parameter, value) in [("length", self.length), ("step", self.step)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(MapError::new(NAME, parameter, "positive and finite", value));
            }
        }
        let n = self.points;
        if !(4..=MOST_POINTS).contains(&n) || !n.is_multiple_of(2) {
            let expected = format!("an even number from 4 to {MOST_POINTS}");
            return Err(MapError::new(NAME, "points", expected, n));
        }
        check_size(NAME, batch, n)?;
        let mut step = Step::new(self, batch);
        let u = step.u;
        let squared = step.square("u", u);
        let half = step.product("half", u, Matrix::HalfStep, None);
        let a = step.product("a", squared, Matrix::Stage, Some(half));
        let a_squared = step.square("a", a);
        let b = step.product("b", a_squared, Matrix::Stage, Some(half));
        let b_squared = step.square("b", b);
        let ahead = step.pair("2 b^2 - u^2", Operation::SUBTRACT, 2.0, b_squared, squared);
        let second_half = step.product("half_a", a, Matrix::HalfStep, None);
        let c = step.product("c", ahead, Matrix::Stage, Some(second_half));
        let c_squared = step.square("c", c);
        let middle = step.pair("a^2 + b^2", Operation::ADD, 1.0, a_squared, b_squared);
        let linear = step.product("linear", u, Matrix::WholeStep, None);
        let first = step.product("first", squared, Matrix::First, Some(linear));
        let second = step.product("second", middle, Matrix::Middle, Some(first));
        step.multiply("step", c_squared, Matrix::Last, Some(second), u);
        Ok(finished(step.graph, u, batch, n))
    }

    /// Wave number of mode `k`; modes beyond half the points are negative ones.
    fn wave_number(&self, k: usize) -> f64 {
        let signed = if k <= self.points / 2 {
            k as f64
        } else {
            k as f64 - self.points as f64
        };
        2.0 * PI / self.length * signed
    }

    /// The operator `matrix` in Fourier space: (real part, imaginary part) of mode `k`.
    fn symbol(&self, matrix: Matrix, k: usize) -> (f64, f64) {
        let q = self.wave_number(k);
        let z = self.step * (q * q - q.powi(4));
        let factor = match matrix {
            Matrix::WholeStep => return (z.exp(), 0.0),
            Matrix::HalfStep => return ((z / 2.0).exp(), 0.0),
            Matrix::Stage => contour_mean(z, |z| (z.scale(0.5).exp() - Complex::real(1.0)) / z),
            Matrix::First => contour_mean(z, |z| {
                let line = Complex::real(4.0) - z.scale(3.0) + z * z;
                (z.exp() * line - z - Complex::real(4.0)) / (z * z * z)
            }),
            Matrix::Middle => contour_mean(z, |z| {
                let line = z - Complex::real(2.0);
                (z.exp() * line + z + Complex::real(2.0)).scale(2.0) / (z * z * z)
            }),
            Matrix::Last => contour_mean(z, |z| {
                let line = Complex::real(4.0) - z;
                (z.exp() * line - Complex::real(4.0) - z.scale(3.0) - z * z) / (z * z * z)
            }),
        };
        // Of -u u_x = -(u^2 / 2)_x the highest mode has no sign, and is left out.
        let derivative = if 2 * k == self.points { 0.0 } else { -0.5 * q };
        (0.0, self.step * factor * derivative)
    }

    /// The circulant matrix of an operator, `[points, points]`, row-major.
    fn matrix(&self, matrix: Matrix) -> Vec<f64> {
        let n = self.points;
        let symbols: Vec<(f64, f64)> = (0..n).map(|k| self.symbol(matrix, k)).collect();
        let angles: Vec<(f64, f64)> = (0..n)
            .map(|r| (2.0 * PI * r as f64 / n as f64).sin_cos())
            .collect();
        let column: Vec<f64> = (0..n)
            .map(|r| {
                let terms = symbols.iter().enumerate().map(|(k, (real, imaginary))| {
                    // k and r are below 4096; the remainder keeps the angle small.
                    let (sine, cosine) = angles.get(k * r % n).copied().unwrap_or_default();
                    real * cosine - imaginary * sine
                });
                terms.sum::<f64>() / n as f64
            })
            .collect();
        let entry = |i: usize, j: usize| column.get((i + n - j) % n).copied().unwrap_or_default();
        (0..n)
            .flat_map(|i| (0..n).map(move |j| (i, j)))
            .map(|(i, j)| entry(i, j))
            .collect()
    }
}

/// The constant operators of a step; the last four act on squares.
#[derive(Debug, Clone, Copy)]
enum Matrix {
    WholeStep,
    HalfStep,
    Stage,
    First,
    Middle,
    Last,
}

impl Matrix {
    fn name(self) -> &'static str {
        match self {
            Self::WholeStep => "exp(hL)",
            Self::HalfStep => "exp(hL/2)",
            Self::Stage => "stage",
            Self::First => "f1",
            Self::Middle => "2 f2",
            Self::Last => "f3",
        }
    }
}

/// The graph of a step as it grows.
struct Step<'a> {
    equation: &'a KuramotoSivashinsky,
    graph: Graph,
    batch: usize,
    u: TensorId,
}

impl<'a> Step<'a> {
    fn new(equation: &'a KuramotoSivashinsky, batch: usize) -> Self {
        let mut graph = Graph::new();
        let u = state(&mut graph, batch, equation.points);
        Self {
            equation,
            graph,
            batch,
            u,
        }
    }

    fn tensor(&mut self, name: &str) -> TensorId {
        let shape = [self.batch, self.equation.points];
        self.graph.float(name, &shape, TensorKind::Intermediate)
    }

    /// `alpha a` and `b` combined.
    fn pair(
        &mut self,
        name: &str,
        operation: Operation,
        alpha: f32,
        a: TensorId,
        b: TensorId,
    ) -> TensorId {
        let out = self.tensor(name);
        let count = size(self.batch.saturating_mul(self.equation.points));
        let kernel = Elementwise {
            alpha,
            ..Elementwise::contiguous(operation, count)
        };
        let operands = [Some(a), Some(b), Some(out)];
        self.graph.push(Phase::Step, name, kernel, &operands);
        out
    }

    fn square(&mut self, name: &str, x: TensorId) -> TensorId {
        self.pair(&format!("{name}^2"), Operation::MULTIPLY, 1.0, x, x)
    }

    /// `matrix x + residual` as a new tensor.
    fn product(
        &mut self,
        name: &str,
        x: TensorId,
        matrix: Matrix,
        residual: Option<TensorId>,
    ) -> TensorId {
        let out = self.tensor(name);
        self.multiply(name, x, matrix, residual, out);
        out
    }

    fn multiply(
        &mut self,
        name: &str,
        x: TensorId,
        matrix: Matrix,
        residual: Option<TensorId>,
        out: TensorId,
    ) {
        let n = self.equation.points;
        let known = self.graph.find(matrix.name());
        let constant = known.unwrap_or_else(|| {
            let values = self.equation.matrix(matrix);
            self.graph.constant_f64(matrix.name(), &[n, n], values)
        });
        let kernel = MatMul {
            flags: residual.map_or(0, |_| MatMul::RESIDUAL),
            ..MatMul::linear(size(self.batch), size(n), size(n))
        };
        let operands = [Some(x), Some(constant), None, residual, None, Some(out)];
        self.graph.push(Phase::Step, name, kernel, &operands);
    }
}

/// Mean of the real part of `f` over the upper half of the unit circle around a real number: `f` is
/// regular there but cancels near 0, and is real on the axis, so that the lower half says the same.
fn contour_mean(center: f64, f: impl Fn(Complex) -> Complex) -> f64 {
    let points = (0..CONTOUR).map(|j| {
        let angle = PI * (j as f64 + 0.5) / CONTOUR as f64;
        let z = Complex(center + angle.cos(), angle.sin());
        f(z).0
    });
    points.sum::<f64>() / CONTOUR as f64
}

/// Real and imaginary part.
#[derive(Debug, Clone, Copy)]
struct Complex(f64, f64);

impl Complex {
    fn real(value: f64) -> Self {
        Self(value, 0.0)
    }

    fn scale(self, factor: f64) -> Self {
        Self(self.0 * factor, self.1 * factor)
    }

    fn exp(self) -> Self {
        let (sine, cosine) = self.1.sin_cos();
        Self(cosine, sine).scale(self.0.exp())
    }
}

impl std::ops::Add for Complex {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }
}

impl std::ops::Sub for Complex {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1)
    }
}

impl std::ops::Mul for Complex {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self(
            self.0 * other.0 - self.1 * other.1,
            self.0 * other.1 + self.1 * other.0,
        )
    }
}

impl std::ops::Div for Complex {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let conjugate = Self(other.0, -other.1);
        (self * conjugate).scale(1.0 / (other.0 * other.0 + other.1 * other.1))
    }
}
