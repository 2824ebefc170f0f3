//! The CPU's ensembles: blocks of trajectories over the thread pool, packets of them through all steps.

use super::adaptive::{Control, Controlled, attempt};
use super::fields::{
    DoubleGyre, Field, HenonHeiles, Lorenz63, Lorenz96, Oscillator, Rossler, VanDerPol,
};
use super::methods::{Moments, PLACES, classic_step, dormand_prince_step};
use super::{OdeEnsemble, OdeField, OdeMethod, OdeState, clock_at};
use crate::packet::{Packet, WIDEST};
use crate::{KernelError, Operands, Real};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;

/// The rows of each operand that belong to one range of trajectories.
struct Block<'a, T> {
    trajectories: usize,
    state: Vec<&'a mut [T]>,
    parameters: Vec<&'a [T]>,
    history: Vec<&'a mut [T]>,
    control: Vec<&'a mut [T]>,
    status: Vec<&'a mut [u32]>,
}

/// Trajectories of one block at least: enough for the widest packets.
const LEAST: usize = 4 * WIDEST;
/// Steps of trajectories under which waking another thread costs more than it gains.
const SERIAL_STEPS: usize = 16 * 1024;

/// Cuts every row of `row` elements into ranges of `block`, and gives each range its part of all rows.
fn columns<E>(elements: &mut [E], row: usize, block: usize) -> impl Iterator<Item = Vec<&mut [E]>> {
    let mut ranges: Vec<Vec<&mut [E]>> = Vec::new();
    ranges.resize_with(row.div_ceil(block), Vec::new);
    for row in elements.chunks_mut(row) {
        for (range, part) in ranges.iter_mut().zip(row.chunks_mut(block)) {
            range.push(part);
        }
    }
    ranges.into_iter()
}

fn blocks<'a, T: Real>(
    p: &OdeEnsemble,
    operands: &mut Operands<'a, T>,
) -> Result<Vec<Block<'a, T>>, KernelError> {
    let count = p.trajectories as usize;
    let adaptive = p.method.is_adaptive();
    let extents: [usize; 5] = {
        let mut all = [0; 5];
        all.iter_mut()
            .zip(super::Kernel::extents(p))
            .for_each(|(place, extent)| *place = extent);
        all
    };
    let state = &mut operands.float_mut(0)?[..extents[0]];
    let parameters = &operands.float_or_empty(1)?[..extents[1]];
    let history: &mut [T] = match extents[2] {
        0 => &mut [],
        elements => &mut operands.float_mut(2)?[..elements],
    };
    let (control, status): (&mut [T], &mut [u32]) = if adaptive {
        let control = &mut operands.float_mut(3)?[..extents[3]];
        (control, &mut operands.words_mut(4)?[..extents[4]])
    } else {
        (&mut [], &mut [])
    };
    let threads = rayon::current_num_threads();
    let block = (count / (8 * threads))
        .next_multiple_of(WIDEST)
        .clamp(LEAST, 16 * LEAST);
    let mut control = columns(control, count, block);
    let mut history = columns(history, count, block);
    let mut status = columns(status, count, block);
    let blocks = columns(state, count, block).enumerate();
    Ok(blocks
        .map(|(index, state)| Block {
            trajectories: state.first().map_or(0, |row| row.len()),
            parameters: match p.has_each() {
                false => parameters.chunks(1).collect(),
                true => parameters
                    .chunks(count)
                    .filter_map(|row| row.chunks(block).nth(index))
                    .collect(),
            },
            state,
            history: history.next().unwrap_or_default(),
            control: control.next().unwrap_or_default(),
            status: status.next().unwrap_or_default(),
        })
        .collect())
}

/// The twin in one precision. The compiler lays out some three hundred loops for it, one for each field,
/// method, precision and instruction set: as a trait that two types implement, it does so once, in this
/// crate, and not again in every crate that names a twin.
pub trait Integrate: Sized {
    /// Runs the twin.
    ///
    /// # Errors
    /// As [`crate::Kernel::twin`].
    fn integrate(
        ensemble: &OdeEnsemble,
        operands: &mut Operands<'_, Self>,
    ) -> Result<(), KernelError>;
}

impl Integrate for f32 {
    fn integrate(
        ensemble: &OdeEnsemble,
        operands: &mut Operands<'_, Self>,
    ) -> Result<(), KernelError> {
        run(ensemble, operands)
    }
}

impl Integrate for f64 {
    fn integrate(
        ensemble: &OdeEnsemble,
        operands: &mut Operands<'_, Self>,
    ) -> Result<(), KernelError> {
        run(ensemble, operands)
    }
}

