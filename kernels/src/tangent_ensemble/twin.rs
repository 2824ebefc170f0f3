//! The CPU's ensembles: blocks of trajectories over the thread pool, packets of them through all steps.

use super::blocks::{Block, gathered, put_strided, scattered, strided};
use super::formulas::{
    Cat, DoubleGyre, Dynamics, Henon, HenonHeiles, Ikeda, Logistic, Lorenz63, Oscillator, Rossler,
    StandardMap, VanDerPol, Vector,
};
use super::ledger::Ledger;
use super::orthonormalise::orthonormalise;
use super::watch::Watch;
use super::{DynamicalSystem, TangentEnsemble};
use crate::ode_ensemble::{OdeMethod, clock_at};
use crate::packet::{Packet, WIDEST};
use crate::{Kernel, KernelError, Operands, Real};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// Trajectories of one block.
const BLOCK: usize = 256;
/// Steps of trajectories under which waking another thread costs more than it gains.
const SERIAL_STEPS: usize = 4 * 1024;
/// Most steps between two looks at whether all numbers are finite: steps are counted in floats.
const WINDOW: u32 = 1 << 20;

/// The twin in one precision, laid out once for each of the two types.
pub trait Propagate: Sized {
    /// Runs the twin.
    ///
    /// # Errors
    /// As [`crate::Kernel::twin`].
    fn propagate(
        ensemble: &TangentEnsemble,
        operands: &mut Operands<'_, Self>,
    ) -> Result<(), KernelError>;
}

impl Propagate for f32 {
    fn propagate(
        ensemble: &TangentEnsemble,
        operands: &mut Operands<'_, Self>,
    ) -> Result<(), KernelError> {
        run(ensemble, operands)
    }
}

impl Propagate for f64 {
    fn propagate(
        ensemble: &TangentEnsemble,
        operands: &mut Operands<'_, Self>,
    ) -> Result<(), KernelError> {
        run(ensemble, operands)
    }
}

/// An operand that is empty where it is left out.
fn optional<'a, T: Real>(
    operands: &mut Operands<'a, T>,
    extents: &[usize],
    index: usize,
) -> Result<&'a mut [T], KernelError> {
    match extents.get(index) {
        None | Some(0) => Ok(&mut []),
        Some(_) => operands.float_mut(index),
    }
}

fn run<T: Real>(p: &TangentEnsemble, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
    let total = p.trajectories as usize;
    let (dimension, k) = (p.system.dimension() as usize, p.tangents as usize);
    let extents = p.extents();
    let state = operands.float_mut(0)?;
    let parameters = operands.float_or_empty(1)?;
    let tangent = optional(operands, &extents, 2)?;
    let sums = optional(operands, &extents, 3)?;
    let logs = optional(operands, &extents, 4)?;
    let states = optional(operands, &extents, 5)?;
    let status = operands.words_mut(6)?;
    let end = p.first_step.saturating_add(p.count());
    let start = p.first_step.min(end);
    let log_records = [p.log_records(start), p.log_records(end)].map(|n| n as usize);
    let state_records = [start, end].map(|n| n.checked_div(p.state_every).unwrap_or(0) as usize);
    let mut blocks: Vec<Block<T>> = (0..total)
        .step_by(BLOCK)
        .map(|first| {
            let count = BLOCK.min(total - first);
            let range = first..first + count;
            Block {
                trajectories: count,
                state: strided(p, state, dimension, range.clone()),
                parameters: match p.has_each() {
                    false => parameters.iter().map(|q| vec![*q]).collect(),
                    true => parameters
                        .chunks(total)
                        .map(|row| row.iter().skip(first).take(count).copied().collect())
                        .collect(),
                },
                tangent: strided(p, tangent, k * dimension, range),
                sums: gathered(sums, 4 * k, total, first, count),
                logs: vec![T::ZERO; (log_records[1] - log_records[0]) * k * count],
                states: vec![T::ZERO; (state_records[1] - state_records[0]) * dimension * count],
                status: gathered(status, 3, total, first, count),
            }
        })
        .collect();
    let propagate = of_system(p.system);
    let work = total.saturating_mul(p.count() as usize);
    if operands.parallel && work > SERIAL_STEPS {
        blocks.par_iter_mut().for_each(|block| propagate(p, block));
    } else {
        blocks.iter_mut().for_each(|block| propagate(p, block));
    }
    for (index, block) in blocks.iter().enumerate() {
        let (first, count) = (index * BLOCK, block.trajectories);
        if !p.keeps_state() {
            put_strided(p, state, &block.state, first, count);
        }
        put_strided(p, tangent, &block.tangent, first, count);
        scattered(sums, 0, total, first, &block.sums, count);
        scattered(logs, log_records[0] * k, total, first, &block.logs, count);
        let from = state_records[0] * dimension;
        scattered(states, from, total, first, &block.states, count);
        scattered(status, 0, total, first, &block.status, count);
    }
    Ok(())
}

