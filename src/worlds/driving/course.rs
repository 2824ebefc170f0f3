//! What a drive is asked to do: cruise and events, frame after frame, before gain, lag and noise.

use super::random::{Stream, sum_of_twelve, unit, words};
use super::{Decision, Mark};

/// One frame as scripted.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScriptedFrame {
    pub steering: f64,
    pub longitudinal: f64,
    pub kind: i32,
    /// Which cell of the route the car is in.
    pub cell: usize,
}

/// Constants of one drive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constants {
    /// Steering gain.
    pub gain: f64,
    /// Longitudinal value of free driving.
    pub cruise: f64,
    /// Scale of the steering jitter.
    pub noise: f64,
    /// Steering offset.
    pub bias: f64,
}

impl Constants {
    pub fn of(drive: u32) -> Self {
        let [gain, cruise, noise, bias] = words(drive, Stream::Drive, 0, 0).map(unit);
        Self {
            gain: 0.85 + 0.30 * gain,
            cruise: 0.12 + 0.10 * cruise,
            noise: 0.008 + 0.010 * noise,
            bias: -0.02 + 0.04 * bias,
        }
    }
}

/// The script of a drive while it is written.
#[derive(Debug)]
pub(super) struct Course {
    drive: u32,
    cruise: f64,
    /// Decisions taken at junctions so far.
    decisions: u32,
    pub frames: Vec<ScriptedFrame>,
    /// Planned steering of every cell of the route.
    pub plans: Vec<f64>,
    pub marks: Vec<Mark>,
}

/// Likelihood of the first mode by class, for junctions, obstacles and leads.
const GO: [f64; 4] = [0.12, 0.30, 0.75, 0.85];
const SIDE: [f64; 4] = [0.15, 0.35, 0.65, 0.85];
const BRAKE: [f64; 4] = [0.20, 0.50, 0.80, 0.50];
/// Steering of a swerve around an obstacle.
const SWERVE: [f64; 7] = [0.6, 1.0, 1.0, 0.5, -0.3, -0.15, 0.0];

impl Course {
    /// Cruise and event by turns until at least `frames` frames exist.
    pub fn write(drive: u32, constants: &Constants, frames: usize) -> Self {
        let mut course = Self {
            drive,
            cruise: constants.cruise,
            decisions: 0,
            frames: Vec::with_capacity(frames.saturating_add(128)),
            plans: Vec::with_capacity(frames.saturating_add(128)),
            marks: Vec::new(),
        };
        let mut event = 0_u32;
        while course.frames.len() < frames {
            course.cruise_on(event);
            course.meet(event);
            event = event.wrapping_add(1);
        }
        course
    }

    /// Appends a frame. With a plan the car enters a new cell of the route, without it stays.
    fn emit(&mut self, steering: f64, longitudinal: f64, kind: i32, plan: Option<f64>) {
        if plan.is_some() || self.plans.is_empty() {
            self.plans.push(plan.unwrap_or(0.0));
        }
        self.frames.push(ScriptedFrame {
            steering,
            longitudinal,
            kind,
            cell: self.plans.len().saturating_sub(1),
        });
    }

    fn emit_straight(&mut self, count: u32, longitudinal: f64, kind: i32) {
        for _ in 0..count {
            self.emit(0.0, longitudinal, kind, Some(0.0));
        }
    }

    /// Marks that the next frame shows the outcome of a decision.
    fn mark(&mut self, decision: Decision, probability: f64) {
        self.marks.push(Mark {
            frame: self.frames.len(),
            decision,
            probability,
        });
    }

    fn cruise_on(&mut self, event: u32) {
        let w = words(self.drive, Stream::Cruise, event, 0);
        let count = 10 + w[0] % 24;
        let curve = if w[2] % 2 == 1 {
            0.5 * unit(w[1]) - 0.25
        } else {
            0.0
        };
        let coasts = unit(w[3]) < 0.35;
        for k in 0..count {
            let x = (f64::from(k) + 0.5) / f64::from(count);
            let plan = curve * (4.0 * x * (1.0 - x));
            let coasting = coasts && 3 * k >= count && 3 * k < 2 * count;
            let longitudinal = if coasting { 0.0 } else { self.cruise };
            self.emit(plan, longitudinal, 0, Some(plan));
        }
    }

    fn meet(&mut self, event: u32) {
        let w = words(self.drive, Stream::Event, event, 0);
        let which = unit(w[0]);
        let scale = 1.0 + 0.10 * sum_of_twelve(self.drive, Stream::Turn, event);
        if which < 0.55 {
            self.junction(event, w, scale);
        } else if which < 0.75 {
            self.obstacle(event, w, scale);
        } else {
            self.lead(event);
        }
    }

    /// A turn that is planned, at a moment that is not: the car goes or waits and decides again.
    fn junction(&mut self, event: u32, w: [u32; 4], scale: f64) {
        let side = if w[1] % 2 == 1 { 1.0 } else { -1.0 };
        let amplitude = 0.66 + 0.30 * unit(w[2]);
        let length = 6 + w[3] % 4;
        let pedals = words(self.drive, Stream::Turn, event, 7);
        let slow = -0.15 - 0.20 * unit(pedals[0]);
        let push = 0.20 + 0.15 * unit(pedals[1]);
        self.emit_straight(8, slow, 1);
        loop {
            let d = words(self.drive, Stream::Decide, self.decisions, 0);
            self.decisions = self.decisions.wrapping_add(1);
            let go = of_class(&GO, d[0]);
            self.mark(Decision::Junction, go);
            if unit(d[1]) < go {
                break;
            }
            for _ in 0..7 + d[2] % 4 {
                self.emit(0.0, -0.25, 3, None);
            }
        }
        for k in 0..length {
            let shape = match k {
                0 => 0.7,
                k if k + 2 == length => 0.6,
                k if k + 1 == length => 0.2,
                _ => 1.0,
            };
            let plan = side * amplitude * shape;
            let longitudinal = if k < 3 { 0.10 } else { push };
            self.emit(plan * scale, longitudinal, 2, Some(plan));
        }
    }

    /// Something in the way, to be passed on either side; the route does not tell which.
    fn obstacle(&mut self, event: u32, w: [u32; 4], scale: f64) {
        let amplitude = 0.60 + 0.25 * unit(w[2]);
        self.emit_straight(8, 0.5 * self.cruise, 4);
        let d = words(self.drive, Stream::Obstacle, event, 0);
        let positive = of_class(&SIDE, d[0]);
        self.mark(Decision::Obstacle, positive);
        let side = if unit(d[1]) < positive { 1.0 } else { -1.0 };
        for shape in SWERVE {
            self.emit(side * amplitude * shape * scale, -0.10, 5, Some(0.0));
        }
    }

    /// A car ahead, which may or may not make this one brake.
    fn lead(&mut self, event: u32) {
        self.emit_straight(6, self.cruise, 6);
        let d = words(self.drive, Stream::Brake, event, 0);
        let brake = of_class(&BRAKE, d[0]);
        self.mark(Decision::Lead, brake);
        if unit(d[1]) < brake {
            let depth = -0.30 - 0.40 * unit(d[2]);
            self.emit_straight(5 + d[3] % 5, depth, 7);
            self.emit_straight(4, 0.40, 8);
        } else {
            self.emit_straight(6, self.cruise, 6);
        }
    }
}

fn of_class(table: &[f64; 4], word: u32) -> f64 {
    let [first, second, third, fourth] = *table;
    match word % 4 {
        0 => first,
        1 => second,
        2 => third,
        _ => fourth,
    }
}
