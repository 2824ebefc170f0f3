// The control tasks' equations of motion over Number, plain or dual, whichever is imported first; see
// kernels/src/control_step/formulas.rs, which holds the same. Angles enter by their cosines and sines alone,
// and a step tells by how much each coordinate moves, so that small differences come from no large numbers.
//
// `zero` is a zero that the compiler does not see as one, of the caller's parameters.

const CARTPOLE: u32 = 0u;
const REACHER: u32 = 1u;
const ACROBOT: u32 = 2u;
const GRAVITY: f32 = 9.81;

struct Direction {
    cosine: Number,
    sine: Number,
}

// A small angle: its sine, and one less its cosine.
struct Turn {
    sine: Number,
    versine: Number,
}

struct Motion {
    moved: array<Number, 2>,
    velocity: array<Number, 2>,
}

// A joint's soft limit: its range in two parts, time to act, inverse weight.
struct Limit {
    range: f32,
    range_rest: f32,
    time: f32,
    inverse_weight: f32,
}

// How far beyond a limit a joint is, and which way is inward.
struct Depth {
    beyond: Number,
    inward: f32,
}

const CART_LIMIT = Limit(1.7999999523162842, 4.768371586e-08, 0.076, 0.9733520544614127);
const WRIST_LIMIT = Limit(2.7925267219543457, 8.123658146e-08, 0.038, 20740.54873181604);

fn of_angle(angle: Number) -> Direction {
    let pair = direction_of(angle);
    return Direction(pair[0], pair[1]);
}

fn towards(cosine: Number, sine: Number) -> Direction {
    let scale = abs(value(cosine)) + abs(value(sine));
    if scale == 0.0 {
        return Direction(constant(1.0), constant(0.0));
    }
    let inverse = 1.0 / scale;
    let c = inverse * cosine;
    let s = inverse * sine;
    let length = root(times(c, c) + times(s, s));
    return Direction(over(c, length), over(s, length));
}

fn turn_by(angle: Number) -> Turn {
    let half = direction_of(0.5 * angle);
    let twice = half[1] + half[1];
    return Turn(times(twice, half[0]), times(twice, half[1]));
}

// By how much cosine and sine fall as a direction turns.
fn fall(direction: Direction, turn: Turn) -> array<Number, 2> {
    return array<Number, 2>(
        times(direction.cosine, turn.versine) + times(direction.sine, turn.sine),
        times(direction.sine, turn.versine) - times(direction.cosine, turn.sine),
    );
}

fn turned(direction: Direction, turn: Turn) -> Direction {
    let falls = fall(direction, turn);
    return Direction(direction.cosine - falls[0], direction.sine - falls[1]);
}

fn joined(a: Direction, b: Direction) -> Direction {
    return Direction(
        times(a.cosine, b.cosine) - times(a.sine, b.sine),
        times(a.sine, b.cosine) + times(a.cosine, b.sine),
    );
}

// Drivers may add up constants, which would lose the range's second part in the first: the sum between them
// is hidden.
fn limit_depth(limit: Limit, position: Number, zero: u32) -> Depth {
    var inward = 1.0;
    if value(position) > 0.0 {
        inward = -1.0;
    }
    let beyond = -(inward * position + constant(limit.range));
    return Depth(hidden(beyond, zero) - constant(limit.range_rest), inward);
}

fn limit_force(limit: Limit, at: Depth, velocity: Number, acceleration: Number, compliance: Number) -> Number {
    let inward = at.inward;
    let depth = at.beyond;
    if value(depth) > 0.0 {
        let part = 1000.0 * depth;
        var rise = constant(1.0);
        if value(part) <= 0.5 {
            rise = 2.0 * times(part, part);
        } else if value(part) < 1.0 {
            let rest = constant(1.0) - part;
            rise = constant(1.0) - 2.0 * times(rest, rest);
        }
        let impedance = 0.05 * rise + constant(0.9);
        let lack = constant(0.1) - 0.05 * rise;
        let wanted = (1.0 / (limit.time * limit.time)) * times(impedance, depth) - (inward * 2.0 / limit.time) * velocity;
        let resistance = limit.inverse_weight * over(lack, impedance);
        let force = over(wanted - inward * acceleration, compliance + resistance);
        if value(force) > 0.0 {
            return inward * force;
        }
    }
    return constant(0.0);
}

