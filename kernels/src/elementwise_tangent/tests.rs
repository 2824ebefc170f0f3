use super::ElementwiseTangent;
use crate::elementwise::{Elementwise, Operation};
use crate::test_support::{assert_close, assert_refuses, central_difference, numbers, run, widen};
use crate::{Kernel, Scalar, View};

const OPERATIONS: [Operation; 4] = [
    Operation::ADD,
    Operation::SUBTRACT,
    Operation::MULTIPLY,
    Operation::DIVIDE,
];

const TANGENTS: u32 = 3;

/// (shape, strides of a, strides of b)
const LAYOUTS: [([u32; 4], [u32; 4], [u32; 4]); 6] = [
    ([1, 1, 1, 1], [0; 4], [0; 4]),
    ([1, 1, 1, 9001], [0, 0, 0, 1], [0, 0, 0, 1]),
    ([2, 3, 5, 7], [105, 35, 7, 1], [0, 0, 0, 1]),
    ([2, 3, 5, 7], [0, 7, 0, 1], [15, 5, 1, 0]),
    ([3, 1, 11, 4], [1, 0, 12, 3], [44, 44, 4, 1]),
    ([1, 3, 1, 2000], [0, 1, 0, 0], [0, 2000, 0, 1]),
];

fn layout(index: usize, operation: Operation) -> Elementwise {
    let (shape, a, b) = LAYOUTS[index];
    Elementwise {
        a_offset: 2,
        b_offset: 1,
        out_offset: 3,
        alpha: 1.5,
        beta: -0.5,
        ..Elementwise::broadcast(operation, shape, a, b)
    }
}

/// Tangents of `primal` a few elements apart, of the operands that are active.
fn tangent(primal: &Elementwise, active: [bool; 2], tangents: u32) -> ElementwiseTangent {
    let extents = primal.extents();
    let stride = |operand: usize| match active[operand] {
        true => extents[operand] as u32 + 4,
        false => 0,
    };
    let out = extents[2] as u32 + 1;
    ElementwiseTangent::new(*primal, tangents, stride(0), stride(1), out)
}

/// a, b, da and db for a kernel; b away from zero.
fn inputs(kernel: &ElementwiseTangent) -> [Vec<f32>; 4] {
    let extents = kernel.extents();
    let b = numbers(extents[1], 2).iter().map(|v| v + 3.0).collect();
    let [a, da, db] = [(0, 1), (2, 3), (3, 4)].map(|(i, seed)| numbers(extents[i], seed));
    [a, b, da, db]
}

fn tangents<T: Scalar>(kernel: ElementwiseTangent, inputs: [&[f32]; 4]) -> Vec<T> {
    let [a, b, da, db] = inputs.map(|x| x.iter().map(|v| T::from_f32(*v)).collect::<Vec<T>>());
    let optional = |data, stride: u32| match stride {
        0 => View::Absent,
        _ => View::Float(data),
    };
    let mut out = vec![T::from_f64(5.0); kernel.extents()[4]];
    let views = vec![
        View::Float(&a),
        View::Float(&b),
        optional(&da[..], kernel.a_tangent_stride),
        optional(&db[..], kernel.b_tangent_stride),
        View::FloatMut(&mut out),
    ];
    run(kernel, views).unwrap();
    out
}

fn primal_values(primal: Elementwise, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut out = vec![5.0; primal.extents()[2]];
    let views = vec![View::Float(a), View::Float(b), View::FloatMut(&mut out)];
    run(primal, views).unwrap();
    out
}

/// The quotient, product and sum rules, one element at a time.
fn rule(operation: Operation, (u, du): (f64, f64), (v, dv): (f64, f64)) -> f64 {
    match operation {
        Operation::ADD => du + dv,
        Operation::SUBTRACT => du - dv,
        Operation::MULTIPLY => du * v + u * dv,
        _ => (du * v - u * dv) / (v * v),
    }
}

/// Tangents of every element by the rules, in the layout of out.
fn expected(k: &Elementwise, [a, b, da, db]: [&[f64]; 4]) -> Vec<f64> {
    let mut out = vec![5.0; 3];
    let (alpha, beta) = (f64::from(k.alpha), f64::from(k.beta));
    for i in 0..k.shape_0 {
        for j in 0..k.shape_1 {
            for l in 0..k.shape_2 {
                for m in 0..k.shape_3 {
                    let own = i * k.a_stride_0 + j * k.a_stride_1;
                    let at = (2 + own + l * k.a_stride_2 + m * k.a_stride_3) as usize;
                    let left = (alpha * a[at], alpha * da[at]);
                    let own = i * k.b_stride_0 + j * k.b_stride_1;
                    let at = (1 + own + l * k.b_stride_2 + m * k.b_stride_3) as usize;
                    let right = (beta * b[at], beta * db[at]);
                    out.push(rule(k.operation, left, right));
                }
            }
        }
    }
    out
}

