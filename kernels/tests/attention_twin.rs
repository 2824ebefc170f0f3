//! Attention's twin against the formula in double precision.

use attractor_kernels::attention::Attention;
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

fn operands_of(kernel: &Attention) -> Vec<Vec<f64>> {
    let extents = kernel.extents();
    extents.iter().zip(1..).map(|(n, s)| noise(*n, s)).collect()
}

fn run<T: Scalar>(
    kernel: Attention,
    data: &[Vec<f64>],
    parallel: bool,
) -> Result<Vec<T>, KernelError> {
    let data: Vec<Vec<T>> = data
        .iter()
        .map(|d| d.iter().map(|x| T::from_f64(*x)).collect())
        .collect();
    let mut out = data[4].clone();
    let mut views: Vec<_> = data[..4]
        .iter()
        .map(|d| match d.is_empty() {
            true => View::Absent,
            false => View::Float(d),
        })
        .collect();
    views.push(View::FloatMut(&mut out));
    let mut operands = Operands::new(Attention::NAME, Attention::OPERANDS, views, parallel);
    AnyKernel::from(kernel).twin(&mut operands)?;
    Ok(out)
}

/// (place, value) of every output.
fn naive(p: &Attention, data: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let mut out = Vec::new();
    for b in 0..p.batch {
        for h in 0..p.heads {
            let g = h * p.kv_heads / p.heads;
            for i in 0..p.q_rows {
                let q = p.q_offset + b * p.q_batch_stride + i * p.q_row_stride + h * p.head_dim;
                let scores: Vec<f64> = (0..p.k_rows)
                    .map(|j| {
                        let k =
                            p.k_offset + b * p.k_batch_stride + j * p.k_row_stride + g * p.head_dim;
                        let dot: f64 = (0..p.head_dim)
                            .map(|d| data[0][(q + d) as usize] * data[1][(k + d) as usize])
                            .sum();
                        let place = b * p.mask_batch_stride + i * p.k_rows + j;
                        let mask = data[3].get(place as usize).copied().unwrap_or(0.0);
                        f64::from(p.scale) * dot + mask
                    })
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
                for d in 0..p.head_dim {
                    let mut value = 0.0;
                    for (j, score) in (0..).zip(&scores) {
                        let v =
                            p.v_offset + b * p.v_batch_stride + j * p.v_row_stride + g * p.head_dim;
                        value += (score - largest).exp() / total * data[2][(v + d) as usize];
                    }
                    let place = p.out_offset
                        + b * p.out_batch_stride
                        + i * p.out_row_stride
                        + h * p.head_dim;
                    let value = if largest == f64::NEG_INFINITY {
                        0.0
                    } else {
                        value
                    };
                    out.push(((place + d) as usize, value));
                }
            }
        }
    }
    out
}

fn check(kernel: Attention, data: &[Vec<f64>]) {
    for parallel in [false, true] {
        let single = run::<f32>(kernel, data, parallel).unwrap();
        let double = run::<f64>(kernel, data, parallel).unwrap();
        let mut written = vec![false; single.len()];
        let depth = f64::from(kernel.head_dim.max(kernel.k_rows));
        for (place, value) in naive(&kernel, data) {
            let error = (f64::from(single[place]) - value).abs();
            let tolerance = 4e-7 * depth.sqrt() + 1e-6;
            assert!(error < tolerance, "{kernel:?} {place}: {error:e}");
            let error = (double[place] - value).abs();
            assert!(error < 1e-13 * depth, "{kernel:?} {place}: {error:e}");
            written[place] = true;
        }
        for place in (0..written.len()).filter(|place| !written[*place]) {
            assert_eq!(double[place], data[4][place], "gap at {place}");
        }
    }
}

