//! The twins of the norms' tangents against dual numbers in double precision, and against differences of
//! the norms' own twins.

use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::layer_norm_tangent::LayerNormTangent;
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::rms_norm_tangent::RmsNormTangent;
use attractor_kernels::{AnyKernel, Kernel, KernelError, Operands, Scalar, View};

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

fn run<T: Scalar, K: Kernel + Into<AnyKernel>>(
    kernel: K,
    data: &[Vec<f64>],
    parallel: bool,
) -> Result<Vec<T>, KernelError> {
    let data: Vec<Vec<T>> = data
        .iter()
        .map(|d| d.iter().map(|x| T::from_f64(*x)).collect())
        .collect();
    let (last, inputs) = data.split_last().expect("an output");
    let mut out = last.clone();
    let mut views: Vec<_> = inputs
        .iter()
        .map(|d| match d.is_empty() {
            true => View::Absent,
            false => View::Float(d),
        })
        .collect();
    views.push(View::FloatMut(&mut out));
    let mut operands = Operands::new(K::NAME, K::OPERANDS, views, parallel);
    let kernel: AnyKernel = kernel.into();
    kernel.twin(&mut operands)?;
    Ok(out)
}

/// A number and its derivative.
#[derive(Clone, Copy)]
struct Dual(f64, f64);

impl Dual {
    fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }
    fn times(self, other: Self) -> Self {
        Self(self.0 * other.0, self.1 * other.0 + self.0 * other.1)
    }
    fn root(self) -> Self {
        Self(self.0.sqrt(), self.1 / (2.0 * self.0.sqrt()))
    }
    fn over(self, other: Self) -> Self {
        let value = self.0 / other.0;
        Self(value, (self.1 - value * other.1) / other.0)
    }
    fn mean(row: impl Iterator<Item = Self> + Clone) -> Self {
        let count = row.clone().count() as f64;
        let sum = row.fold(Self(0.0, 0.0), Self::plus);
        Self(sum.0 / count, sum.1 / count)
    }
}

/// Where tangent t of row (b, r) of x, scale, shift and y starts, and with t = 0 the row itself.
trait Norm: Kernel + Into<AnyKernel> {
    type Primal: Kernel + Into<AnyKernel>;
    fn places(&self, tangent: u32, b: u32, r: u32) -> [usize; 4];
    fn norm(row: &[Dual], epsilon: f64) -> Vec<Dual>;
    fn shape(&self) -> [u32; 4];
    fn epsilon_and_flags(&self) -> (f64, u32);
    fn primal_kernel(&self) -> Self::Primal;
}

macro_rules! norm {
    ($tangent:ident, $primal:ident, $centred:literal) => {
        impl Norm for $tangent {
            type Primal = $primal;
            fn places(&self, t: u32, b: u32, r: u32) -> [usize; 4] {
                let s = self.step;
                [
                    self.x_offset
                        + b * self.x_batch_stride
                        + r * self.x_row_stride
                        + t * self.x_tangent_stride,
                    self.scale_offset
                        + s * self.scale_step_stride
                        + b * self.scale_batch_stride
                        + r * self.scale_row_stride
                        + t * self.scale_tangent_stride,
                    self.shift_offset
                        + s * self.shift_step_stride
                        + b * self.shift_batch_stride
                        + r * self.shift_row_stride
                        + t * self.shift_tangent_stride,
                    self.y_offset
                        + b * self.y_batch_stride
                        + r * self.y_row_stride
                        + t * self.y_tangent_stride,
                ]
                .map(|place| place as usize)
            }
            fn norm(row: &[Dual], epsilon: f64) -> Vec<Dual> {
                let centre = match $centred {
                    true => Dual::mean(row.iter().copied()),
                    false => Dual(0.0, 0.0),
                };
                let less = row
                    .iter()
                    .map(|x| x.plus(Dual(-centre.0, -centre.1)))
                    .collect::<Vec<_>>();
                let square = Dual::mean(less.iter().map(|x| x.times(*x)));
                let root = square.plus(Dual(epsilon, 0.0)).root();
                less.iter().map(|x| x.over(root)).collect()
            }
            fn shape(&self) -> [u32; 4] {
                [self.tangents, self.batch, self.rows, self.width]
            }
            fn epsilon_and_flags(&self) -> (f64, u32) {
                (f64::from(self.epsilon), self.flags)
            }
            fn primal_kernel(&self) -> $primal {
                self.primal()
            }
        }
    };
}
norm!(RmsNormTangent, RmsNorm, false);
norm!(LayerNormTangent, LayerNorm, true);

