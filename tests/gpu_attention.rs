//! The attention shader, both variants' worth of sizes, against its twin.

mod common;

use attractor::device::Device;
use attractor_kernels::attention::Attention;
use common::variants::against_twin;
use common::{Array, assert_close, gpu, run, values};

fn operands(kernel: &Attention) -> Vec<Array> {
    use attractor_kernels::Kernel;
    kernel
        .extents()
        .into_iter()
        .zip(1..)
        .map(|(count, salt)| match count {
            0 => Array::Absent,
            _ => Array::Float(values(count, salt)),
        })
        .collect()
}

fn compare(gpu: &Device, kernel: Attention, operands: &[Array]) {
    let exact = run(&Device::cpu_f64(), kernel, operands);
    let depth = kernel.head_dim.max(kernel.k_rows) as f32;
    // Beyond the products: a device's exp may be off by 3 + 2 |x| units in the last place, and scores
    // here differ by less than 16.
    let tolerance = 4e-7 * depth.sqrt() + 5e-6;
    against_twin(gpu, &format!("{kernel:?}"), kernel, operands, tolerance);
    for device in [&Device::cpu(), gpu] {
        let found = run(device, kernel, operands);
        let what = format!("{kernel:?} on {}", device.info().name);
        assert_close(&what, found[4].floats(), exact[4].floats(), tolerance);
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn sizes_of_all_kinds() {
    let gpu = gpu();
    for (batch, q_rows, k_rows, heads, head_dim) in [
        (1, 1, 1, 1, 1),
        (2, 3, 5, 2, 7),
        (3, 41, 41, 4, 32),
        (2, 13, 73, 3, 64),
        (1, 17, 33, 2, 65),
        (1, 5, 130, 1, 256),
    ] {
        let mut kernel = Attention::contiguous(batch, q_rows, k_rows, heads, head_dim);
        compare(&gpu, kernel, &operands(&kernel));
        kernel.flags = Attention::MASK;
        kernel.mask_batch_stride = q_rows * k_rows;
        compare(&gpu, kernel, &operands(&kernel));
    }
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
    compare(&gpu, grouped, &operands(&grouped));
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn masked_keys_take_no_part() {
    let gpu = gpu();
    let mut kernel = Attention::contiguous(2, 20, 35, 2, 8);
    kernel.flags = Attention::MASK;
    let mut operands = operands(&kernel);
    let mask = (0..20 * 35)
        .map(|place| match (place / 35, place % 35) {
            (2, _) => f32::NEG_INFINITY,
            (1, key) if key != 34 => f32::NEG_INFINITY,
            (_, key) if key % 3 == 0 => f32::NEG_INFINITY,
            _ => 0.5,
        })
        .collect();
    operands[3] = Array::Float(mask);
    compare(&gpu, kernel, &operands);
    let found = run(&gpu, kernel, &operands);
    assert_eq!(found[4].floats()[32..48], [0.0; 16], "a row without keys");
    assert_eq!(
        found[4].floats()[16..32],
        operands[2].floats()[34 * 16..35 * 16],
        "a row with one key"
    );
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn examples_do_not_depend_on_each_other() {
    let gpu = gpu();
    let many = Attention::contiguous(5, 41, 37, 2, 33);
    let data = operands(&many);
    let all = run(&gpu, many, &data);
    let one = Attention::contiguous(1, 41, 37, 2, 33);
    let count = 41 * 2 * 33;
    for example in [0, 3, 4] {
        let own: Vec<Array> = data
            .iter()
            .map(|array| match array {
                Array::Float(all) => {
                    let size = all.len() / 5;
                    Array::Float(all[example * size..(example + 1) * size].to_vec())
                }
                other => other.clone(),
            })
            .collect();
        let found = run(&gpu, one, &own);
        assert_eq!(
            found[4].floats(),
            &all[4].floats()[example * count..(example + 1) * count]
        );
    }
}
