//! The equations of motion; `shaders/common/control_tasks.wgsl` holds the same.
//!
//! Angles enter by their cosines and sines alone, and a step tells by how much each coordinate moves: an
//! observation is turned by that, with no angle rebuilt from it, so that single precision keeps what small
//! forces change.

use super::ControlSystem;
use super::constants::{GRAVITY, IMPEDANCE, acrobot, cartpole, reacher};
use super::number::Number;
use crate::Real;

/// A direction in the plane, as cosine and sine of its angle.
#[derive(Debug, Clone, Copy)]
pub struct Direction<N> {
    /// Cosine.
    pub cosine: N,
    /// Sine.
    pub sine: N,
}

impl<N: Number> Direction<N> {
    /// The direction of an angle in radians.
    #[inline(always)]
    pub fn of_angle(angle: N) -> Self {
        let (sine, cosine) = angle.sine_cosine();
        Self { cosine, sine }
    }

    /// The direction of a point other than the origin, as `atan2` would have it; at the origin that of
    /// angle 0, which does not move.
    #[inline(always)]
    pub fn towards(cosine: N, sine: N) -> Self {
        // First to the middle of the range, where squares neither overflow nor vanish.
        let scale = cosine.value().abs() + sine.value().abs();
        if scale == N::Plain::ZERO {
            return Self {
                cosine: N::constant(1.0),
                sine: N::constant(0.0),
            };
        }
        let inverse = N::Plain::ONE / scale;
        let (cosine, sine) = (cosine.scaled(inverse), sine.scaled(inverse));
        let length = (cosine * cosine + sine * sine).root();
        Self {
            cosine: cosine / length,
            sine: sine / length,
        }
    }

    /// Turned by the sum of both angles.
    #[inline(always)]
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        Self {
            cosine: self.cosine * other.cosine - self.sine * other.sine,
            sine: self.sine * other.cosine + self.cosine * other.sine,
        }
    }

    /// By how much cosine and sine fall as it turns: small differences, from no large numbers.
    #[inline(always)]
    fn fall(self, turn: Turn<N>) -> [N; 2] {
        [
            self.cosine * turn.versine + self.sine * turn.sine,
            self.sine * turn.versine - self.cosine * turn.sine,
        ]
    }

    #[inline(always)]
    fn turned(self, turn: Turn<N>) -> Self {
        let [cosine, sine] = self.fall(turn);
        Self {
            cosine: self.cosine - cosine,
            sine: self.sine - sine,
        }
    }
}

/// A small angle: its sine, and one less its cosine.
#[derive(Debug, Clone, Copy)]
struct Turn<N> {
    sine: N,
    versine: N,
}

impl<N: Number> Turn<N> {
    #[inline(always)]
    fn by(angle: N) -> Self {
        let (sine, cosine) = angle.by(0.5).sine_cosine();
        let twice = sine + sine;
        Self {
            sine: twice * cosine,
            versine: twice * sine,
        }
    }
}

/// What one step does: by how much the coordinates move, and the velocities after it.
#[derive(Debug, Clone, Copy)]
pub struct Motion<N> {
    /// q' - q.
    pub moved: [N; 2],
    /// v'.
    pub velocity: [N; 2],
}

/// A soft limit of a joint on both sides of zero (MuJoCo's constraint model, one scalar constraint solved
/// exactly).
#[derive(Debug, Clone, Copy)]
struct Limit {
    range: f64,
    time_constant: f64,
    timestep: f64,
    inverse_weight: f64,
}

impl Limit {
    /// Which way is inward at a position, and how far beyond the range it is there: exact where they are
    /// close, for the range is taken off in two parts.
    #[inline(always)]
    fn depth<N: Number>(&self, position: N) -> (f64, N) {
        let inward = match position.value() > N::Plain::ZERO {
            true => -1.0,
            false => 1.0,
        };
        let high = N::Plain::from_f64(self.range).to_f64();
        let beyond = -(position.by(inward) + N::constant(high));
        (inward, beyond - N::constant(self.range - high))
    }

