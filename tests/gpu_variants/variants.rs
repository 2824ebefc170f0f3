//! Kernels that choose what one case does not: entry points by size, by field and by method.

use crate::cases::case;
use attractor_kernels::ode_ensemble::{OdeEnsemble, OdeField, OdeMethod};
use attractor_kernels::qr::Qr;
use attractor_kernels::tangent_ensemble::{DynamicalSystem, TangentEnsemble};
use attractor_kernels::{AnyKernel, KernelId};

/// Kernels that between them choose every entry point.
pub fn variants(id: KernelId) -> Vec<AnyKernel> {
    if id == KernelId::Qr {
        // One invocation, one workgroup with and without its memory; elements as strides have them.
        let tangents = Qr {
            flags: 7,
            offset: 3,
            ..Qr::tangents(5, 67, 9)
        };
        let sizes = [
            (67, 5, 3),
            (3, 8, 8),
            (3, 1, 1),
            (5, 33, 7),
            (2, 64, 64),
            (3, 4099, 3),
        ];
        let sizes = sizes.map(|(batch, rows, columns)| Qr::contiguous(batch, rows, columns));
        return sizes
            .iter()
            .chain([&tangents])
            .map(|qr| (*qr).into())
            .collect();
    }
    let one = match case(id) {
        AnyKernel::OdeEnsemble(one) => one,
        AnyKernel::TangentEnsemble(one) => return systems(one),
        other => return vec![other],
    };
    // An entry point for each field, and another for its many stages.
    let methods = OdeMethod::ALL.iter().map(|(_, method)| *method);
    let fields = OdeField::ALL.iter().copied();
    fields
        .flat_map(|field| methods.clone().map(move |method| (field, method)))
        .map(|(field, method)| match method.is_adaptive() {
            // Tolerances so wide that every step grows by the largest factor: other precisions would
            // choose other steps otherwise.
            true => OdeEnsemble {
                relative_tolerance: 100.0,
                absolute_tolerance: 100.0,
                ..OdeEnsemble::adaptive(field, 67, 0.1, 0.01, 40).with_clock(0.1, 0.3)
            },
            false => OdeEnsemble {
                field,
                method,
                record_every: 4,
                flags: OdeEnsemble::EACH,
                ..one
            },
        })
        .map(AnyKernel::from)
        .collect()
}

/// Every textbook system by every method that it has, by both layouts.
fn systems(one: TangentEnsemble) -> Vec<AnyKernel> {
    let methods = [
        OdeMethod::EULER,
        OdeMethod::MIDPOINT,
        OdeMethod::HEUN,
        OdeMethod::RK4,
    ];
    let all = DynamicalSystem::ALL.iter().copied();
    let all = all.flat_map(|system| methods.map(|method| (system, method)));
    all.filter(|(system, method)| system.is_flow() || *method == OdeMethod::EULER)
        .map(|(system, method)| {
            // Chaos parts the precisions soon, and from most of these starts Henon's map runs off.
            let one = match !system.is_flow() {
                true => TangentEnsemble {
                    steps: 4,
                    total_steps: 4,
                    transient: 0,
                    ..one
                },
                false => one,
            };
            let kernel = TangentEnsemble {
                system,
                method,
                tangents: system.dimension(),
                component_stride: one.trajectories,
                tangent_stride: system.dimension() * one.trajectories,
                ..one
            };
            match method == OdeMethod::HEUN || system == DynamicalSystem::CAT {
                true => kernel.by_example(),
                false => TangentEnsemble {
                    flags: TangentEnsemble::EACH,
                    ..kernel
                },
            }
        })
        .map(AnyKernel::from)
        .collect()
}
