//! Every registered shader composes, validates, and shares its parameter block and bindings with the
//! Rust side, as naga reflects them.

use attractor_kernels::{Element, KernelId, compose};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ScalarKind, TypeInner};

fn module(kernel: KernelId) -> Module {
    let source = compose(kernel.shader());
    naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name(), e.emit_to_string(&source)))
}

#[test]
fn every_shader_validates() {
    for &kernel in KernelId::ALL {
        let module = module(kernel);
        Validator::new(ValidationFlags::all(), Capabilities::IMMEDIATES)
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}: {e:?}", kernel.name()));
        let mut found: Vec<_> = module
            .entry_points
            .iter()
            .map(|e| e.name.as_str())
            .collect();
        let mut expected = kernel.entry_points().to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "entry points of {}", kernel.name());
        assert!(
            !compose(kernel.shader()).contains("//#import"),
            "{}: unknown import",
            kernel.name()
        );
    }
}

#[test]
fn workgroups_stay_within_what_every_device_has() {
    for &kernel in KernelId::ALL {
        let module = module(kernel);
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).expect("layout");
        for entry in &module.entry_points {
            let invocations: u32 = entry.workgroup_size.iter().product();
            assert!(invocations <= 256, "{}::{}", kernel.name(), entry.name);
        }
        let workgroup: u32 = module
            .global_variables
            .iter()
            .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
            .map(|(_, v)| layouter[v.ty].size)
            .sum();
        assert!(
            workgroup <= 16_384,
            "{}: {workgroup} bytes of workgroup memory",
            kernel.name()
        );
    }
}

#[test]
fn bindings_are_the_operands() {
    for &kernel in KernelId::ALL {
        let module = module(kernel);
        let mut bound: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, v)| Some((v.binding?, v)))
            .collect();
        bound.sort_by_key(|(place, _)| place.binding);
        assert_eq!(bound.len(), kernel.operands().len(), "{}", kernel.name());
        assert!(
            bound.len() <= 8,
            "{}: over eight storage buffers",
            kernel.name()
        );
        for (index, ((place, variable), operand)) in bound.iter().zip(kernel.operands()).enumerate()
        {
            let what = format!("{} binding {index}", kernel.name());
            assert_eq!((place.group, place.binding as usize), (0, index), "{what}");
            assert_eq!(variable.name.as_deref(), Some(operand.name), "{what}");
            let writable = AddressSpace::Storage {
                access: naga::StorageAccess::LOAD | naga::StorageAccess::STORE,
            };
            assert_eq!(
                variable.space, writable,
                "{what}: read_write, for ranges of one arena"
            );
            let TypeInner::Array { base, .. } = module.types[variable.ty].inner else {
                panic!("{what}: not an array");
            };
            let scalar = match module.types[base].inner {
                TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. } => scalar.kind,
                TypeInner::Atomic(scalar) => scalar.kind,
                ref other => panic!("{what}: {other:?}"),
            };
            let expected = match operand.element {
                Element::Float => ScalarKind::Float,
                Element::Word => ScalarKind::Uint,
            };
            assert_eq!(scalar, expected, "{what}");
        }
    }
}

/// Names and number kinds of a parameter block, in order, from its serialised form.
fn rust_fields(kernel: KernelId) -> Vec<(String, bool)> {
    let text = serde_json::to_string(&kernel.zeroed()).expect("JSON");
    text.trim_matches(['{', '}'])
        .split(',')
        .filter_map(|field| {
            let (name, value) = field.split_once(':')?;
            let name = name.trim_matches('"').to_string();
            (name != "kernel").then(|| (name, value.contains('.')))
        })
        .collect()
}

#[test]
fn parameters_are_laid_out_alike() {
    for &kernel in KernelId::ALL {
        let module = module(kernel);
        let (_, variable) = module
            .global_variables
            .iter()
            .find(|(_, v)| v.space == AddressSpace::Immediate)
            .unwrap_or_else(|| panic!("{}: no immediates", kernel.name()));
        let TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
            panic!("{}: immediates are no struct", kernel.name());
        };
        assert_eq!(*span as usize, kernel.parameter_size(), "{}", kernel.name());
        assert!(
            *span <= 128,
            "{}: over 128 bytes of immediates",
            kernel.name()
        );
        let shader: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(index, member)| {
                assert_eq!(member.offset as usize, index * 4, "{}", kernel.name());
                let float = matches!(
                    module.types[member.ty].inner,
                    TypeInner::Scalar(naga::Scalar::F32)
                );
                (member.name.clone().unwrap_or_default(), float)
            })
            .collect();
        assert_eq!(shader, rust_fields(kernel), "{}", kernel.name());
    }
}