// Accelerations of the cart-pole: force and torque over M = [[1.1, 0.05 cos], [0.05 cos, I + 0.025]].
fn cartpole_acceleration(moved: array<Number, 2>, v: array<Number, 2>, start_depth: Depth, start: Direction, push: Number) -> array<Number, 2> {
    let inertia = 0.034424592767295598;
    let pole = turned(start, turn_by(moved[1]));
    let coupling = 0.05 * pole.cosine;
    let lever = 0.05 * pole.sine;
    let force = push + times(lever, times(v[1], v[1])) - 5e-4 * v[0];
    let torque = GRAVITY * lever - 2e-6 * v[1];
    let inverse = over(constant(1.0), constant(1.1 * inertia) - times(coupling, coupling));
    let free = times(inertia * force - times(coupling, torque), inverse);
    let compliance = inertia * inverse;
    let limit = limit_force(CART_LIMIT, Depth(start_depth.beyond - start_depth.inward * moved[0], start_depth.inward), v[0], free, compliance);
    return array<Number, 2>(
        free + times(compliance, limit),
        times(1.1 * torque - times(coupling, force + limit), inverse),
    );
}

// Accelerations of the acrobot; start has the directions of the upper and the lower arm.
fn acrobot_acceleration(moved: array<Number, 2>, v: array<Number, 2>, start: array<Direction, 2>, torque: Number) -> array<Number, 2> {
    let above_inertia = 1.3455703125;
    let below_inertia = 0.34530365719649561;
    let upper = turned(start[0], turn_by(moved[0]));
    let lower = turned(start[1], turn_by(moved[0] + moved[1]));
    let cosine = 0.5 * (times(lower.cosine, upper.cosine) + times(lower.sine, upper.sine));
    let sine = 0.5 * (times(lower.sine, upper.cosine) - times(lower.cosine, upper.sine));
    let mixed = cosine + constant(below_inertia);
    let whole = cosine + mixed + constant(above_inertia);
    let below = (0.5 * GRAVITY) * lower.sine;
    let above = (1.5 * GRAVITY) * upper.sine;
    let turning = times(sine, times(v[1], v[0] + v[0] + v[1]));
    let first = turning + above + below - 0.05 * v[0];
    let second = torque + below - times(sine, times(v[0], v[0])) - 0.05 * v[1];
    let determinant = constant(above_inertia * below_inertia) - times(cosine, cosine);
    return array<Number, 2>(
        over(below_inertia * first - times(mixed, second), determinant),
        over(times(whole, second) - times(mixed, first), determinant),
    );
}

// What the accelerations of both tasks of Runge-Kutta steps need; the one that the other leaves is unused.
struct Start {
    system: u32,
    depth: Depth,
    arms: array<Direction, 2>,
    drive: Number,
}

fn acceleration(start: Start, moved: array<Number, 2>, v: array<Number, 2>) -> array<Number, 2> {
    if start.system == CARTPOLE {
        return cartpole_acceleration(moved, v, start.depth, start.arms[0], start.drive);
    }
    return acrobot_acceleration(moved, v, start.arms, start.drive);
}

fn along(h: f32, a: array<Number, 2>, x: array<Number, 2>) -> array<Number, 2> {
    return array<Number, 2>(x[0] + h * a[0], x[1] + h * a[1]);
}

fn scaled(h: f32, a: array<Number, 2>) -> array<Number, 2> {
    return array<Number, 2>(h * a[0], h * a[1]);
}

// The classic method of order 4 for q'' = a over a time of 0.01, both tasks' step.
fn runge_kutta(start: Start, v: array<Number, 2>) -> Motion {
    let h = 0.01;
    let still = array<Number, 2>(constant(0.0), constant(0.0));
    let first = acceleration(start, still, v);
    let v2 = along(0.5 * h, first, v);
    let second = acceleration(start, scaled(0.5 * h, v), v2);
    let v3 = along(0.5 * h, second, v);
    let third = acceleration(start, scaled(0.5 * h, v2), v3);
    let fourth = acceleration(start, scaled(h, v3), along(h, third, v));
    let inner = array<Number, 2>(second[0] + third[0], second[1] + third[1]);
    let all = array<Number, 2>(first[0] + inner[0], first[1] + inner[1]);
    let weighted = array<Number, 2>(all[0] + inner[0] + fourth[0], all[1] + inner[1] + fourth[1]);
    return Motion(along(h * h / 6.0, all, scaled(h, v)), along(h / 6.0, weighted, v));
}

