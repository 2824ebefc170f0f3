//! The matrix product's twin against a plain triple loop in double precision.

use attractor_kernels::matmul::MatMul;
use attractor_kernels::{Activation, AnyKernel, Kernel, KernelError, Operands, Scalar, View};

/// Numbers in -1..1 from a multiplicative generator.
fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            f64::from(((state >> 40) as f32) / 8_388_608.0 - 1.0)
        })
        .collect()
}

struct Case {
    kernel: MatMul,
    data: Vec<Vec<f64>>,
}

impl Case {
    fn new(kernel: MatMul) -> Self {
        let extents = kernel.extents();
        let data = extents.iter().zip(1..).map(|(n, s)| noise(*n, s)).collect();
        Self { kernel, data }
    }

    fn run<T: Scalar>(&self, parallel: bool, pack: bool) -> Result<Vec<T>, KernelError> {
        let data: Vec<Vec<T>> = self
            .data
            .iter()
            .map(|d| d.iter().map(|x| T::from_f64(*x)).collect())
            .collect();
        let mut c = data[5].clone();
        let panels = pack.then(|| self.kernel.pack(1, &data[1])).flatten();
        let mut views: Vec<_> = data[..5]
            .iter()
            .map(|d| match d.is_empty() {
                true => View::Absent,
                false => View::Float(d),
            })
            .collect();
        views.push(View::FloatMut(&mut c));
        let mut operands = Operands::new(MatMul::NAME, MatMul::OPERANDS, views, parallel)
            .with_packed(vec![None, panels.as_deref()]);
        AnyKernel::from(self.kernel).twin(&mut operands)?;
        Ok(c)
    }

    /// (element index, value, sum of magnitudes) of every element of C.
    fn naive(&self) -> Vec<(usize, f64, f64)> {
        let p = &self.kernel;
        let at = |x: u32, y: u32| x as usize * y as usize;
        let mut out = Vec::new();
        for batch in 0..p.batch {
            for row in 0..p.m {
                for column in 0..p.n {
                    let (mut sum, mut size) = (0.0, 0.0);
                    for i in 0..p.k {
                        let a = p.a_offset as usize
                            + at(batch, p.a_batch_stride)
                            + at(row, p.a_row_stride)
                            + at(i, p.a_column_stride);
                        let b = p.b_offset as usize
                            + at(batch, p.b_batch_stride)
                            + at(i, p.b_row_stride)
                            + at(column, p.b_column_stride);
                        sum += self.data[0][a] * self.data[1][b];
                        size += (self.data[0][a] * self.data[1][b]).abs();
                    }
                    sum *= f64::from(p.scale);
                    if p.has(MatMul::BIAS) {
                        sum += self.data[2][column as usize];
                    }
                    if p.activation == Activation::RELU {
                        sum = sum.max(0.0);
                    }
                    if p.has(MatMul::GATE) {
                        sum *= self.data[4]
                            [at(batch, p.gate_batch_stride) + at(column, p.gate_column_stride)];
                    }
                    if p.has(MatMul::RESIDUAL) {
                        sum += self.data[3][p.residual_offset as usize
                            + at(batch, p.residual_batch_stride)
                            + at(row, p.residual_row_stride)
                            + column as usize];
                    }
                    let place = p.c_offset as usize
                        + at(batch, p.c_batch_stride)
                        + at(row, p.c_row_stride)
                        + column as usize;
                    out.push((place, sum, size + 1.0));
                }
            }
        }
        out
    }

    fn check(&self) {
        let expected = self.naive();
        for (parallel, pack) in [(false, false), (true, true)] {
            let single = self.run::<f32>(parallel, pack).unwrap();
            let double = self.run::<f64>(parallel, pack).unwrap();
            let mut untouched: Vec<bool> = vec![true; single.len()];
            for &(place, value, size) in &expected {
                let tolerance = 4e-7 * f64::from(self.kernel.k).sqrt() * size + 1e-6;
                let error = (f64::from(single[place]) - value).abs();
                assert!(error < tolerance, "{:?} {place}: {error:e}", self.kernel);
                let error = (double[place] - value).abs();
                assert!(error < 1e-13 * size, "{:?} {place}: {error:e}", self.kernel);
                untouched[place] = false;
            }
            for (place, _) in untouched.iter().enumerate().filter(|(_, u)| **u) {
                assert_eq!(double[place], self.data[5][place], "gap at {place}");
            }
        }
    }
}

#[test]
fn odd_sizes() {
    for m in [1, 2, 3, 5, 6, 7, 11, 12, 13, 41] {
        for (k, n) in [(1, 1), (7, 31), (16, 32), (17, 33), (40, 97)] {
            Case::new(MatMul::linear(m, k, n)).check();
        }
    }
    Case::new(MatMul::linear(331, 129, 67)).check();
}

#[test]
fn transposes_and_batches() {
    for transposes in [(false, false), (true, false), (false, true), (true, true)] {
        for shape in [(3, 5, 19, 35), (2, 41, 130, 64)] {
            let (batch, m, k, n) = shape;
            Case::new(MatMul::batched(batch, m, k, n, transposes)).check();
        }
    }
}

#[test]
fn strides_and_epilogue() {
    let kernel = MatMul {
        batch: 3,
        a_offset: 5,
        a_batch_stride: 700,
        a_row_stride: 31,
        b_offset: 3,
        c_offset: 7,
        c_batch_stride: 1100,
        c_row_stride: 43,
        residual_offset: 2,
        residual_batch_stride: 1000,
        residual_row_stride: 41,
        gate_batch_stride: 40,
        gate_column_stride: 1,
        activation: Activation::RELU,
        flags: MatMul::BIAS | MatMul::RESIDUAL | MatMul::GATE,
        scale: 0.75,
        ..MatMul::linear(17, 29, 37)
    };
    Case::new(kernel).check();
    let shared_gate = MatMul {
        gate_batch_stride: 0,
        gate_column_stride: 0,
        ..kernel
    };
    Case::new(shared_gate).check();
}

/// A row has the same bits whatever rows and threads it is computed with.
#[test]
fn rows_do_not_depend_on_each_other() {
    let tall = Case::new(MatMul::linear(2624, 37, 45));
    let all = tall.run::<f32>(true, true).unwrap();
    for rows in [1u32, 2, 4, 8, 12, 41] {
        let mut few = Case::new(MatMul::linear(rows, 37, 45));
        few.data[1..3].clone_from_slice(&tall.data[1..3]);
        few.data[0] = tall.data[0][..few.data[0].len()].to_vec();
        let few = few.run::<f32>(false, false).unwrap();
        assert_eq!(few, all[..few.len()]);
    }
}
