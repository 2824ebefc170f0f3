use super::{Reduce, Reduction};
use crate::test_support::{assert_close, assert_refuses, numbers, run};
use crate::{Kernel, View};

const ALL: [Reduction; 4] = [
    Reduction::SUM,
    Reduction::MEAN,
    Reduction::MAX,
    Reduction::MIN,
];

fn reduce(kernel: Reduce, x: &[f32]) -> Vec<f32> {
    let mut y = vec![3.0f32; kernel.extents()[1]];
    run(kernel, vec![View::Float(x), View::FloatMut(&mut y)]).unwrap();
    y
}

fn reference(k: &Reduce, x: &[f32]) -> Vec<f64> {
    let (length, inner) = (k.length as usize, k.inner as usize);
    let mut y = vec![3.0; k.y_offset as usize];
    for o in 0..k.outer as usize {
        for i in 0..inner {
            let values = (0..length)
                .map(|l| f64::from(x[k.x_offset as usize + (o * length + l) * inner + i]));
            y.push(match k.operation {
                Reduction::SUM => values.sum(),
                Reduction::MEAN => values.sum::<f64>() / length as f64,
                Reduction::MAX => values.fold(f64::MIN, f64::max),
                _ => values.fold(f64::MAX, f64::min),
            });
        }
    }
    y
}

#[test]
fn matches_the_formula() {
    let shapes = [
        (1, 1, 1),
        (3, 33, 1),
        (5, 7, 3),
        (2, 65, 31),
        (1, 19, 97),
        (700, 61, 1),
        (1, 40_001, 2),
    ];
    for (outer, length, inner) in shapes {
        for operation in ALL {
            let kernel = Reduce {
                x_offset: 2,
                y_offset: 1,
                ..Reduce::middle(operation, outer, length, inner)
            };
            let x = numbers(kernel.extents()[0], 6);
            let expected = reference(&kernel, &x);
            assert_close(&reduce(kernel, &x), &expected, 2e-7, "reduce");
        }
    }
}

#[test]
fn sums_are_compensated() {
    // A plain f32 sum of these loses the small terms that meet a one: all of them in columns. The
    // gathered error is itself a plain sum, here of 100,000 equal terms, hence the tolerance.
    for inner in [1usize, 5] {
        let mut x = vec![1.0f32; inner];
        x.extend(vec![2e-8f32; 100_000 * inner]);
        x.extend(vec![-1.0f32; inner]);
        let kernel = Reduce::middle(Reduction::SUM, 1, 100_002, inner as u32);
        for sum in reduce(kernel, &x) {
            assert!((sum - 2e-3).abs() < 5e-6, "{sum}");
        }
    }
}

#[test]
fn infinities_and_nan() {
    let top = f32::INFINITY;
    let one = |operation, x: &[f32]| {
        let length = x.len() as u32;
        reduce(Reduce::middle(operation, 1, length, 1), x)[0]
    };
    assert_eq!(one(Reduction::SUM, &[1.0, top, 2.0]), top);
    assert_eq!(one(Reduction::MEAN, &[1.0, -top]), -top);
    assert!(one(Reduction::SUM, &[top, -top]).is_nan());
    assert_eq!(one(Reduction::MAX, &[-top, -top]), -top);
    assert_eq!(one(Reduction::MIN, &[top, top]), top);
    for position in 0..40 {
        let mut x = numbers(40, 1);
        x[position] = f32::NAN;
        for operation in ALL {
            assert!(one(operation, &x).is_nan(), "{operation:?} {position}");
            let columns = Reduce::middle(operation, 1, 20, 2);
            let y = reduce(columns, &x);
            assert!(y[position % 2].is_nan() && !y[1 - position % 2].is_nan());
        }
    }
}

#[test]
fn an_example_does_not_depend_on_its_batch() {
    for inner in [1u32, 3, 40] {
        let (outer, length) = (90u32, 101u32);
        let each = (length * inner) as usize;
        let x = numbers(outer as usize * each, 8);
        let all = reduce(Reduce::middle(Reduction::SUM, outer, length, inner), &x);
        for (x, y) in x.chunks(each).zip(all.chunks(inner as usize)) {
            assert_eq!(
                reduce(Reduce::middle(Reduction::SUM, 1, length, inner), x),
                y
            );
        }
    }
}

#[test]
fn bad_parameters_and_cost() {
    let good = Reduce::middle(Reduction::MAX, 2, 5, 3);
    good.check().unwrap();
    assert_eq!((good.cost().flops, good.cost().bytes), (30, 36 * 4));
    assert_refuses(Reduce { outer: 0, ..good }, "outer");
    assert_refuses(Reduce { length: 0, ..good }, "length");
    assert_refuses(Reduce { inner: 0, ..good }, "inner");
    assert_refuses(Reduce::middle(Reduction(4), 1, 1, 1), "operation");
}