/// All steps of a block of one system.
fn of_system<T: Real>(system: DynamicalSystem) -> fn(&TangentEnsemble, &mut Block<T>) {
    match system {
        DynamicalSystem::LORENZ63 => all_steps::<T, Lorenz63, 3, 3>,
        DynamicalSystem::ROSSLER => all_steps::<T, Rossler, 3, 3>,
        DynamicalSystem::VAN_DER_POL => all_steps::<T, VanDerPol, 2, 1>,
        DynamicalSystem::HENON_HEILES => all_steps::<T, HenonHeiles, 4, 0>,
        DynamicalSystem::DOUBLE_GYRE => all_steps::<T, DoubleGyre, 2, 2>,
        DynamicalSystem::OSCILLATOR => all_steps::<T, Oscillator, 2, 2>,
        DynamicalSystem::HENON => all_steps::<T, Henon, 2, 2>,
        DynamicalSystem::CAT => all_steps::<T, Cat, 2, 0>,
        DynamicalSystem::STANDARD_MAP => all_steps::<T, StandardMap, 2, 1>,
        DynamicalSystem::LOGISTIC => all_steps::<T, Logistic, 1, 1>,
        _ => all_steps::<T, Ikeda, 2, 1>,
    }
}

fn all_steps<T: Real, F: Dynamics<D, P>, const D: usize, const P: usize>(
    p: &TangentEnsemble,
    block: &mut Block<T>,
) {
    pulp::Arch::new().dispatch(Steps::<T, F, D, P> {
        p,
        block,
        tableau: Tableau::of(p),
        system: PhantomData,
    });
}

/// A Runge-Kutta method whose stages each start from the stage before: stage s at x + at\[s\] k(s - 1);
/// the step is x + scale (sum of weights\[s\] k(s)).
struct Tableau<T> {
    stages: usize,
    at: [T; 4],
    weights: [T; 4],
    scale: T,
}

impl<T: Real> Tableau<T> {
    fn of(p: &TangentEnsemble) -> Self {
        let h = T::from_f64(p.step_size());
        let [zero, half, two] = [0.0, 0.5, 2.0].map(T::from_f64);
        let one = T::ONE;
        let (stages, at, weights, scale) = match p.method {
            OdeMethod::EULER => (1, [zero; 4], [one; 4], h),
            OdeMethod::MIDPOINT => (2, [zero, h * half, zero, zero], [zero, one, zero, zero], h),
            OdeMethod::HEUN => (2, [zero, h, zero, zero], [one; 4], h * half),
            _ => {
                let sixth = h / T::from_f64(6.0);
                (
                    4,
                    [zero, h * half, h * half, h],
                    [one, two, two, one],
                    sixth,
                )
            }
        };
        Self {
            stages,
            at,
            weights,
            scale,
        }
    }
}

/// A block on its way.
struct Steps<'a, T, F, const D: usize, const P: usize> {
    p: &'a TangentEnsemble,
    block: &'a mut Block<T>,
    tableau: Tableau<T>,
    system: PhantomData<F>,
}