    /// The force along the joint: zero inside the range, and never pulling. `acceleration` is that without
    /// the limit, `compliance` its change by a unit of force.
    #[inline(always)]
    fn force<N: Number>(
        &self,
        (inward, depth): (f64, N),
        velocity: N,
        acceleration: N,
        compliance: N,
    ) -> N {
        let [least, most, width] = IMPEDANCE;
        let reached = depth.value() > N::Plain::ZERO;
        if !reached {
            return N::constant(0.0);
        }
        let part = depth.by(1.0 / width);
        let rise = if part.value() >= N::Plain::ONE {
            N::constant(1.0)
        } else if part.value() <= N::Plain::from_f64(0.5) {
            (part * part).by(2.0)
        } else {
            let rest = N::constant(1.0) - part;
            N::constant(1.0) - (rest * rest).by(2.0)
        };
        let impedance = rise.by(most - least) + N::constant(least);
        let lack = N::constant(1.0 - least) - rise.by(most - least);
        let time = most * self.time_constant.max(2.0 * self.timestep);
        let wanted = (impedance * depth).by(1.0 / (time * time)) - velocity.by(inward * 2.0 / time);
        let resistance = (lack / impedance).by(self.inverse_weight);
        let force = (wanted - acceleration.by(inward)) / (compliance + resistance);
        match force.value() > N::Plain::ZERO {
            true => force.by(inward),
            false => N::constant(0.0),
        }
    }
}

/// The classic Runge-Kutta step of order 4 of q'' = a: `acceleration` at coordinates moved by so much and
/// at velocities. The sums over stages of the velocities are written out in the accelerations.
#[inline(always)]
fn runge_kutta<N: Number>(
    timestep: f64,
    velocity: [N; 2],
    acceleration: impl Fn([N; 2], [N; 2]) -> [N; 2],
) -> Motion<N> {
    let along = |h: f64, [a, b]: [N; 2], [x, y]: [N; 2]| [x + a.by(h), y + b.by(h)];
    let scaled = |h: f64, [a, b]: [N; 2]| [a.by(h), b.by(h)];
    let first = acceleration([N::constant(0.0); 2], velocity);
    let half = 0.5 * timestep;
    let second = acceleration(scaled(half, velocity), along(half, first, velocity));
    let middle = along(half, first, velocity);
    let third = acceleration(scaled(half, middle), along(half, second, velocity));
    let middle = along(half, second, velocity);
    let fourth = acceleration(scaled(timestep, middle), along(timestep, third, velocity));
    let inner = [second[0] + third[0], second[1] + third[1]];
    let all = along(1.0, first, inner);
    let drift = scaled(timestep, velocity);
    let weighted = along(1.0, fourth, along(1.0, inner, all));
    Motion {
        moved: along(timestep * timestep / 6.0, all, drift),
        velocity: along(timestep / 6.0, weighted, velocity),
    }
}

/// One step of the cart-pole by Runge-Kutta of order 4, the limit of the cart evaluated in every stage.
#[inline(always)]
pub fn cartpole_motion<N: Number>(
    position: N,
    pole: Direction<N>,
    velocity: [N; 2],
    action: N,
) -> Motion<N> {
    use cartpole::{
        CART_MASS, CENTRE, DAMPING, GEAR, INERTIA, INVERSE_WEIGHT, POLE_MASS, RANGE, TIME_CONSTANT,
        TIMESTEP,
    };
    const LIMIT: Limit = Limit {
        range: RANGE,
        time_constant: TIME_CONSTANT,
        timestep: TIMESTEP,
        inverse_weight: INVERSE_WEIGHT,
    };
    const CART: f64 = CART_MASS + POLE_MASS;
    const POLE: f64 = INERTIA + POLE_MASS * CENTRE * CENTRE;
    const ARM: f64 = POLE_MASS * CENTRE;
    let push = action.by(GEAR);
    let (inward, depth) = LIMIT.depth(position);
    runge_kutta(
        TIMESTEP,
        velocity,
        #[inline(always)]
        |[along, turned], [speed, spin]| {
            let pole = pole.turned(Turn::by(turned));
            let coupling = pole.cosine.by(ARM);
            let lever = pole.sine.by(ARM);
            let force = push + lever * (spin * spin) - speed.by(DAMPING[0]);
            let torque = lever.by(GRAVITY) - spin.by(DAMPING[1]);
            let inverse = N::constant(1.0) / (N::constant(CART * POLE) - coupling * coupling);
            let free = (force.by(POLE) - coupling * torque) * inverse;
            let compliance = inverse.by(POLE);
            let limit = LIMIT.force((inward, depth - along.by(inward)), speed, free, compliance);
            [
                free + compliance * limit,
                (torque.by(CART) - coupling * (force + limit)) * inverse,
            ]
        },
    )
}

