//! The twin of attention's tangents against the formula in double precision, and against differences of
//! attention's own twin.

use attractor_kernels::attention::Attention;
use attractor_kernels::attention_tangent::AttentionTangent;
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

fn operands_of(kernel: &AttentionTangent) -> Vec<Vec<f64>> {
    let extents = kernel.extents();
    extents.iter().zip(1..).map(|(n, s)| noise(*n, s)).collect()
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

/// One row of one head: its first elements in q, k and v (of key 0), and its example.
struct Row<'a> {
    p: &'a AttentionTangent,
    data: &'a [Vec<f64>],
    starts: [usize; 3],
    example: usize,
    row: usize,
}

impl Row<'_> {
    /// (element of operand, element of its tangent or zero) at `place`.
    fn pair(&self, operand: usize, place: usize, tangent: usize) -> (f64, f64) {
        let p = self.p;
        let stride = [p.q_tangent_stride, p.k_tangent_stride, p.v_tangent_stride][operand];
        let moved = &self.data[4 + operand];
        let moved = match moved.is_empty() {
            true => 0.0,
            false => moved[place + tangent * stride as usize],
        };
        (self.data[operand][place], moved)
    }

    /// dout of all columns, by the product rule through quotients of sums.
    fn tangent(&self, tangent: usize) -> Vec<f64> {
        let p = self.p;
        let [q, k, v] = self.starts;
        let depth = p.head_dim as usize;
        let mut scores = Vec::new();
        for key in 0..p.k_rows as usize {
            let k = k + key * p.k_row_stride as usize;
            let place = self.example * p.mask_batch_stride as usize + self.row * p.k_rows as usize;
            let mask = self.data[3].get(place + key).copied().unwrap_or(0.0);
            let (mut score, mut moved) = (0.0, 0.0);
            for d in 0..depth {
                let (a, da) = self.pair(0, q + d, tangent);
                let (b, db) = self.pair(1, k + d, tangent);
                score += a * b;
                moved += da * b + a * db;
            }
            let scale = f64::from(p.scale);
            scores.push((scale * score + mask, scale * moved));
        }
        let largest = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s.0));
        if largest == f64::NEG_INFINITY {
            return vec![0.0; depth];
        }
        let weights: Vec<_> = scores
            .iter()
            .map(|(s, ds)| ((s - largest).exp(), (s - largest).exp() * ds))
            .collect();
        let (total, dtotal) = weights
            .iter()
            .fold((0.0, 0.0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
        (0..depth)
            .map(|d| {
                let (mut sum, mut dsum) = (0.0, 0.0);
                for (key, (w, dw)) in weights.iter().enumerate() {
                    let place = v + key * p.v_row_stride as usize + d;
                    let (value, moved) = self.pair(2, place, tangent);
                    sum += w * value;
                    dsum += dw * value + w * moved;
                }
                (dsum * total - sum * dtotal) / (total * total)
            })
            .collect()
    }
}

/// (place, value) of every output.
fn naive(p: &AttentionTangent, data: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let mut out = Vec::new();
    let at = |offset: u32, batch: u32, row: u32| offset as usize + (batch + row) as usize;
    for b in 0..p.batch {
        for h in 0..p.heads {
            let g = h * p.kv_heads / p.heads * p.head_dim;
            for i in 0..p.q_rows {
                let q = at(p.q_offset, b * p.q_batch_stride, i * p.q_row_stride);
                let row = Row {
                    p,
                    data,
                    starts: [
                        q + (h * p.head_dim) as usize,
                        at(p.k_offset, b * p.k_batch_stride, g),
                        at(p.v_offset, b * p.v_batch_stride, g),
                    ],
                    example: b as usize,
                    row: i as usize,
                };
                let start = at(p.out_offset, b * p.out_batch_stride, i * p.out_row_stride)
                    + (h * p.head_dim) as usize;
                for t in 0..p.tangents as usize {
                    let start = start + t * p.out_tangent_stride as usize;
                    out.extend(
                        row.tangent(t)
                            .into_iter()
                            .enumerate()
                            .map(|(d, value)| (start + d, value)),
                    );
                }
            }
        }
    }
    out
}