fn run<T: Real>(p: &OdeEnsemble, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
    let work = (p.trajectories as usize).saturating_mul(p.count() as usize);
    let parallel = operands.parallel && work > SERIAL_STEPS;
    let blocks = blocks(p, operands)?;
    let integrate = match p.field {
        OdeField::LORENZ63 => integrate::<T, Lorenz63, 3, 3, 4, 2>,
        OdeField::ROSSLER => integrate::<T, Rossler, 3, 3, 4, 2>,
        OdeField::VAN_DER_POL => integrate::<T, VanDerPol, 2, 1, 4, 2>,
        OdeField::HENON_HEILES => integrate::<T, HenonHeiles, 4, 0, 2, 2>,
        OdeField::DOUBLE_GYRE => integrate::<T, DoubleGyre, 2, 2, 2, 2>,
        OdeField::OSCILLATOR => integrate::<T, Oscillator, 2, 2, 4, 2>,
        _ => integrate::<T, Lorenz96, 8, 1, 1, 1>,
    };
    if parallel {
        blocks.into_par_iter().for_each(|b| integrate(p, b));
    } else {
        blocks.into_iter().for_each(|b| integrate(p, b));
    }
    Ok(())
}

/// One block of a field of `D` numbers and `P` parameters, `K` registers at a time, or `A` for Dormand
/// and Prince, whose stages need more of them.
fn integrate<T: Real, F, const D: usize, const P: usize, const K: usize, const A: usize>(
    p: &OdeEnsemble,
    block: Block<'_, T>,
) where
    F: Field<D, P>,
{
    let arch = pulp::Arch::new();
    let field = PhantomData::<F>;
    match p.method {
        OdeMethod::DORMAND_PRINCE54 => arch.dispatch(Adaptive::<T, F, D, P, A> { p, block, field }),
        OdeMethod::DORMAND_PRINCE5 => {
            arch.dispatch(Fixed::<T, F, D, P, A, 4> { p, block, field });
        }
        OdeMethod::EULER => arch.dispatch(Fixed::<T, F, D, P, K, 0> { p, block, field }),
        OdeMethod::MIDPOINT => arch.dispatch(Fixed::<T, F, D, P, K, 1> { p, block, field }),
        OdeMethod::HEUN => arch.dispatch(Fixed::<T, F, D, P, K, 2> { p, block, field }),
        _ => arch.dispatch(Fixed::<T, F, D, P, K, 3> { p, block, field }),
    }
}

/// A packet of trajectories from a block.
#[inline(always)]
fn load<S: Simd, T: Real, const K: usize, const D: usize>(
    simd: S,
    rows: &[impl std::ops::Deref<Target = [T]>],
    start: usize,
) -> [Packet<S, T, K>; D] {
    let mut x = [Packet::splat(simd, T::ZERO); D];
    for (x, row) in x.iter_mut().zip(rows) {
        *x = Packet::load(simd, row, start);
    }
    x
}

#[inline(always)]
fn store<S: Simd, T: Real, const K: usize>(
    x: &[Packet<S, T, K>],
    rows: &mut [&mut [T]],
    start: usize,
) {
    for (x, row) in x.iter().zip(rows) {
        x.store(row, start);
    }
}

/// A block under fixed steps; the method is a constant so that its step compiles to a straight line.
struct Fixed<'a, 'b, T, F, const D: usize, const P: usize, const K: usize, const METHOD: u32> {
    p: &'a OdeEnsemble,
    block: Block<'b, T>,
    field: PhantomData<F>,
}

impl<T: Real, F, const D: usize, const P: usize, const K: usize, const METHOD: u32> WithSimd
    for Fixed<'_, '_, T, F, D, P, K, METHOD>
where
    F: Field<D, P>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = Packet::<S, T, K>::width();
        for start in (0..self.block.trajectories).step_by(width) {
            self.packet(simd, start);
        }
    }
}

impl<T: Real, F, const D: usize, const P: usize, const K: usize, const METHOD: u32>
    Fixed<'_, '_, T, F, D, P, K, METHOD>