impl<T: Real, F: Dynamics<D, P>, const D: usize, const P: usize> WithSimd
    for Steps<'_, T, F, D, P>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = Vector::<S, T>::width();
        for start in (0..self.block.trajectories).step_by(width) {
            self.packet(simd, start);
        }
    }
}

/// What the stages of a step are made at.
struct Stages<S: Simd, T: Real, const D: usize> {
    jacobians: [[[Vector<S, T>; D]; D]; 4],
    next: [Vector<S, T>; D],
}

/// `m v`.
#[inline(always)]
fn product<S: Simd, T: Real, const D: usize>(
    m: &[[Vector<S, T>; D]; D],
    v: &[Vector<S, T>; D],
) -> [Vector<S, T>; D] {
    let mut result = *v;
    for (result, row) in result.iter_mut().zip(m) {
        let mut sum = row[0] * v[0];
        for (m, v) in row.iter().zip(v).skip(1) {
            sum = m.mul_add(*v, sum);
        }
        *result = sum;
    }
    result
}

/// `x + h k`, rounded twice.
#[inline(always)]
fn along<S: Simd, T: Real, const D: usize>(
    h: Vector<S, T>,
    k: &[Vector<S, T>; D],
    x: &[Vector<S, T>; D],
) -> [Vector<S, T>; D] {
    let mut moved = *x;
    for (moved, k) in moved.iter_mut().zip(k) {
        *moved = *moved + h * *k;
    }
    moved
}