fn check(kernel: AttentionTangent, data: &[Vec<f64>]) {
    let exact = naive(&kernel, data);
    for parallel in [false, true] {
        let single = run::<f32, _>(kernel, data, parallel).unwrap();
        let double = run::<f64, _>(kernel, data, parallel).unwrap();
        let mut written = vec![false; single.len()];
        let depth = f64::from(kernel.head_dim.max(kernel.k_rows));
        for &(place, value) in &exact {
            let error = (f64::from(single[place]) - value).abs();
            let tolerance = (4e-7 * depth.sqrt() + 1e-6) * value.abs().max(1.0);
            assert!(error < tolerance, "{kernel:?} {place}: {error:e}");
            let error = (double[place] - value).abs();
            assert!(error < 1e-13 * depth, "{kernel:?} {place}: {error:e}");
            written[place] = true;
        }
        for place in (0..written.len()).filter(|place| !written[*place]) {
            assert_eq!(double[place], data[7][place], "gap at {place}");
        }
    }
}

/// Tangents of a contiguous attention with every input moving.
fn whole(primal: Attention, tangents: u32) -> AttentionTangent {
    let extents: Vec<u32> = primal.extents().iter().map(|n| *n as u32).collect();
    let inputs = [Some(extents[0]), Some(extents[1]), Some(extents[2])];
    AttentionTangent::new(primal, tangents, inputs, extents[4])
}

#[test]
fn sizes_of_all_kinds() {
    for (batch, q_rows, k_rows, heads, head_dim, tangents) in [
        (1, 1, 1, 1, 1, 1),
        (2, 3, 5, 2, 7, 3),
        (3, 20, 20, 4, 16, 8),
        (2, 13, 73, 3, 33, 2),
        (1, 97, 31, 2, 65, 3),
        (1, 5, 1031, 1, 256, 2),
        (1, 64, 700, 2, 16, 1),
    ] {
        let mut primal = Attention::contiguous(batch, q_rows, k_rows, heads, head_dim);
        primal.scale *= 2.0;
        let kernel = whole(primal, tangents);
        check(kernel, &operands_of(&kernel));
        primal.flags = Attention::MASK;
        let kernel = whole(primal, tangents);
        check(kernel, &operands_of(&kernel));
    }
}

#[test]
fn any_input_may_be_constant() {
    let primal = Attention {
        flags: Attention::MASK,
        mask_batch_stride: 11 * 19 + 3,
        ..Attention::contiguous(2, 11, 19, 3, 13)
    };
    let strides = whole(primal, 3);
    let strides = [
        strides.q_tangent_stride,
        strides.k_tangent_stride,
        strides.v_tangent_stride,
    ];
    for moving in 1..8 {
        let inputs = [0, 1, 2].map(|i| (moving & (1 << i) != 0).then_some(strides[i]));
        let kernel = AttentionTangent::new(primal, 3, inputs, strides[0] + 5);
        check(kernel, &operands_of(&kernel));
    }
}

#[test]
fn fused_projections_and_grouped_queries() {
    let fused = Attention::fused(3, 17, 4, 9);
    let all = 3 * 17 * 3 * 36;
    let kernel = AttentionTangent::new(fused, 2, [Some(all); 3], 3 * 17 * 36);
    let mut data = operands_of(&kernel);
    let (shared, moved) = (noise(all as usize, 9), noise(2 * all as usize, 10));
    for operand in &mut data[..3] {
        operand.clone_from(&shared);
    }
    for operand in &mut data[4..7] {
        operand.clone_from(&moved);
    }
    check(kernel, &data);
    let grouped = Attention {
        kv_heads: 2,
        k_row_stride: 31,
        v_row_stride: 29,
        v_offset: 4,
        out_offset: 3,
        out_row_stride: 80,
        out_batch_stride: 80 * 11 + 7,
        ..Attention::contiguous(2, 11, 19, 6, 13)
    };
    let kernel = AttentionTangent::new(grouped, 3, [Some(1801), Some(1300), None], 1800);
    check(kernel, &operands_of(&kernel));
}