#[test]
fn sizes_of_all_kinds() {
    for (batch, q_rows, k_rows, heads, head_dim) in [
        (1, 1, 1, 1, 1),
        (2, 3, 5, 2, 7),
        (3, 41, 41, 4, 32),
        (2, 13, 73, 3, 33),
        (1, 130, 31, 2, 65),
        (1, 5, 1031, 1, 256),
        (1, 64, 700, 2, 16),
    ] {
        let mut kernel = Attention::contiguous(batch, q_rows, k_rows, heads, head_dim);
        kernel.scale *= 3.0;
        check(kernel, &operands_of(&kernel));
        kernel.flags = Attention::MASK;
        check(kernel, &operands_of(&kernel));
        kernel.mask_batch_stride = q_rows * k_rows + 3;
        check(kernel, &operands_of(&kernel));
    }
}

#[test]
fn fused_projections_and_grouped_queries() {
    let fused = Attention::fused(3, 17, 4, 9);
    let mut data = operands_of(&fused);
    let whole = noise(3 * 17 * 3 * 36, 9);
    for operand in &mut data[..3] {
        operand.clone_from(&whole);
    }
    check(fused, &data);
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
    check(grouped, &operands_of(&grouped));
}

#[test]
fn masked_keys_take_no_part() {
    let mut kernel = Attention::contiguous(2, 4, 35, 2, 8);
    kernel.flags = Attention::MASK;
    let mut data = operands_of(&kernel);
    for (place, mask) in data[3].iter_mut().enumerate() {
        let (row, key) = (place / 35, place % 35);
        if row == 2 || (row == 1 && key != 34) || (row == 3 && key % 3 == 0) {
            *mask = f64::NEG_INFINITY;
        }
    }
    check(kernel, &data);
    let out = run::<f32>(kernel, &data, false).unwrap();
    assert_eq!(out[2 * 16..3 * 16], [0.0; 16], "a row without keys");
    let only: Vec<f32> = data[2][34 * 16..35 * 16]
        .iter()
        .map(|v| *v as f32)
        .collect();
    assert_eq!(out[16..32], only, "a row with one key");
}

/// Large scores must not overflow, and numbers that are not must show.
#[test]
fn extreme_scores() {
    let mut kernel = Attention::contiguous(1, 2, 3, 1, 2);
    kernel.scale = 1000.0;
    let mut data = operands_of(&kernel);
    assert!(
        run::<f32>(kernel, &data, false)
            .unwrap()
            .iter()
            .all(|x| x.is_finite())
    );
    data[0][0] = f64::NAN;
    let out = run::<f32>(kernel, &data, false).unwrap();
    assert!(out[..2].iter().all(|x| x.is_nan()) && out[2..4].iter().all(|x| x.is_finite()));
}

/// An example has the same bits in any batch and with any threads.
#[test]
fn examples_do_not_depend_on_each_other() {
    let many = Attention::contiguous(9, 73, 41, 4, 32);
    let data = operands_of(&many);
    let all = run::<f32>(many, &data, true).unwrap();
    let one = Attention::contiguous(1, 73, 41, 4, 32);
    for example in [0, 4, 8] {
        let own: Vec<Vec<f64>> = data
            .iter()
            .zip(one.extents())
            .map(|(d, n)| d[example * n..(example + 1) * n].to_vec())
            .collect();
        for parallel in [false, true] {
            let found = run::<f32>(one, &own, parallel).unwrap();
            assert_eq!(found, all[example * found.len()..][..found.len()]);
        }
    }
}

#[test]
fn refuses_bad_parameters() {
    let good = Attention::contiguous(2, 3, 4, 4, 8);
    assert!(good.check().is_ok());
    for bad in [
        Attention { batch: 0, ..good },
        Attention { k_rows: 0, ..good },
        Attention {
            head_dim: 257,
            ..good
        },
        Attention {
            kv_heads: 3,
            ..good
        },
        Attention {
            kv_heads: 8,
            ..good
        },
        Attention {
            heads: 8192,
            ..good
        },
        Attention { flags: 2, ..good },
        Attention {
            out_row_stride: 31,
            ..good
        },
        Attention {
            out_batch_stride: 95,
            ..good
        },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
    let data = operands_of(&good);
    let longer = Attention {
        q_offset: 1,
        ..good
    };
    assert!(matches!(
        run::<f32>(longer, &data, false),
        Err(KernelError::Operand { .. })
    ));
}
