//! Small dynamical systems: names, sizes, parameters.

use crate::KernelError;
use crate::ode_ensemble::OdeField;
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// A map x' = F(x) or a flow dx/dt = f(x; t) of at most four numbers, as a word that shaders branch on.
/// The words of flows are those of [`OdeField`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct DynamicalSystem(u32);

/// What there is to know of a system.
struct Facts {
    system: DynamicalSystem,
    name: &'static str,
    dimension: u32,
    parameters: &'static [&'static str],
    /// Operations of one evaluation of the field or map, and of its Jacobian.
    flops: [u64; 2],
}

const FACTS: [Facts; 11] = [
    Facts {
        system: DynamicalSystem::LORENZ63,
        name: "lorenz63",
        dimension: 3,
        parameters: &["sigma", "rho", "beta"],
        flops: [9, 1],
    },
    Facts {
        system: DynamicalSystem::ROSSLER,
        name: "rossler",
        dimension: 3,
        parameters: &["a", "b", "c"],
        flops: [6, 1],
    },
    Facts {
        system: DynamicalSystem::VAN_DER_POL,
        name: "van_der_pol",
        dimension: 2,
        parameters: &["mu"],
        flops: [5, 7],
    },
    Facts {
        system: DynamicalSystem::HENON_HEILES,
        name: "henon_heiles",
        dimension: 4,
        parameters: &[],
        flops: [7, 4],
    },
    Facts {
        system: DynamicalSystem::DOUBLE_GYRE,
        name: "double_gyre",
        dimension: 2,
        parameters: &["amplitude", "epsilon"],
        flops: [84, 97],
    },
    Facts {
        system: DynamicalSystem::OSCILLATOR,
        name: "oscillator",
        dimension: 2,
        parameters: &["stiffness", "damping"],
        flops: [3, 0],
    },
    Facts {
        system: DynamicalSystem::HENON,
        name: "henon",
        dimension: 2,
        parameters: &["a", "b"],
        flops: [5, 2],
    },
    Facts {
        system: DynamicalSystem::CAT,
        name: "cat",
        dimension: 2,
        parameters: &[],
        flops: [9, 0],
    },
    Facts {
        system: DynamicalSystem::STANDARD_MAP,
        name: "standard_map",
        dimension: 2,
        parameters: &["k"],
        flops: [30, 25],
    },
    Facts {
        system: DynamicalSystem::LOGISTIC,
        name: "logistic",
        dimension: 1,
        parameters: &["r"],
        flops: [3, 3],
    },
    Facts {
        system: DynamicalSystem::IKEDA,
        name: "ikeda",
        dimension: 2,
        parameters: &["u"],
        flops: [40, 60],
    },
];

impl DynamicalSystem {
    /// Lorenz (1963); see [`OdeField::LORENZ63`]. Parameters sigma, rho, beta.
    pub const LORENZ63: Self = Self(0);
    /// Rossler (1976); see [`OdeField::ROSSLER`]. Parameters a, b, c.
    pub const ROSSLER: Self = Self(1);
    /// Van der Pol (1926); see [`OdeField::VAN_DER_POL`]. Parameter mu.
    pub const VAN_DER_POL: Self = Self(2);
    /// Henon and Heiles (1964); see [`OdeField::HENON_HEILES`]. No parameters.
    pub const HENON_HEILES: Self = Self(3);
    /// Shadden, Lekien, Marsden (2005); see [`OdeField::DOUBLE_GYRE`]. Parameters A and epsilon.
    pub const DOUBLE_GYRE: Self = Self(4);
    /// A damped harmonic oscillator; see [`OdeField::OSCILLATOR`]. Parameters stiffness and damping.
    pub const OSCILLATOR: Self = Self(5);
    /// Henon (1976): x' = 1 - a x^2 + y, y' = b x. Parameters a and b.
    pub const HENON: Self = Self(16);
    /// Arnold's cat: x' = 2 x + y, y' = x + y, both modulo 1. No parameters.
    pub const CAT: Self = Self(17);
    /// Chirikov's standard map, state (x, p): p' = p + k sin x, x' = x + p', both modulo 2 pi.
    pub const STANDARD_MAP: Self = Self(18);
    /// The logistic map x' = r x (1 - x). Parameter r.
    pub const LOGISTIC: Self = Self(19);
    /// Ikeda's map in the real form of Hammel, Jones, Moloney (1985): t = 0.4 - 6 / (1 + x^2 + y^2),
    /// x' = 1 + u (x cos t - y sin t), y' = u (x sin t + y cos t). Parameter u.
    pub const IKEDA: Self = Self(20);

    /// All of them, flows first.
    pub const ALL: &'static [Self] = &[
        Self::LORENZ63,
        Self::ROSSLER,
        Self::VAN_DER_POL,
        Self::HENON_HEILES,
        Self::DOUBLE_GYRE,
        Self::OSCILLATOR,
        Self::HENON,
        Self::CAT,
        Self::STANDARD_MAP,
        Self::LOGISTIC,
        Self::IKEDA,
    ];

    /// Their entry points, in the same order.
    pub(super) const ENTRY_POINTS: &'static [&'static str] = &[
        "lorenz63",
        "rossler",
        "van_der_pol",
        "henon_heiles",
        "double_gyre",
        "oscillator",
        "henon",
        "cat",
        "standard_map",
        "logistic",
        "ikeda",
    ];

    fn facts(self) -> Option<&'static Facts> {
        FACTS.iter().find(|facts| facts.system == self)
    }

    /// The flow of a field; none for fields of more than four numbers.
    pub fn of_field(field: OdeField) -> Option<Self> {
        Self::by_name(field.name())
    }

    /// Name, also that of its entry point; "unknown" for a word that is none of them.
    pub fn name(self) -> &'static str {
        self.facts().map_or("unknown", |f| f.name)
    }

    /// The system of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.name() == name)
    }

    /// Numbers in the state of one trajectory; 0 for a word that is none of them.
    pub fn dimension(self) -> u32 {
        self.facts().map_or(0, |f| f.dimension)
    }

    /// Names of the parameters, in order.
    pub fn parameters(self) -> &'static [&'static str] {
        self.facts().map_or(&[], |f| f.parameters)
    }

    /// Whether it is a flow, integrated by steps, and not a map.
    pub fn is_flow(self) -> bool {
        self.0 < Self::HENON.0
    }

    /// Operations of one evaluation, and of one Jacobian; a multiply-add counts two.
    pub(super) fn flops(self) -> [u64; 2] {
        self.facts().map_or([0, 0], |f| f.flops)
    }

    pub(super) fn check(self, kernel: &'static str) -> Result<(), KernelError> {
        if self.facts().is_some() {
            return Ok(());
        }
        let expected = format!("one of the {} systems", FACTS.len());
        Err(KernelError::parameter(kernel, "system", expected, self.0))
    }
}
