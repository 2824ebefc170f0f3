use super::{Rotary, RotaryPairs};
use crate::test_support::{assert_close, assert_refuses, numbers, run, widen};
use crate::{Kernel, KernelError, View};

const BOTH: [RotaryPairs; 2] = [RotaryPairs::INTERLEAVED, RotaryPairs::HALVES];

/// Cosines and sines of position times 10000^(-2j / head_dim), `[positions, head_dim / 2]`.
fn tables(positions: usize, head_dim: usize) -> (Vec<f32>, Vec<f32>) {
    let angles = (0..positions).flat_map(|position| {
        (0..head_dim / 2)
            .map(move |j| position as f64 * 10_000f64.powf(-2.0 * j as f64 / head_dim as f64))
    });
    angles.map(|a| (a.cos() as f32, a.sin() as f32)).unzip()
}

/// One head turned by the complex product (a + ib)(cos + i sin), pair by pair.
fn reference(head: &[f64], cosine: &[f64], sine: &[f64], pairs: RotaryPairs) -> Vec<f64> {
    let half = head.len() / 2;
    let mut out = vec![0.0; head.len()];
    for j in 0..half {
        let (real, imaginary) = if pairs == RotaryPairs::INTERLEAVED {
            (2 * j, 2 * j + 1)
        } else {
            (j, half + j)
        };
        let (length, angle) = (
            head[real].hypot(head[imaginary]),
            head[imaginary].atan2(head[real]),
        );
        let (stretch, turn) = (cosine[j].hypot(sine[j]), sine[j].atan2(cosine[j]));
        out[real] = length * stretch * (angle + turn).cos();
        out[imaginary] = length * stretch * (angle + turn).sin();
    }
    out
}

#[test]
fn matches_the_complex_product_in_any_layout() {
    let shapes = [
        (1u32, 1u32, 1u32, 2u32),
        (2, 5, 3, 14),
        (3, 7, 2, 66),
        (2, 40, 6, 64),
    ];
    for (batch, rows, heads, head_dim) in shapes {
        for pairs in BOTH {
            let width = heads * head_dim;
            // Rows within examples, and examples within rows.
            for (batch_stride, row_stride) in [
                (rows * (width + 5) + 3, width + 5),
                (width + 1, batch * (width + 1)),
            ] {
                let kernel = Rotary {
                    x_offset: 4,
                    x_batch_stride: batch_stride,
                    x_row_stride: row_stride,
                    first_position: 3,
                    ..Rotary::contiguous(batch, rows, heads, head_dim, pairs)
                };
                let extents = kernel.extents();
                let before = numbers(extents[0], 1);
                let (cosine, sine) = (numbers(extents[1], 2), numbers(extents[2], 3));
                let mut x = before.clone();
                let views = vec![
                    View::FloatMut(&mut x),
                    View::Float(&cosine),
                    View::Float(&sine),
                ];
                run(kernel, views).unwrap();
                let (mut expected, cosine, sine) = (widen(&before), widen(&cosine), widen(&sine));
                let (dim, half) = (head_dim as usize, head_dim as usize / 2);
                for b in 0..batch as usize {
                    for r in 0..rows as usize {
                        let table = (3 + r) * half..(4 + r) * half;
                        for h in 0..heads as usize {
                            let start =
                                4 + b * batch_stride as usize + r * row_stride as usize + h * dim;
                            let head = &mut expected[start..start + dim];
                            let turned = reference(
                                head,
                                &cosine[table.clone()],
                                &sine[table.clone()],
                                pairs,
                            );
                            head.copy_from_slice(&turned);
                        }
                    }
                }
                assert_close(&x, &expected, 4e-7, "rotary");
            }
        }
    }
}