/// (place, value) of every output.
fn naive<K: Norm>(kernel: &K, data: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let [tangents, batch, rows, width] = kernel.shape();
    let (epsilon, flags) = kernel.epsilon_and_flags();
    let mut out = Vec::new();
    for t in 0..tangents {
        for (b, r) in (0..batch).flat_map(|b| (0..rows).map(move |r| (b, r))) {
            let [x, scale, shift, _] = kernel.places(0, b, r);
            let [_, _, _, y] = kernel.places(t, b, r);
            let moved = kernel.places(t, b, r);
            let row: Vec<_> = (0..width as usize)
                .map(|c| Dual(data[0][x + c], data[4][moved[0] + c]))
                .collect();
            for (c, normed) in K::norm(&row, epsilon).into_iter().enumerate() {
                let mut value = normed;
                if flags & 1 != 0 {
                    value = value.times(Dual(data[1][c], 0.0));
                }
                // The bias is bound only where the result hangs on it.
                if flags & 2 != 0 {
                    value = value.plus(Dual(data[2].get(c).copied().unwrap_or(0.0), 0.0));
                }
                if flags & 4 != 0 {
                    let ds = data[5].get(moved[1] + c).filter(|_| flags & 8 != 0);
                    let dh = data[6].get(moved[2] + c).filter(|_| flags & 16 != 0);
                    let scale = Dual(1.0 + data[3][scale + c], ds.copied().unwrap_or(0.0));
                    let shift = Dual(shift as f64, dh.copied().unwrap_or(0.0));
                    value = value.times(scale).plus(shift);
                }
                out.push((y + c, value.1));
            }
        }
    }
    out
}

fn check<K: Norm>(kernel: K) {
    let data: Vec<_> = kernel
        .extents()
        .into_iter()
        .zip(1..)
        .map(|(n, s)| noise(n, s))
        .collect();
    let exact = naive(&kernel, &data);
    let width = f64::from(kernel.shape()[3]);
    for parallel in [false, true] {
        let single = run::<f32, _>(kernel, &data, parallel).unwrap();
        let double = run::<f64, _>(kernel, &data, parallel).unwrap();
        let mut written = vec![false; single.len()];
        // Rows of a few elements may lie far closer together than their size.
        let steep = if width < 8.0 { 100.0 } else { 1.0 };
        for &(place, value) in &exact {
            let error = (f64::from(single[place]) - value).abs();
            let tolerance = (4e-7 * width.sqrt() + 1e-6) * steep * value.abs().max(1.0);
            assert!(error < tolerance, "{kernel:?} {place}: {error:e}");
            let error = (double[place] - value).abs();
            assert!(
                error < 1e-12 * steep * value.abs().max(1.0),
                "{kernel:?} {place}: {error:e}"
            );
            written[place] = true;
        }
        for place in (0..written.len()).filter(|place| !written[*place]) {
            assert_eq!(double[place], data[7][place], "gap at {place}");
        }
    }
}

/// Central differences of the norm along every tangent.
fn differences<K: Norm>(kernel: K) {
    let data: Vec<_> = kernel
        .extents()
        .into_iter()
        .zip(1..)
        .map(|(n, s)| noise(n, s))
        .collect();
    let found = run::<f64, _>(kernel, &data, true).unwrap();
    let primal = kernel.primal_kernel();
    let extents = primal.extents();
    let step = 1e-6;
    let [tangents, batch, rows, width] = kernel.shape();
    for t in 0..tangents {
        let at = |sign: f64| {
            let mut inputs: Vec<_> = extents.iter().zip(1..).map(|(n, s)| noise(*n, s)).collect();
            let first = kernel.places(0, 0, 0);
            let moved = kernel.places(t, 0, 0);
            for (operand, tangent, place) in [(0, 4, 0), (3, 5, 1), (4, 6, 2)] {
                let shift = moved[place] - first[place];
                if data[tangent].is_empty() {
                    continue;
                }
                for (i, value) in inputs[operand].iter_mut().enumerate() {
                    *value += sign * step * data[tangent][i + shift];
                }
            }
            run::<f64, _>(primal, &inputs, true).unwrap()
        };
        let (above, below) = (at(1.0), at(-1.0));
        for (b, r) in (0..batch).flat_map(|b| (0..rows).map(move |r| (b, r))) {
            let [_, _, _, y] = kernel.places(0, b, r);
            let [_, _, _, dy] = kernel.places(t, b, r);
            for c in 0..width as usize {
                let difference = (above[y + c] - below[y + c]) / (2.0 * step);
                let error = (found[dy + c] - difference).abs();
                assert!(
                    error < 1e-6 * difference.abs().max(1.0),
                    "{kernel:?}: {error:e}"
                );
            }
        }
    }
}

