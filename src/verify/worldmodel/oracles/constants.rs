//! The constants that an oracle was made with against those of the formulas.
//!
//! What the formulas do not need, such as the pose of a body in the model file, is held against the control
//! suite's model.

use serde_json::{Value, json};

use crate::models::Dynamics;
use crate::models::control::ControlTask;
use crate::verify::checks::{CaseError, Checks};
use crate::verify::folder::Node;
use crate::worlds::control::STEP_LIMIT;
use attractor_kernels::control_step::constants::{GRAVITY, IMPEDANCE, acrobot, cartpole, reacher};

/// Numbers of a model file are read to the last digit or two.
const TOLERANCE: f64 = 1e-15;

/// Compares an index entry of a task.
pub(super) fn check(
    task: ControlTask,
    entry: &Node<'_>,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let mut expected = match task {
        ControlTask::Cartpole => cart_pole(),
        ControlTask::Reacher => arm(),
        ControlTask::Acrobot => double_pendulum(),
    };
    if let Some(all) = expected.as_object_mut() {
        let [least, most, width] = IMPEDANCE;
        let joint = [least, most, width, 0.5, 2.0];
        all.insert("gravity".into(), json!([0.0, 0.0, -GRAVITY]));
        all.insert("dof_armature".into(), json!([0.0, 0.0]));
        all.insert("jnt_margin".into(), json!([0.0, 0.0]));
        all.insert("jnt_solimp".into(), json!([joint, joint]));
    }
    let whole = json!({
        "constants": expected,
        "actions": task.actions(),
        "step_limit": STEP_LIMIT,
        "obs_dim": task.state(),
    });
    compare("", &whole, entry.json(), checks);
    Ok(())
}

/// Every number and text, entry by entry; neither side may have what the other lacks.
fn compare(path: &str, ours: &Value, golden: &Value, checks: &mut Checks) {
    match (ours, golden) {
        (Value::Object(ours), Value::Object(golden)) => {
            for key in ours.keys().chain(golden.keys()) {
                let path = format!("{path}.{key}");
                match (ours.get(key), golden.get(key)) {
                    (Some(ours), Some(golden)) => compare(&path, ours, golden, checks),
                    (ours, _) => checks.hold(false, || {
                        let side = if ours.is_some() { "none" } else { "one" };
                        format!(
                            "{path}: expected an entry on both sides, found {side} in the golden"
                        )
                    }),
                }
            }
        }
        (Value::Array(ours), Value::Array(golden)) if ours.len() == golden.len() => {
            for (place, (ours, golden)) in ours.iter().zip(golden).enumerate() {
                compare(&format!("{path}[{place}]"), ours, golden, checks);
            }
        }
        (Value::Number(ours), Value::Number(golden)) => {
            let [ours, golden] = [ours, golden].map(|n| n.as_f64().unwrap_or(f64::NAN));
            let tolerance = TOLERANCE * golden.abs();
            checks.close(path, &[ours], &[golden], tolerance);
        }
        (ours, golden) => checks.hold(ours == golden, || {
            format!("{path}: expected {golden}, found {ours}")
        }),
    }
}

const STILL: [f64; 3] = [0.0; 3];
const UPRIGHT: [f64; 4] = [1.0, 0.0, 0.0, 0.0];
/// Half a turn about x, as the model file's angles give it.
const OVER: [f64; 4] = [6.123_233_995_736_766e-17, 1.0, 0.0, 0.0];
/// A quarter turn about y.
const SIDEWAYS: [f64; 4] = [
    std::f64::consts::FRAC_1_SQRT_2 + f64::EPSILON / 2.0,
    0.0,
    -std::f64::consts::FRAC_1_SQRT_2,
    0.0,
];
/// Time constant and damping ratio of a limit that the model file leaves alone.
const SOLVER: [f64; 2] = [0.02, 1.0];