where
    F: Field<D, P>,
{
    /// All steps of one packet.
    #[inline(always)]
    fn packet<S: Simd>(&mut self, simd: S, start: usize) {
        let p = self.p;
        let q: [Packet<S, T, K>; P] = load(simd, &self.block.parameters, start);
        let mut x: [Packet<S, T, K>; D] = load(simd, &self.block.state, start);
        let h = T::from_f64(p.step());
        let turns: Packet<S, T, K> = Packet::splat(simd, T::from_f64(p.rate() * p.step()));
        let end = p.first_step.saturating_add(p.count());
        let mut k = match METHOD {
            DORMAND_PRINCE => {
                F::derivative(&x, &q, Packet::splat(simd, clock_at(p.clock(p.first_step))))
            }
            _ => x,
        };
        let mut record = p.first_step.checked_div(p.record_every).unwrap_or(0) as usize;
        let mut until = p
            .first_step
            .checked_rem(p.record_every)
            .map_or(0, |done| p.record_every - done);
        for step in p.first_step..end {
            let now: Packet<S, T, K> = Packet::splat(simd, clock_at(p.clock(step)));
            let then = Packet::splat(simd, clock_at(p.clock(step.wrapping_add(1))));
            if METHOD == DORMAND_PRINCE {
                let mut places = [then; 5];
                for (place, within) in places.iter_mut().zip(PLACES) {
                    *place = turns.mul_add(now.constant(within), now);
                }
                let h = Packet::splat(simd, h);
                let made = dormand_prince_step::<F, S, T, K, D, P>(h, &x, &q, &k, places);
                (x, k) = (made.x, made.k);
            } else {
                let at = Moments {
                    start: now,
                    middle: turns.mul_add(now.constant(0.5), now),
                    end: then,
                };
                x = classic_step::<F, S, T, METHOD, K, D, P>(simd, h, &x, &q, &at);
            }
            if until == 1 {
                let rows = self.block.history.iter_mut().skip(record * D);
                for (x, row) in x.iter().zip(rows) {
                    x.store(row, start);
                }
                record += 1;
                until = p.record_every;
            } else {
                // Stays at 0, and so never comes to 1, where nothing is recorded.
                until = until.saturating_sub(1);
            }
        }
        store(&x, &mut self.block.state, start);
    }
}

/// [`OdeMethod::DORMAND_PRINCE5`] as a constant parameter.
const DORMAND_PRINCE: u32 = 4;

/// A block under step control.
struct Adaptive<'a, 'b, T, F, const D: usize, const P: usize, const K: usize> {
    p: &'a OdeEnsemble,
    block: Block<'b, T>,
    field: PhantomData<F>,
}

impl<T: Real, F, const D: usize, const P: usize, const K: usize> WithSimd
    for Adaptive<'_, '_, T, F, D, P, K>
where
    F: Field<D, P>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = Packet::<S, T, K>::width();
        for start in (0..self.block.trajectories).step_by(width) {
            self.packet(simd, start);
        }
    }
}

impl<T: Real, F, const D: usize, const P: usize, const K: usize> Adaptive<'_, '_, T, F, D, P, K>
where
    F: Field<D, P>,
{
    /// All attempts of one packet.
    #[inline(always)]
    fn packet<S: Simd>(&mut self, simd: S, start: usize) {
        let p = self.p;
        let q: [Packet<S, T, K>; P] = load(simd, &self.block.parameters, start);
        let c = Control::new(p, simd);
        let mut now = self.begin(simd, start, &c);
        let mut k = F::derivative(&now.x, &q, c.at(now.time[0]));
        for round in 0..p.count() {
            // Looking at every lane costs as much as part of an attempt.
            if round % 4 == 0 && !any_running(&now.state) {
                break;
            }
            attempt::<F, S, T, K, D, P>(&c, &q, &mut now, &mut k);
        }
        store(&now.x, &mut self.block.state, start);
        let [time, time_low] = now.time;
        store(&[time, time_low, now.step], &mut self.block.control, start);
        let counts = [now.accepted, now.rejected, now.state];
        for (row, counts) in self.block.status.iter_mut().zip(counts) {
            let places = row.iter_mut().skip(start);
            for (place, count) in places.zip(counts.lanes()).take(Packet::<S, T, K>::width()) {
                *place = count.to_f64() as u32;
            }
        }
    }

    #[inline(always)]
    fn begin<S: Simd>(
        &self,
        simd: S,
        start: usize,
        c: &Control<S, T, K>,
    ) -> Controlled<S, T, K, D> {
        let [time, time_low, step] = load(simd, &self.block.control, start);
        let mut counts = [c.zero; 3];
        for (counts, row) in counts.iter_mut().zip(&self.block.status) {
            // Lanes past the end have arrived: nothing waits for them.
            let mut lanes = [T::from_f64(f64::from(OdeState::DONE)); WIDEST];
            for (lane, count) in lanes.iter_mut().zip(row.iter().skip(start)) {
                *lane = T::from_f64(f64::from(*count));
            }
            *counts = Packet::load(simd, &lanes, 0);
        }
        let first = c.one.constant(self.p.step());
        let [accepted, rejected, state] = counts;
        Controlled {
            x: load(simd, &self.block.state, start),
            time: [time, time_low],
            step: step.abs().where_at_most(c.zero, first, step),
            accepted,
            rejected,
            state,
        }
    }
}

/// Whether any lane is still on its way.
#[inline(always)]
fn any_running<S: Simd, T: Real, const K: usize>(state: &Packet<S, T, K>) -> bool {
    let lanes = state.lanes();
    let used = lanes.iter().take(Packet::<S, T, K>::width());
    let going = [OdeState::RUNNING, OdeState::REJECTED].map(|s| T::from_f64(f64::from(s)));
    used.fold(false, |any, lane| any | going.contains(lane))
}
