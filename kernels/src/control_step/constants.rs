//! Constants of the control tasks, in SI units, as the control suite's model files give them.

/// Acceleration of gravity in m/s^2.
pub const GRAVITY: f64 = 9.81;

/// The cart-pole's constants, in SI units.
pub mod cartpole {
    /// Time step.
    pub const TIMESTEP: f64 = 0.01;
    /// Mass of the cart.
    pub const CART_MASS: f64 = 1.0;
    /// Mass of the pole.
    pub const POLE_MASS: f64 = 0.1;
    /// Distance of the pole's centre of mass from the hinge.
    pub const CENTRE: f64 = 0.5;
    /// Moment of inertia of the pole about its centre of mass.
    pub const INERTIA: f64 = 0.009_424_592_767_295_598;
    /// Damping of the cart and of the hinge.
    pub const DAMPING: [f64; 2] = [5e-4, 2e-6];
    /// Force of an action of 1.
    pub const GEAR: f64 = 10.0;
    /// Largest distance of the cart from the middle.
    pub const RANGE: f64 = 1.8;
    /// Time constant of the limit.
    pub const TIME_CONSTANT: f64 = 0.08;
    /// Inverse weight of the cart at the reference pose.
    pub const INVERSE_WEIGHT: f64 = 0.973_352_054_461_412_7;
}

/// The reacher's constants, in SI units.
pub mod reacher {
    /// Time step.
    pub const TIMESTEP: f64 = 0.02;
    /// Masses of arm, hand and finger.
    pub const MASSES: [f64; 3] = [
        0.041_887_902_047_863_91,
        0.035_604_716_740_684_32,
        0.004_188_790_204_786_391,
    ];
    /// Their moments of inertia about their centres of mass.
    pub const INERTIAS: [f64; 3] = [
        6.331_356_394_534_63e-5,
        3.917_566_039_026_473_4e-5,
        1.675_516_081_914_556_5e-7,
    ];
    /// Distances of the arm's and the hand's centres of mass from their joints.
    pub const CENTRES: [f64; 2] = [0.06, 0.05];
    /// Length of the arm, and distance of the finger from the wrist.
    pub const LENGTH: f64 = 0.12;
    /// Damping of both joints.
    pub const DAMPING: f64 = 0.01;
    /// Torque of an action of 1.
    pub const GEAR: f64 = 0.05;
    /// Largest angle of the wrist.
    pub const RANGE: f64 = 2.792_526_803_190_927;
    /// Time constant of the limit, which two time steps exceed.
    pub const TIME_CONSTANT: f64 = 0.02;
    /// Inverse weight of the wrist at the reference pose.
    pub const INVERSE_WEIGHT: f64 = 20_740.548_731_816_04;
}

/// The acrobot's constants, in SI units.
pub mod acrobot {
    /// Time step.
    pub const TIMESTEP: f64 = 0.01;
    /// Mass of each arm.
    pub const MASS: f64 = 1.0;
    /// Length of each arm.
    pub const LENGTH: f64 = 1.0;
    /// Distance of each centre of mass from its joint.
    pub const CENTRE: f64 = 0.5;
    /// Moments of inertia of the upper and the lower arm about their centres of mass.
    pub const INERTIAS: [f64; 2] = [0.095_570_312_5, 0.095_303_657_196_495_61];
    /// Damping of both joints.
    pub const DAMPING: f64 = 0.05;
    /// Torque of an action of 1.
    pub const GEAR: f64 = 2.0;
}

/// Solver impedance of every limit: least and most, and the depth over which it rises (MuJoCo's `solimp`).
pub const IMPEDANCE: [f64; 3] = [0.9, 0.95, 0.001];