#[test]
fn masked_keys_take_no_part() {
    let mut primal = Attention::contiguous(2, 4, 35, 2, 8);
    primal.flags = Attention::MASK;
    let kernel = whole(primal, 3);
    let mut data = operands_of(&kernel);
    for (place, mask) in data[3].iter_mut().enumerate() {
        let (row, key) = (place / 35, place % 35);
        if row == 2 || (row == 1 && key != 34) || (row == 3 && key % 3 == 0) {
            *mask = f64::NEG_INFINITY;
        }
    }
    check(kernel, &data);
    let out = run::<f32, _>(kernel, &data, false).unwrap();
    assert_eq!(out[2 * 16..3 * 16], [0.0; 16], "a row without keys");
    let only: Vec<f32> = data[6][34 * 16..35 * 16]
        .iter()
        .map(|v| *v as f32)
        .collect();
    assert_eq!(out[16..32], only, "a row with one key moves as its value");
}

/// Central differences of attention along every tangent.
#[test]
fn differences_of_attention() {
    for (q_rows, k_rows, head_dim) in [(1, 3, 1), (7, 13, 5), (17, 33, 19)] {
        let mut primal = Attention::contiguous(2, q_rows, k_rows, 2, head_dim);
        primal.flags = Attention::MASK;
        let kernel = whole(primal, 3);
        let data = operands_of(&kernel);
        let found = run::<f64, _>(kernel, &data, true).unwrap();
        let count = primal.extents()[4];
        let step = 1e-5;
        for tangent in 0..3 {
            let at = |sign: f64| {
                let mut moved: Vec<Vec<f64>> = data[..4].to_vec();
                for (operand, values) in moved[..3].iter_mut().enumerate() {
                    let count = values.len();
                    let along = &data[4 + operand][tangent * count..];
                    for (value, d) in values.iter_mut().zip(along) {
                        *value += sign * step * d;
                    }
                }
                moved.push(vec![0.0; count]);
                run::<f64, _>(primal, &moved, true).unwrap()
            };
            let (above, below) = (at(1.0), at(-1.0));
            for (place, (a, b)) in above.iter().zip(&below).enumerate() {
                let difference = (a - b) / (2.0 * step);
                let error = (found[tangent * count + place] - difference).abs();
                assert!(error < 1e-8, "tangent {tangent} at {place}: {error:e}");
            }
        }
    }
}

/// An example's tangent has the same bits in any batch, among any tangents and with any threads.
#[test]
fn examples_and_tangents_do_not_depend_on_each_other() {
    let primal = |batch| Attention::contiguous(batch, 73, 41, 4, 32);
    let (many, one) = (whole(primal(5), 7), whole(primal(1), 1));
    let data = operands_of(&many);
    let all = run::<f32, _>(many, &data, true).unwrap();
    let count = 73 * 4 * 32;
    for (example, tangent) in [(0, 0), (3, 2), (4, 6)] {
        let own: Vec<Vec<f64>> = data
            .iter()
            .zip(one.extents())
            .enumerate()
            .map(|(operand, (d, n))| {
                let tangent = if operand < 4 { 0 } else { tangent };
                let first = (tangent * 5 + example) * n;
                d[first..first + n].to_vec()
            })
            .collect();
        for parallel in [false, true] {
            let found = run::<f32, _>(one, &own, parallel).unwrap();
            assert_eq!(found, all[(tangent * 5 + example) * count..][..count]);
        }
    }
}

#[test]
fn refuses_bad_parameters() {
    let good = whole(Attention::contiguous(2, 3, 4, 4, 8), 3);
    assert!(good.check().is_ok());
    for bad in [
        AttentionTangent { batch: 0, ..good },
        AttentionTangent {
            tangents: 0,
            ..good
        },
        AttentionTangent { flags: 0, ..good },
        AttentionTangent { flags: 1, ..good },
        AttentionTangent { flags: 16, ..good },
        AttentionTangent {
            head_dim: 257,
            ..good
        },
        AttentionTangent {
            kv_heads: 3,
            ..good
        },
        AttentionTangent {
            out_tangent_stride: 191,
            ..good
        },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
    let data = operands_of(&good);
    let longer = AttentionTangent {
        v_tangent_stride: good.v_tangent_stride + 1,
        ..good
    };
    assert!(matches!(
        run::<f32, _>(longer, &data, false),
        Err(KernelError::Operand { operand, .. }) if operand == "dv"
    ));
    let far = AttentionTangent {
        q_tangent_stride: u32::MAX,
        tangents: u32::MAX,
        ..good
    };
    assert!(far.extents()[4] > u32::MAX as usize);
}