impl<T: Real, F: Dynamics<D, P>, const D: usize, const P: usize> Steps<'_, T, F, D, P> {
    /// The next state and the Jacobians on the way to it.
    #[inline(always)]
    fn stages<S: Simd>(
        &self,
        simd: S,
        x: &[Vector<S, T>; D],
        q: &[Vector<S, T>; P],
        step: u32,
        with_jacobians: bool,
    ) -> Stages<S, T, D> {
        let zero = Packet::splat(simd, T::ZERO);
        let mut made = Stages {
            jacobians: [[[zero; D]; D]; 4],
            next: *x,
        };
        if !F::FLOW {
            if with_jacobians {
                made.jacobians[0] = F::jacobian(simd, x, q, zero);
            }
            made.next = F::evaluate(simd, x, q, zero);
            return made;
        }
        let clock = self.clocks(simd, step);
        let mut k = [zero; D];
        let mut sum = [zero; D];
        for (stage, &time) in clock.iter().enumerate().take(self.tableau.stages) {
            let place = match stage {
                0 => *x,
                _ => along(Packet::splat(simd, self.tableau.at[stage]), &k, x),
            };
            if with_jacobians {
                made.jacobians[stage] = F::jacobian(simd, &place, q, time);
            }
            k = F::evaluate(simd, &place, q, time);
            sum = along(Packet::splat(simd, self.tableau.weights[stage]), &k, &sum);
        }
        made.next = along(Packet::splat(simd, self.tableau.scale), &sum, x);
        made
    }

    /// The clock at the stages of a step.
    #[inline(always)]
    fn clocks<S: Simd>(&self, simd: S, step: u32) -> [Vector<S, T>; 4] {
        let p = self.p;
        let clock = p.clock(step);
        let at = |clock: u64| Packet::splat(simd, clock_at(clock));
        let start = at(clock);
        let middle = at(clock.wrapping_add(p.half_turns()));
        let end = at(p.clock(step.wrapping_add(1)));
        match p.method {
            OdeMethod::HEUN => [start, end, end, end],
            _ => [start, middle, middle, end],
        }
    }

    /// The tangent of the same step.
    #[inline(always)]
    fn moved<S: Simd>(
        &self,
        simd: S,
        stages: &Stages<S, T, D>,
        w: &[Vector<S, T>; D],
    ) -> [Vector<S, T>; D] {
        if !F::FLOW {
            return product(&stages.jacobians[0], w);
        }
        let mut k = *w;
        let mut sum = [Packet::splat(simd, T::ZERO); D];
        for stage in 0..self.tableau.stages {
            let place = match stage {
                0 => *w,
                _ => along(Packet::splat(simd, self.tableau.at[stage]), &k, w),
            };
            k = product(&stages.jacobians[stage], &place);
            sum = along(Packet::splat(simd, self.tableau.weights[stage]), &k, &sum);
        }
        along(Packet::splat(simd, self.tableau.scale), &sum, w)
    }

    /// All steps of one packet.
    #[inline(always)]
    fn packet<S: Simd>(&mut self, simd: S, start: usize) {
        let p = self.p;
        let row = self.block.trajectories;
        let used = Vector::<S, T>::width().min(row - start);
        let k = p.tangents as usize;
        let zero: Vector<S, T> = Packet::splat(simd, T::ZERO);
        let mut q = [zero; P];
        for (q, numbers) in q.iter_mut().zip(&self.block.parameters) {
            *q = Packet::load(simd, numbers, start);
        }
        let mut x = [zero; D];
        load_rows(simd, &mut x, &self.block.state, row, 0, start);
        let mut w = [[zero; D]; D];
        for (j, column) in w.iter_mut().take(k).enumerate() {
            load_rows(simd, column, &self.block.tangent, row, j * D, start);
        }
        let mut watch = Watch::new(p.first_step, x[0]);
        let mut records = (0, 0);
        let end = p.first_step.saturating_add(p.count());
        for step in p.first_step..end {
            let moving = k > 0 && step >= p.transient;
            let stages = self.stages(simd, &x, &q, step, moving);
            if moving {
                for column in w.iter_mut().take(k) {
                    *column = self.moved(simd, &stages, column);
                }
            }
            x = stages.next;
            watch.see::<D>(&x, step - p.first_step);
            let done = step + 1;
            let turn =
                moving && (done - p.transient).checked_rem(p.reorthonormalise_every) == Some(0);
            if turn || done == end || done - watch.first >= WINDOW {
                watch.report(done, &mut self.block.status, row, start, used);
            }
            if turn {
                self.orthonormalise(simd, &mut w, done, start, used, &mut records.0);
            }
            if done.checked_rem(p.state_every) == Some(0) {
                let from = records.1 * D;
                store_rows(&x, &mut self.block.states, row, from, start);
                records.1 += 1;
            }
        }
        store_rows(&x, &mut self.block.state, row, 0, start);
        for (j, column) in w.iter().take(k).enumerate() {
            store_rows(column, &mut self.block.tangent, row, j * D, start);
        }
    }

    /// QR after step `done`, its logarithms summed and recorded.
    #[inline(always)]
    fn orthonormalise<S: Simd>(
        &mut self,
        simd: S,
        w: &mut [[Vector<S, T>; D]; D],
        done: u32,
        start: usize,
        used: usize,
        record: &mut usize,
    ) {
        let p = self.p;
        let k = p.tangents as usize;
        let row = self.block.trajectories;
        let count = p.summed(done);
        let records = count > 0 && count.checked_rem(p.record_every) == Some(0);
        let summed = count > 0;
        let Block {
            sums, logs, status, ..
        } = &mut *self.block;
        let mut ledger = Ledger {
            sums,
            logs: records.then_some((logs, *record * k)),
            status,
            row,
            start,
            k,
            done,
        };
        orthonormalise(simd, w, k, used, |j, column| {
            ledger.enter(j, column, used, summed);
        });
        *record += usize::from(records);
    }
}

#[inline(always)]
fn load_rows<S: Simd, T: Real, const D: usize>(
    simd: S,
    x: &mut [Vector<S, T>; D],
    rows: &[T],
    row: usize,
    first: usize,
    start: usize,
) {
    for (x, row) in x.iter_mut().zip(rows.chunks(row).skip(first)) {
        *x = Packet::load(simd, row, start);
    }
}

#[inline(always)]
fn store_rows<S: Simd, T: Real, const D: usize>(
    x: &[Vector<S, T>; D],
    rows: &mut [T],
    row: usize,
    first: usize,
    start: usize,
) {
    for (x, row) in x.iter().zip(rows.chunks_mut(row).skip(first)) {
        x.store(row, start);
    }
}

/// The lanes of a packet fit a buffer.
const _: () = assert!(WIDEST >= 16);
