//! Cases of one file of `maps` goldens: every entry of the JSON file is a system, its tensors are
//! `ENTRY.NAME` of the safetensors file beside it.
//!
//! What an entry is follows from its keys and tensors; its own name only tells which textbook system it
//! is, where the JSON does not.

mod case;
mod classical;
mod fields;
mod linear;
mod measured;
mod network;
mod space;

use case::MapCase;

use super::super::checks::{CaseError, Cases, Checks};
use super::super::folder::Folder;
use crate::device::Device;

/// What an entry describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `A`, `Q0`, `logR`: powers of a matrix.
    Linear,
    /// `start`, `steps`: a textbook map.
    Discrete,
    /// `h`, `x0`, `x_start`: a textbook flow under a fixed step.
    Flow,
    /// `N`, `F`: Lorenz's ring of 1996.
    Ring,
    /// `u0`, `L`: Kuramoto and Sivashinsky's equation.
    Spectral,
    /// `flowmap_x`, `ftle_...`: a finite-time field of a flow in the plane.
    Field,
    /// `W1`, `x_end_METHOD`: a small flow-matching network along its solver.
    FlowNetwork,
    /// `A1`, `z0`, `actions`: latent dynamics of a world model.
    WorldModel,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Discrete => "discrete",
            Self::Flow => "ode",
            Self::Ring => "lorenz96",
            Self::Spectral => "spectral",
            Self::Field => "ftle-field",
            Self::FlowNetwork => "flow-network",
            Self::WorldModel => "world-model",
        }
    }

    /// The kind of an entry, the first that fits.
    fn of(case: &MapCase<'_>) -> Option<Self> {
        let tensor = |name: &str| case.has_tensor(name);
        let key = |name: &str| case.has_key(name);
        let signs = [
            (tensor("flowmap_x") || tensor("flowmap_y"), Self::Field),
            (tensor("A") && tensor("logR"), Self::Linear),
            (tensor("A1") || tensor("z0"), Self::WorldModel),
            (tensor("W1"), Self::FlowNetwork),
            (tensor("u0") || tensor("u_start"), Self::Spectral),
            (tensor("x0") && key("N") && key("F"), Self::Ring),
            (tensor("x0") && key("h"), Self::Flow),
            (tensor("x0") && key("steps"), Self::Discrete),
        ];
        let first = signs.into_iter().find(|(fits, _)| *fits);
        first.map(|(_, kind)| kind)
    }

    fn check(self, case: &MapCase<'_>, checks: &mut Checks) -> Result<(), CaseError> {
        match self {
            Self::Discrete | Self::Flow => classical::check(case, checks),
            Self::Field => fields::check(case, checks),
            Self::Linear => linear::check(case, checks),
            Self::Ring => space::check_ring(case, checks),
            Self::Spectral => space::check_spectral(case, checks),
            Self::FlowNetwork => network::check_flow(case, checks),
            Self::WorldModel => network::check_dynamics(case, checks),
        }
    }
}

/// Verifies the cases of one file; the tensors are in `STEM.safetensors` beside it.
pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    let arrays = match folder.arrays(&format!("{stem}.safetensors")) {
        Ok(arrays) => arrays,
        Err(error) => return cases.run(stem, "maps", |_| Err(error)),
    };
    for (name, entry) in folder.index().entries() {
        let case = MapCase::new(name, entry, &arrays, device);
        let Some(kind) = Kind::of(&case) else {
            cases.unsupported(name, "unknown", "unknown kind of case");
            continue;
        };
        let mut finished = false;
        cases.run(name, kind.name(), |checks| {
            kind.check(&case, checks)?;
            finished = true;
            Ok(())
        });
        let left = case.left();
        if finished && !left.is_empty() {
            let reason = format!("not compared: {}", left.join(", "));
            cases.unsupported(&format!("{name}.others"), kind.name(), &reason);
        }
    }
    let index = folder.index();
    let entries: Vec<&str> = index.entries().into_iter().map(|(name, _)| name).collect();
    for name in arrays.names() {
        let owner = name.split_once('.').map_or(name, |(owner, _)| owner);
        if !entries.contains(&owner) {
            cases.unsupported(name, "unknown", "a tensor without an entry, not compared");
        }
    }
}
