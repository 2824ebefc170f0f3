//! The convolution's twin against the formula in double precision.

use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::{Activation, AnyKernel, Kernel, Operands, Scalar, View};

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

fn run<T: Scalar>(kernel: Conv2d, data: &[Vec<f64>], parallel: bool, pack: bool) -> Vec<T> {
    let data: Vec<Vec<T>> = data
        .iter()
        .map(|d| d.iter().map(|x| T::from_f64(*x)).collect())
        .collect();
    let mut out = vec![T::from_f64(f64::NAN); kernel.extents()[3]];
    let panels = pack.then(|| kernel.pack(1, &data[1])).flatten();
    let bias = if data[2].is_empty() {
        View::Absent
    } else {
        View::Float(&data[2])
    };
    let views = vec![
        View::Float(&data[0]),
        View::Float(&data[1]),
        bias,
        View::FloatMut(&mut out),
    ];
    let mut operands = Operands::new(Conv2d::NAME, Conv2d::OPERANDS, views, parallel)
        .with_packed(vec![None, panels.as_deref()]);
    AnyKernel::from(kernel).twin(&mut operands).unwrap();
    out
}

fn naive(p: &Conv2d, data: &[Vec<f64>]) -> Vec<f64> {
    let wide = |x: u32| x as i64;
    let mut out = Vec::new();
    for b in 0..wide(p.batch) {
        for i in 0..wide((p.height + 2 * p.padding_h - p.kernel_h) / p.stride_h + 1) {
            for j in 0..wide((p.width + 2 * p.padding_w - p.kernel_w) / p.stride_w + 1) {
                for o in 0..wide(p.out_channels) {
                    let mut sum = data[2].get(o as usize).copied().unwrap_or(0.0);
                    for y in 0..wide(p.kernel_h) {
                        for z in 0..wide(p.kernel_w) {
                            let row = i * wide(p.stride_h) + y - wide(p.padding_h);
                            let column = j * wide(p.stride_w) + z - wide(p.padding_w);
                            let inside = (0..wide(p.height)).contains(&row)
                                && (0..wide(p.width)).contains(&column);
                            for c in 0..wide(p.in_channels) {
                                if inside {
                                    let x = ((b * wide(p.height) + row) * wide(p.width) + column)
                                        * wide(p.in_channels)
                                        + c;
                                    let w = ((o * wide(p.kernel_h) + y) * wide(p.kernel_w) + z)
                                        * wide(p.in_channels)
                                        + c;
                                    sum += data[0][x as usize] * data[1][w as usize];
                                }
                            }
                        }
                    }
                    out.push(if p.activation == Activation::RELU {
                        sum.max(0.0)
                    } else {
                        sum
                    });
                }
            }
        }
    }
    out
}

fn cases() -> Vec<Conv2d> {
    let square = Conv2d {
        batch: 2,
        height: 9,
        width: 9,
        in_channels: 4,
        out_channels: 33,
        kernel_h: 3,
        kernel_w: 3,
        stride_h: 1,
        stride_w: 1,
        padding_h: 1,
        padding_w: 1,
        activation: Activation::RELU,
        flags: Conv2d::BIAS,
    };
    vec![
        square,
        Conv2d {
            batch: 1,
            height: 1,
            width: 1,
            in_channels: 1,
            out_channels: 1,
            ..square
        },
        Conv2d {
            height: 21,
            width: 79,
            in_channels: 5,
            stride_w: 2,
            padding_h: 0,
            ..square
        },
        Conv2d {
            kernel_h: 2,
            kernel_w: 5,
            stride_h: 3,
            padding_h: 4,
            padding_w: 7,
            ..square
        },
        Conv2d {
            kernel_h: 1,
            kernel_w: 1,
            padding_h: 0,
            padding_w: 0,
            flags: 0,
            activation: Activation::IDENTITY,
            ..square
        },
        // Wide patches: several blocks of rows.
        Conv2d {
            height: 40,
            width: 31,
            in_channels: 64,
            out_channels: 7,
            ..square
        },
    ]
}

#[test]
fn sizes_of_all_kinds() {
    for kernel in cases() {
        let extents = kernel.extents();
        let data: Vec<_> = extents[..3]
            .iter()
            .zip(1..)
            .map(|(n, s)| noise(*n, s))
            .collect();
        let expected = naive(&kernel, &data);
        for (parallel, pack) in [(false, false), (true, true)] {
            let single = run::<f32>(kernel, &data, parallel, pack);
            let double = run::<f64>(kernel, &data, parallel, pack);
            assert_eq!(expected.len(), double.len());
            let depth = (extents[1] / kernel.out_channels as usize) as f64;
            for place in 0..expected.len() {
                let error = (f64::from(single[place]) - expected[place]).abs();
                let tolerance = 4e-7 * depth.sqrt() * (depth + 1.0) + 1e-6;
                assert!(error < tolerance, "{kernel:?} {place}: {error:e}");
                let error = (double[place] - expected[place]).abs();
                assert!(
                    error < 1e-14 * (depth + 1.0),
                    "{kernel:?} {place}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn examples_do_not_depend_on_each_other() {
    let many = Conv2d {
        batch: 6,
        ..cases()[0]
    };
    let extents = many.extents();
    let data: Vec<_> = extents[..3]
        .iter()
        .zip(1..)
        .map(|(n, s)| noise(*n, s))
        .collect();
    let all = run::<f32>(many, &data, true, true);
    let one = Conv2d { batch: 1, ..many };
    let image = extents[0] / 6;
    for example in 0..6 {
        let own = [
            data[0][example * image..(example + 1) * image].to_vec(),
            data[1].clone(),
            data[2].clone(),
        ];
        let found = run::<f32>(one, &own, false, false);
        assert_eq!(found, all[example * found.len()..][..found.len()]);
    }
}

#[test]
fn refuses_bad_parameters() {
    let good = cases()[0];
    assert!(good.check().is_ok());
    for bad in [
        Conv2d { batch: 0, ..good },
        Conv2d {
            stride_w: 0,
            ..good
        },
        Conv2d {
            kernel_h: 12,
            ..good
        },
        Conv2d {
            padding_w: u32::MAX,
            ..good
        },
        Conv2d { flags: 2, ..good },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