fn cart_pole() -> Value {
    use cartpole::{
        CART_MASS, CENTRE, DAMPING, GEAR, INERTIA, INVERSE_WEIGHT, POLE_MASS, RANGE, TIME_CONSTANT,
        TIMESTEP,
    };
    // A box of 0.4 x 0.3 x 0.2 metres: m (a^2 + b^2) / 12.
    let cart = [0.13 / 12.0, 0.2 / 12.0, 0.25 / 12.0];
    json!({
        "timestep": TIMESTEP, "integrator": 1, "disableflags": 16,
        "body_mass": [0.0, CART_MASS, POLE_MASS],
        "body_inertia": [STILL, cart, [INERTIA, INERTIA, 0.000_100_103_773_584_905_66]],
        "body_ipos": [STILL, STILL, [0.0, 0.0, CENTRE]],
        "body_iquat": [UPRIGHT, UPRIGHT, OVER],
        "body_pos": [STILL, [0.0, 0.0, 1.0], STILL],
        "dof_damping": DAMPING,
        "jnt_range": [[-RANGE, RANGE], [0.0, 0.0]], "jnt_limited": [1, 0],
        "jnt_solref": [[TIME_CONSTANT, 1.0], SOLVER],
        "actuator_gear": [GEAR],
        "dof_invweight0": [INVERSE_WEIGHT, 31.102_394_359_323_817],
        "names_body": ["world", "cart", "pole_1"],
    })
}

fn arm() -> Value {
    use reacher::{
        CENTRES, DAMPING, GEAR, INERTIAS, INVERSE_WEIGHT, LENGTH, MASSES, RANGE, TIME_CONSTANT,
        TIMESTEP,
    };
    let [arm, hand, finger] = INERTIAS;
    json!({
        "timestep": TIMESTEP, "integrator": 0, "disableflags": 16,
        "body_mass": [0.0, MASSES[0], MASSES[1], MASSES[2]],
        "body_inertia": [
            STILL,
            [arm, arm, 2.052_507_200_345_331_6e-6],
            [hand, hand, 1.738_347_934_986_352_5e-6],
            [finger, finger, finger],
        ],
        "body_ipos": [STILL, [CENTRES[0], 0.0, 0.0], [CENTRES[1], 0.0, 0.0], STILL],
        "body_iquat": [UPRIGHT, SIDEWAYS, SIDEWAYS, UPRIGHT],
        "body_pos": [STILL, [0.0, 0.0, 0.01], [LENGTH, 0.0, 0.0], [LENGTH, 0.0, 0.0]],
        "dof_damping": [DAMPING, DAMPING],
        "jnt_range": [[0.0, 0.0], [-RANGE, RANGE]], "jnt_limited": [0, 1],
        "jnt_solref": [SOLVER, [TIME_CONSTANT, 1.0]],
        "actuator_gear": [GEAR, GEAR],
        "dof_invweight0": [2_568.211_421_765_390_2, INVERSE_WEIGHT],
        "names_body": ["world", "arm", "hand", "finger"],
    })
}

fn double_pendulum() -> Value {
    use acrobot::{CENTRE, DAMPING, GEAR, INERTIAS, LENGTH, MASS, TIMESTEP};
    let [upper, lower] = INERTIAS;
    json!({
        "timestep": TIMESTEP, "integrator": 1, "disableflags": 1,
        "body_mass": [0.0, MASS, MASS],
        "body_inertia": [
            STILL,
            [upper, upper, 0.001_234_375_000_000_000_2],
            [lower, lower, 0.001_185_775_469_336_671_1],
        ],
        "body_ipos": [STILL, [0.0, 0.0, CENTRE], [0.0, 0.0, CENTRE]],
        "body_iquat": [UPRIGHT, OVER, OVER],
        "body_pos": [STILL, [0.0, 0.0, 2.0], [0.0, 0.0, LENGTH]],
        "dof_damping": [DAMPING, DAMPING],
        "jnt_range": [[0.0, 0.0], [0.0, 0.0]], "jnt_limited": [0, 0],
        "jnt_solref": [SOLVER, SOLVER],
        "actuator_gear": [GEAR],
        "dof_invweight0": [1.608_829_586_883_403_7, 12.537_248_206_898_09],
        "names_body": ["world", "upper_arm", "lower_arm"],
    })
}