/// Products of turned queries and keys depend on their distance alone, which is what the method is for.
#[test]
fn products_depend_on_the_distance_alone() {
    let (positions, head_dim) = (50usize, 16usize);
    let (cosine, sine) = tables(positions, head_dim);
    let (query, key) = (numbers(head_dim, 7), numbers(head_dim, 8));
    for pairs in BOTH {
        let at = |position: usize, head: &[f32]| {
            let mut x = head.to_vec();
            let kernel = Rotary {
                first_position: position as u32,
                ..Rotary::contiguous(1, 1, 1, head_dim as u32, pairs)
            };
            let views = vec![
                View::FloatMut(&mut x),
                View::Float(&cosine),
                View::Float(&sine),
            ];
            run(kernel, views).unwrap();
            widen(&x)
        };
        let product = |m, n| -> f64 {
            at(m, &query)
                .iter()
                .zip(at(n, &key))
                .map(|(q, k)| q * k)
                .sum()
        };
        for shift in [1, 13, 39] {
            let (near, far) = (product(7, 2), product(7 + shift, 2 + shift));
            assert!((near - far).abs() < 2e-6, "{near} {far}");
        }
        assert!((product(7, 2) - product(7, 3)).abs() > 1e-3);
    }
}

#[test]
fn a_fused_projection_keeps_its_values() {
    let (rows, heads, head_dim) = (3u32, 2u32, 4u32);
    let (cosine, sine) = tables(3, 4);
    for pairs in BOTH {
        let kernel = Rotary::fused(2, rows, heads, head_dim, pairs);
        let before = numbers(2 * 3 * 24, 4);
        let mut x = before.clone();
        let views = vec![
            View::FloatMut(&mut x),
            View::Float(&cosine),
            View::Float(&sine),
        ];
        run(kernel, views).unwrap();
        for (index, (before, after)) in before.chunks(24).zip(x.chunks(24)).enumerate() {
            assert_eq!(before[16..], after[16..]);
            // Position 0 is no rotation; elsewhere every query and key has moved.
            let moved = before[..16]
                .iter()
                .zip(after)
                .filter(|(b, a)| b != a)
                .count();
            assert_eq!(moved, if index % 3 == 0 { 0 } else { 16 });
        }
    }
}

#[test]
fn an_example_does_not_depend_on_its_batch() {
    let (batch, rows, heads, head_dim) = (9u32, 33u32, 4u32, 32u32);
    let (cosine, sine) = tables(rows as usize, head_dim as usize);
    let size = (rows * heads * head_dim) as usize;
    let before = numbers(batch as usize * size, 6);
    for pairs in BOTH {
        let turn = |batch: u32, x: &[f32]| {
            let mut x = x.to_vec();
            let views = vec![
                View::FloatMut(&mut x),
                View::Float(&cosine),
                View::Float(&sine),
            ];
            run(
                Rotary::contiguous(batch, rows, heads, head_dim, pairs),
                views,
            )
            .unwrap();
            x
        };
        let all = turn(batch, &before);
        for (before, after) in before.chunks(size).zip(all.chunks(size)) {
            assert_eq!(turn(1, before), after);
        }
    }
}

#[test]
fn bad_parameters_and_cost() {
    let good = Rotary::contiguous(2, 3, 4, 6, RotaryPairs::HALVES);
    good.check().unwrap();
    assert_refuses(Rotary { batch: 0, ..good }, "batch");
    assert_refuses(Rotary { rows: 0, ..good }, "rows");
    assert_refuses(Rotary { heads: 0, ..good }, "heads");
    assert_refuses(
        Rotary {
            head_dim: 0,
            ..good
        },
        "head_dim",
    );
    assert_refuses(
        Rotary {
            head_dim: 5,
            ..good
        },
        "head_dim",
    );
    let heads = u32::MAX;
    assert_refuses(Rotary { heads, ..good }, "heads");
    let x_row_stride = 23;
    assert_refuses(
        Rotary {
            x_row_stride,
            ..good
        },
        "x_row_stride",
    );
    let pairs: RotaryPairs = bytemuck::cast(2u32);
    assert_refuses(Rotary { pairs, ..good }, "pairs");
    let far = Rotary {
        first_position: u32::MAX,
        ..good
    };
    assert_eq!(far.extents()[1], (u32::MAX as usize + 3) * 3);
    assert_eq!(good.extents(), [144, 9, 9]);
    let (mut x, short, table) = ([0.0f32; 144], [0.0f32; 8], [0.0f32; 9]);
    let views = vec![
        View::FloatMut(&mut x),
        View::Float(&table),
        View::Float(&short),
    ];
    let error = run(good, views).unwrap_err();
    assert!(matches!(error, KernelError::Operand { operand, .. } if operand == "sine"));
    let cost = good.cost();
    assert_eq!((cost.flops, cost.bytes), (72 * 6, (2 * 144 + 18) * 4));
}