/// One step of the reacher by the semi-implicit method of Euler, the joints' damping implicit. `bend` is
/// the direction of the wrist's angle.
#[inline(always)]
pub fn reacher_motion<N: Number>(
    wrist: N,
    bend: Direction<N>,
    velocity: [N; 2],
    action: [N; 2],
) -> Motion<N> {
    use reacher::{
        CENTRES, DAMPING, GEAR, INERTIAS, INVERSE_WEIGHT, LENGTH, MASSES, RANGE, TIME_CONSTANT,
        TIMESTEP,
    };
    const LIMIT: Limit = Limit {
        range: RANGE,
        time_constant: TIME_CONSTANT,
        timestep: TIMESTEP,
        inverse_weight: INVERSE_WEIGHT,
    };
    // Moments of inertia about shoulder and wrist, and what the bend couples them by.
    const ARM: f64 = INERTIAS[0]
        + MASSES[0] * CENTRES[0] * CENTRES[0]
        + (MASSES[1] + MASSES[2]) * LENGTH * LENGTH;
    const HAND: f64 = INERTIAS[1]
        + MASSES[1] * CENTRES[1] * CENTRES[1]
        + INERTIAS[2]
        + MASSES[2] * LENGTH * LENGTH;
    const COUPLING: f64 = LENGTH * (MASSES[1] * CENTRES[1] + MASSES[2] * LENGTH);
    const IMPLICIT: f64 = DAMPING * TIMESTEP;
    let [spin, bending] = velocity;
    let cosine = bend.cosine.by(COUPLING);
    let sine = bend.sine.by(COUPLING);
    let mixed = cosine + N::constant(HAND);
    let whole = cosine + mixed + N::constant(ARM);
    let turning = sine * (bending * (spin + spin + bending));
    let torques = [
        action[0].by(GEAR) - spin.by(DAMPING) + turning,
        action[1].by(GEAR) - bending.by(DAMPING) - sine * (spin * spin),
    ];
    // The determinant without the product that both of its terms have.
    let determinant = N::constant(ARM * HAND) - cosine * cosine;
    let compliance = whole / determinant;
    let free = (whole * torques[1] - mixed * torques[0]) / determinant;
    let limit = LIMIT.force(LIMIT.depth(wrist), bending, free, compliance);
    let torques = [torques[0], torques[1] + limit];
    let damped = determinant + (whole + N::constant(HAND + IMPLICIT)).by(IMPLICIT);
    let change = [
        (torques[0].by(HAND + IMPLICIT) - mixed * torques[1]) / damped,
        ((whole + N::constant(IMPLICIT)) * torques[1] - mixed * torques[0]) / damped,
    ];
    let velocity = [
        spin + change[0].by(TIMESTEP),
        bending + change[1].by(TIMESTEP),
    ];
    Motion {
        moved: velocity.map(
            #[inline(always)]
            |speed| speed.by(TIMESTEP),
        ),
        velocity,
    }
}

/// One step of the acrobot by Runge-Kutta of order 4; directions of the upper and the lower arm, from the
/// vertical.
#[inline(always)]
pub fn acrobot_motion<N: Number>(
    upper: Direction<N>,
    lower: Direction<N>,
    velocity: [N; 2],
    action: N,
) -> Motion<N> {
    use acrobot::{CENTRE, DAMPING, GEAR, INERTIAS, LENGTH, MASS, TIMESTEP};
    const UPPER: f64 = INERTIAS[0] + MASS * (CENTRE * CENTRE + LENGTH * LENGTH);
    const LOWER: f64 = INERTIAS[1] + MASS * CENTRE * CENTRE;
    const COUPLING: f64 = MASS * LENGTH * CENTRE;
    let torque = action.by(GEAR);
    runge_kutta(
        TIMESTEP,
        velocity,
        #[inline(always)]
        |[shoulder, elbow], [spin, bending]| {
            let upper = upper.turned(Turn::by(shoulder));
            let lower = lower.turned(Turn::by(shoulder + elbow));
            let cosine = (lower.cosine * upper.cosine + lower.sine * upper.sine).by(COUPLING);
            let sine = (lower.sine * upper.cosine - lower.cosine * upper.sine).by(COUPLING);
            let mixed = cosine + N::constant(LOWER);
            let whole = cosine + mixed + N::constant(UPPER);
            let below = lower.sine.by(GRAVITY * MASS * CENTRE);
            let above = upper.sine.by(GRAVITY * MASS * (CENTRE + LENGTH));
            let turning = sine * (bending * (spin + spin + bending));
            let torques = [
                turning + above + below - spin.by(DAMPING),
                torque + below - sine * (spin * spin) - bending.by(DAMPING),
            ];
            let determinant = N::constant(UPPER * LOWER) - cosine * cosine;
            [
                (torques[0].by(LOWER) - mixed * torques[1]) / determinant,
                (whole * torques[1] - mixed * torques[0]) / determinant,
            ]
        },
    )
}

