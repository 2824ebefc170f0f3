//! Every entry point of every registered kernel against the twin: no variant that only some devices
//! choose goes untested. A new kernel does not compile here until it has a case.

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod long_loops;
mod operands;
mod variants;

use attractor::device::Device;
use attractor_kernels::conv2d::Conv2d;
use attractor_kernels::{Access, AnyKernel, Capabilities, Element, KernelId, SOFTWARE_ITERATIONS};
use cases::{case, convolution};
use common::variants::{against_single_twin, dispatch, launches};
use common::{Array, assert_close, gpu, run};
use long_loops::long_loops;
use operands::operands;
use std::collections::BTreeSet;
use variants::variants;

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn every_entry_point_of_every_kernel_agrees_with_its_twin() {
    let gpu = gpu();
    for &id in KernelId::ALL {
        let kernels = variants(id);
        let chosen = kernels.iter().flat_map(launches).map(|l| l.entry_point);
        let chosen: BTreeSet<_> = chosen.collect();
        let all: BTreeSet<_> = id.entry_points().iter().copied().collect();
        assert_eq!(chosen, all, "{}: variants that its case meets", id.name());
        for kernel in kernels {
            against_single_twin(&gpu, "odd sizes", kernel, &operands(&kernel), 2e-5);
        }
    }
}

/// The contract of the products: one chain of multiply-adds with k ascending, whatever the tile. So both
/// variants give the same bits, and a row the same ones in any batch.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn variants_of_the_products_agree_bit_for_bit() {
    let gpu = gpu();
    let gpu = gpu.gpu().expect("a GPU device");
    let alone = Conv2d {
        batch: 1,
        ..convolution()
    };
    let (many, one) = (AnyKernel::from(convolution()), AnyKernel::from(alone));
    let data = operands(&many);
    let mut first = data.clone();
    for (array, count) in first.iter_mut().zip(one.extents()) {
        *array = match &*array {
            Array::Float(values) => Array::Float(values[..count].to_vec()),
            other => other.clone(),
        };
    }
    let product = case(KernelId::MatMul);
    let mut products = Vec::new();
    let mut images = Vec::new();
    for launch in launches(&product) {
        products.push(dispatch(gpu, &product, &launch, &operands(&product)).pop());
    }
    for launch in launches(&many) {
        images.push(dispatch(gpu, &many, &launch, &data).pop());
    }
    assert_eq!(products[0], products[1]);
    assert_eq!(images[0], images[1]);
    for launch in launches(&one) {
        let found = dispatch(gpu, &one, &launch, &first);
        let all = images[0].as_ref().expect("an output").floats();
        let own = found[3].floats();
        assert_eq!(own, &all[..own.len()], "{}", launch.entry_point);
    }
}

/// What the kernels say of their loops is no less than what software adapters count, which give wrong
/// results without a word beyond their limit.
#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn the_longest_loops_that_software_adapters_are_given_end() {
    let device = gpu();
    let software = Capabilities {
        software: true,
        ..Capabilities::default()
    };
    for at in long_loops() {
        let (mut fits, mut too_long) = (1, 1 << 18);
        while too_long - fits > 1 {
            let middle = (fits + too_long) / 2;
            if at(middle).software_iterations() > SOFTWARE_ITERATIONS {
                too_long = middle;
            } else {
                fits = middle;
            }
        }
        let kernel = at(fits);
        let operands = operands(&kernel);
        let exact = run(&Device::cpu_f64(), kernel, &operands);
        let gpu = device.gpu().expect("a GPU device");
        let found = dispatch(gpu, &kernel, &kernel.launch(&software), &operands);
        let written = kernel.id().operands().iter().position(|operand| {
            operand.access != Access::Read && operand.element == Element::Float && !operand.optional
        });
        let written = written.expect("a float that is written");
        let (found, exact) = (&found[written], &exact[written]);
        let largest = exact.floats().iter().fold(0f32, |m, v| m.max(v.abs()));
        let scaled = |array: &Array| -> Vec<f32> {
            let values = array.floats().iter();
            values.map(|v| v / largest).collect()
        };
        assert_close(&format!("{kernel:?}"), &scaled(found), &scaled(exact), 4e-4);
    }
}