// A step of 0.02 by the semi-implicit method of Euler; bend is the direction of the wrist's angle.
fn reacher_motion(wrist: Number, bend: Direction, v: array<Number, 2>, action: array<Number, 2>, zero: u32) -> Motion {
    let h = 0.02;
    let arm = 7.871365113324346e-4;
    let hand = 1.8867358279909904e-4;
    let coupling = 2.7394687939303e-4;
    let implicit = 2e-4;
    let cosine = coupling * bend.cosine;
    let sine = coupling * bend.sine;
    let mixed = cosine + constant(hand);
    let whole = cosine + mixed + constant(arm);
    let turning = times(sine, times(v[1], v[0] + v[0] + v[1]));
    let first = 0.05 * action[0] - 0.01 * v[0] + turning;
    let free_second = 0.05 * action[1] - 0.01 * v[1] - times(sine, times(v[0], v[0]));
    let determinant = constant(arm * hand) - times(cosine, cosine);
    let compliance = over(whole, determinant);
    let free = over(times(whole, free_second) - times(mixed, first), determinant);
    let limit = limit_force(WRIST_LIMIT, limit_depth(WRIST_LIMIT, wrist, zero), v[1], free, compliance);
    let second = free_second + limit;
    let damped = determinant + implicit * (whole + constant(hand + implicit));
    let velocity = array<Number, 2>(
        v[0] + h * over((hand + implicit) * first - times(mixed, second), damped),
        v[1] + h * over(times(whole + constant(implicit), second) - times(mixed, first), damped),
    );
    return Motion(scaled(h, velocity), velocity);
}

fn cartpole_step(obs: array<Number, 6>, action: array<Number, 2>, zero: u32) -> array<Number, 6> {
    let pole = towards(obs[1], obs[2]);
    let start = Start(CARTPOLE, limit_depth(CART_LIMIT, obs[0], zero), array<Direction, 2>(pole, pole), 10.0 * action[0]);
    let motion = runge_kutta(start, array<Number, 2>(obs[3], obs[4]));
    let after = turned(pole, turn_by(motion.moved[1]));
    return array<Number, 6>(
        obs[0] + motion.moved[0],
        after.cosine,
        after.sine,
        motion.velocity[0],
        motion.velocity[1],
        constant(0.0),
    );
}

fn reacher_step(obs: array<Number, 6>, action: array<Number, 2>, zero: u32) -> array<Number, 6> {
    let arm = of_angle(obs[0]);
    let bend = of_angle(obs[1]);
    let motion = reacher_motion(obs[1], bend, array<Number, 2>(obs[4], obs[5]), action, zero);
    let arm_falls = fall(arm, turn_by(motion.moved[0]));
    let hand_falls = fall(joined(arm, bend), turn_by(motion.moved[0] + motion.moved[1]));
    return array<Number, 6>(
        obs[0] + motion.moved[0],
        obs[1] + motion.moved[1],
        obs[2] + 0.12 * (arm_falls[0] + hand_falls[0]),
        obs[3] + 0.12 * (arm_falls[1] + hand_falls[1]),
        motion.velocity[0],
        motion.velocity[1],
    );
}

fn acrobot_step(obs: array<Number, 6>, action: array<Number, 2>) -> array<Number, 6> {
    let upper = towards(obs[2], obs[0]);
    let lower = towards(obs[3], obs[1]);
    let start = Start(ACROBOT, Depth(constant(0.0), 0.0), array<Direction, 2>(upper, lower), 2.0 * action[0]);
    let motion = runge_kutta(start, array<Number, 2>(obs[4], obs[5]));
    let after_upper = turned(upper, turn_by(motion.moved[0]));
    let after_lower = turned(lower, turn_by(motion.moved[0] + motion.moved[1]));
    return array<Number, 6>(
        after_upper.sine,
        after_lower.sine,
        after_upper.cosine,
        after_lower.cosine,
        motion.velocity[0],
        motion.velocity[1],
    );
}

fn task_step(system: u32, obs: array<Number, 6>, action: array<Number, 2>, zero: u32) -> array<Number, 6> {
    switch system {
        case CARTPOLE: {
            return cartpole_step(obs, action, zero);
        }
        case REACHER: {
            return reacher_step(obs, action, zero);
        }
        default: {
            return acrobot_step(obs, action);
        }
    }
}

fn observation_width(system: u32) -> u32 {
    return select(6u, 5u, system == CARTPOLE);
}

fn action_width(system: u32) -> u32 {
    return select(1u, 2u, system == REACHER);
}