/// One step from coordinates and velocities; an action of one number leaves the second unread.
#[inline(always)]
pub fn motion<N: Number>(
    system: ControlSystem,
    coordinates: [N; 2],
    velocity: [N; 2],
    action: [N; 2],
) -> Motion<N> {
    let [first, second] = coordinates;
    match system {
        ControlSystem::CARTPOLE => {
            cartpole_motion(first, Direction::of_angle(second), velocity, action[0])
        }
        ControlSystem::REACHER => {
            reacher_motion(second, Direction::of_angle(second), velocity, action)
        }
        _ => {
            let upper = Direction::of_angle(first);
            let lower = upper.joined(Direction::of_angle(second));
            acrobot_motion(upper, lower, velocity, action[0])
        }
    }
}

/// The reacher's finger, in metres from the shoulder; directions of arm and hand.
#[inline(always)]
pub fn finger<N: Number>(arm: Direction<N>, hand: Direction<N>) -> [N; 2] {
    [
        (arm.cosine + hand.cosine).by(reacher::LENGTH),
        (arm.sine + hand.sine).by(reacher::LENGTH),
    ]
}

/// One step of the cart-pole from observation to observation.
#[inline(always)]
pub fn cartpole_step<N: Number>([x, c, s, speed, spin]: [N; 5], action: N) -> [N; 5] {
    let pole = Direction::towards(c, s);
    let Motion { moved, velocity } = cartpole_motion(x, pole, [speed, spin], action);
    let pole = pole.turned(Turn::by(moved[1]));
    [
        x + moved[0],
        pole.cosine,
        pole.sine,
        velocity[0],
        velocity[1],
    ]
}

/// One step of the reacher from observation to observation; the target stays where it is.
#[inline(always)]
pub fn reacher_step<N: Number>(
    [shoulder, wrist, x, y, spin, bending]: [N; 6],
    action: [N; 2],
) -> [N; 6] {
    let (arm, bend) = (Direction::of_angle(shoulder), Direction::of_angle(wrist));
    let Motion { moved, velocity } = reacher_motion(wrist, bend, [spin, bending], action);
    let arm_falls = arm.fall(Turn::by(moved[0]));
    let hand_falls = arm.joined(bend).fall(Turn::by(moved[0] + moved[1]));
    [
        shoulder + moved[0],
        wrist + moved[1],
        x + (arm_falls[0] + hand_falls[0]).by(reacher::LENGTH),
        y + (arm_falls[1] + hand_falls[1]).by(reacher::LENGTH),
        velocity[0],
        velocity[1],
    ]
}

/// One step of the acrobot from observation to observation.
#[inline(always)]
pub fn acrobot_step<N: Number>(
    [
        upper_sine,
        lower_sine,
        upper_cosine,
        lower_cosine,
        spin,
        bending,
    ]: [N; 6],
    action: N,
) -> [N; 6] {
    let upper = Direction::towards(upper_cosine, upper_sine);
    let lower = Direction::towards(lower_cosine, lower_sine);
    let Motion { moved, velocity } = acrobot_motion(upper, lower, [spin, bending], action);
    let upper = upper.turned(Turn::by(moved[0]));
    let lower = lower.turned(Turn::by(moved[0] + moved[1]));
    [
        upper.sine,
        lower.sine,
        upper.cosine,
        lower.cosine,
        velocity[0],
        velocity[1],
    ]
}

/// One step from observation to observation. Rows of other widths than the task's give NaN, none of which
/// a checked kernel has.
#[inline(always)]
pub fn step<N: Number>(system: ControlSystem, observation: &[N], action: &[N]) -> [N; 6] {
    let nan = N::constant(f64::NAN);
    match (system, observation, action) {
        (ControlSystem::CARTPOLE, &[x, c, s, v, w], &[u]) => {
            let [x, c, s, v, w] = cartpole_step([x, c, s, v, w], u);
            [x, c, s, v, w, nan]
        }
        (ControlSystem::REACHER, &[p, q, x, y, v, w], &[a, b]) => {
            reacher_step([p, q, x, y, v, w], [a, b])
        }
        (ControlSystem::ACROBOT, &[a, b, c, d, v, w], &[u]) => acrobot_step([a, b, c, d, v, w], u),
        _ => [nan; 6],
    }
}