macro_rules! both {
    ($primal:ident, $tangent:ident) => {
        for (batch, rows, width, tangents) in [(1, 1, 1, 1), (2, 3, 33, 3), (3, 5, 127, 2)] {
            let stride = batch * rows * width;
            let make = |flags: u32, still: [Option<u32>; 2]| {
                let primal = $primal::contiguous(batch, rows, width, 1e-3, flags);
                $tangent::new(primal, tangents, stride, still, stride)
            };
            for flags in 0..4 {
                check(make(flags, [None; 2]));
                check(make(
                    flags | 4,
                    [Some(batch * width), Some(batch * width + 1)],
                ));
                check(make(flags | 4, [None, Some(batch * width)]));
                check(make(flags | 4, [Some(batch * width), None]));
            }
            let apart = $primal {
                x_offset: 3,
                x_row_stride: width + 2,
                x_batch_stride: rows * (width + 2) + 1,
                y_offset: 1,
                y_row_stride: batch * width + 1,
                y_batch_stride: width,
                scale_offset: 2,
                scale_batch_stride: 2 * width,
                scale_step_stride: 5,
                shift_batch_stride: 0,
                shift_row_stride: width + 3,
                shift_step_stride: 1,
                ..$primal::contiguous(batch, rows, width, 1e-3, 7)
            };
            let (far, wide) = (
                batch * rows * (width + 3) + 9,
                rows * (batch * width + 1) + 2,
            );
            let scattered = $tangent::new(apart, tangents, far, [Some(300); 2], wide).at_step(4);
            check(scattered);
            if width > 1 {
                differences(scattered);
                differences(make(7, [Some(batch * width), Some(batch * width)]));
            }
        }
        let (examples, rows, width) = (40u32, 5u32, 77u32);
        let stride = examples * rows * width;
        let many = $tangent::new(
            $primal::contiguous(examples, rows, width, 1e-5, 0),
            4,
            stride,
            [None; 2],
            stride,
        );
        let data: Vec<_> = many
            .extents()
            .iter()
            .zip(1..)
            .map(|(n, s)| noise(*n, s))
            .collect();
        let all = run::<f32, _>(many, &data, true).unwrap();
        let count = (rows * width) as usize;
        let one = $tangent::new(
            $primal::contiguous(1, rows, width, 1e-5, 0),
            1,
            0,
            [None; 2],
            0,
        );
        for (example, tangent) in [(0, 0), (17, 2), (39, 3)] {
            let mut own = vec![Vec::new(); 8];
            own[0] = data[0][example * count..][..count].to_vec();
            let first = tangent * stride as usize + example * count;
            own[4] = data[4][first..][..count].to_vec();
            own[7] = vec![0.0; count];
            assert_eq!(
                run::<f32, _>(one, &own, false).unwrap(),
                all[first..][..count]
            );
        }
    };
}

#[test]
fn tangents_of_rms_norm() {
    both!(RmsNorm, RmsNormTangent);
}

#[test]
fn tangents_of_layer_norm() {
    both!(LayerNorm, LayerNormTangent);
}

#[test]
fn bad_parameters_are_refused() {
    let primal = LayerNorm::contiguous(2, 3, 4, 1e-5, 4);
    let good = LayerNormTangent::new(primal, 3, 24, [Some(8), None], 24);
    assert!(good.check().is_ok());
    for bad in [
        LayerNormTangent {
            tangents: 0,
            ..good
        },
        LayerNormTangent { width: 0, ..good },
        LayerNormTangent { flags: 32, ..good },
        LayerNormTangent { flags: 8, ..good },
        LayerNormTangent {
            y_tangent_stride: 23,
            ..good
        },
        LayerNormTangent {
            epsilon: f32::NAN,
            ..good
        },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
    let far = LayerNormTangent {
        x_tangent_stride: u32::MAX,
        tangents: u32::MAX,
        ..good
    };
    assert!(far.extents()[4] > u32::MAX as usize);
    let plain = RmsNormTangent::new(RmsNorm::contiguous(2, 3, 4, 1e-5, 0), 8, 24, [None; 2], 24);
    assert_eq!(plain.cost().flops, 24 * 3 + 6 * 4 + 24 * 8 * 5);
    assert_eq!(plain.cost().bytes, (24 + 2 * 8 * 24) * 4);
}