#[test]
fn follows_the_rules_and_differences_under_any_strides() {
    for index in 0..LAYOUTS.len() {
        for operation in OPERATIONS {
            for active in [[true, true], [true, false], [false, true]] {
                let primal = layout(index, operation);
                let kernel = tangent(&primal, active, TANGENTS);
                let data = inputs(&kernel);
                let given = data.each_ref().map(|x| &x[..]);
                let wide: Vec<f64> = tangents(kernel, given);
                let single: Vec<f32> = tangents(kernel, given);
                let what = format!("layout {index}, {operation:?}, {active:?}");
                assert_close(&single, &wide, 2e-6, &what);
                for j in 0..TANGENTS as usize {
                    hold_tangent(&primal, &kernel, given, j, &wide, &what);
                    hold_alone(&primal, active, given, j, &single, &what);
                }
            }
        }
    }
}

/// Tangent j of an operand in its primal's layout; zeros where it is constant.
fn of_operand(x: &[f32], dx: &[f32], stride: u32, j: usize) -> Vec<f64> {
    match stride {
        0 => vec![0.0; x.len()],
        stride => widen(&dx[j * stride as usize..][..x.len()]),
    }
}

fn hold_tangent(
    primal: &Elementwise,
    kernel: &ElementwiseTangent,
    [a, b, da, db]: [&[f32]; 4],
    j: usize,
    found: &[f64],
    what: &str,
) {
    let da = of_operand(a, da, kernel.a_tangent_stride, j);
    let db = of_operand(b, db, kernel.b_tangent_stride, j);
    let (a, b) = (widen(a), widen(b));
    let exact = expected(primal, [&a, &b, &da, &db]);
    let both = |x: &[f64], y: &[f64]| [x, y].concat();
    let values = |x: &[f64]| primal_values(*primal, &x[..a.len()], &x[a.len()..]);
    let differences = central_difference(values, &both(&a, &b), &both(&da, &db));
    let found = &found[j * kernel.out_tangent_stride as usize..][..exact.len()];
    assert_eq!(found[..3], [5.0; 3], "{what}");
    for ((found, exact), difference) in found.iter().zip(exact).zip(differences).skip(3) {
        assert!(
            (found - exact).abs() < 1e-12 * (1.0 + exact.abs()),
            "{what}"
        );
        assert!(
            (found - difference).abs() < 1e-7 * (1.0 + exact.abs()),
            "{what}"
        );
    }
}

fn hold_alone(
    primal: &Elementwise,
    active: [bool; 2],
    [a, b, da, db]: [&[f32]; 4],
    j: usize,
    all: &[f32],
    what: &str,
) {
    let alone = tangent(primal, active, 1);
    let part = |dx: &'_ [f32], stride: u32| dx[(j * stride as usize).min(dx.len())..].to_vec();
    let (da, db) = (
        part(da, alone.a_tangent_stride),
        part(db, alone.b_tangent_stride),
    );
    let own: Vec<f32> = tangents(alone, [a, b, &da, &db]);
    let all = &all[j * alone.out_tangent_stride as usize..][..own.len()];
    assert_eq!(own, all, "{what}: tangent {j} alone");
}

#[test]
fn what_is_not_finite_stays_so() {
    let primal = Elementwise::contiguous(Operation::DIVIDE, 4);
    let kernel = ElementwiseTangent::new(primal, 1, 4, 4, 4);
    let a = [1.0, f32::NAN, 1.0, 1.0];
    let b = [0.0, 1.0, 2.0, 2.0];
    let da = [1.0, 1.0, f32::INFINITY, 1.0];
    let out: Vec<f32> = tangents(kernel, [&a, &b, &da, &[1.0; 4]]);
    assert!(out[..3].iter().all(|v| !v.is_finite()), "{out:?}");
    assert_eq!(out[3], 0.25);
}

#[test]
fn bad_parameters_and_cost() {
    let primal =
        Elementwise::broadcast(Operation::DIVIDE, [1, 2, 3, 4], [0, 12, 4, 1], [0, 0, 0, 1]);
    let good = ElementwiseTangent::new(primal, 5, 24, 4, 24);
    good.check().unwrap();
    let cost = good.cost();
    let bytes = (24 * 5 + 24 * 6 + 4 * 6) * 4;
    assert_eq!((cost.flops, cost.bytes), (24 * 21, bytes));
    assert_refuses(ElementwiseTangent { shape_0: 0, ..good }, "shape_0");
    assert_refuses(ElementwiseTangent { shape_3: 0, ..good }, "shape_3");
    let tangents = 0;
    assert_refuses(ElementwiseTangent { tangents, ..good }, "tangents");
    let bad = f32::INFINITY;
    assert_refuses(ElementwiseTangent { alpha: bad, ..good }, "alpha");
    assert_refuses(ElementwiseTangent { beta: bad, ..good }, "beta");
    let operation: Operation = bytemuck::cast(4u32);
    assert_refuses(ElementwiseTangent { operation, ..good }, "operation");
    let overlapping = ElementwiseTangent {
        out_tangent_stride: 23,
        ..good
    };
    assert_refuses(overlapping, "out_tangent_stride");
    let constant = ElementwiseTangent {
        a_tangent_stride: 0,
        b_tangent_stride: 0,
        ..good
    };
    assert_refuses(constant, "b_tangent_stride");
    let huge = ElementwiseTangent {
        shape_0: u32::MAX,
        shape_1: u32::MAX,
        a_stride_0: u32::MAX,
        a_stride_1: u32::MAX,
        a_stride_2: u32::MAX,
        ..good
    };
    assert_refuses(huge, "shape_3");
    assert!(huge.extents()[0] > u32::MAX as usize);
}
