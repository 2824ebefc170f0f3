//! The chain of multiply-adds that measures arithmetic throughput.

use crate::addressing::{require_finite, require_positive};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// Each of `count` invocations runs `iterations` rounds of 16 independent four-wide multiply-adds
/// `v <- multiplier v + addend` on registers, then writes the sum of its 64 values: the throughput that
/// the benches call the roofline's ceiling.
///
/// Value j of invocation i starts as `((64 i + j) mod 1024) / 1024`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct RooflineFma {
    /// Invocations, and outputs.
    pub count: u32,
    /// Rounds of 64 multiply-adds.
    pub iterations: u32,
    /// Factor, from -1 to 1 so that the values stay bounded.
    pub multiplier: f32,
    /// Term.
    pub addend: f32,
}

/// Values of one invocation.
const VALUES: usize = 64;

impl RooflineFma {
    /// Constants under which the values neither grow, nor vanish, nor become subnormal.
    pub fn new(count: u32, iterations: u32) -> Self {
        Self {
            count,
            iterations,
            multiplier: 0.999,
            addend: 0.001,
        }
    }
}

impl Kernel for RooflineFma {
    const NAME: &'static str = "roofline_fma";
    const SHADER: &'static str = include_str!("../../shaders/roofline_fma.wgsl");
    const OPERANDS: &'static [Operand] = &[Operand::output("y")];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[("count", self.count), ("iterations", self.iterations)],
        )?;
        require_finite(Self::NAME, "addend", self.addend)?;
        if self.multiplier.abs() <= 1.0 {
            return Ok(());
        }
        Err(KernelError::parameter(
            Self::NAME,
            "multiplier",
            "-1 to 1",
            self.multiplier,
        ))
    }

    fn extents(&self) -> Vec<usize> {
        vec![self.count as usize]
    }

    fn cost(&self) -> Cost {
        let values = u64::from(self.count) * VALUES as u64;
        Cost {
            // The final sum counts too: 63 additions an invocation.
            flops: values
                .saturating_mul(2 * u64::from(self.iterations))
                .saturating_add(u64::from(self.count) * (VALUES as u64 - 1)),
            bytes: u64::from(self.count) * 4,
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.count as usize, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.iterations) + 64
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let y = &mut operands.float_mut(0)?[..self.count as usize];
        let parallel = operands.parallel;
        // Sixteen registers of values: more chains in flight than a core's multiply-add latency needs.
        match (wide_registers(), size_of::<T>()) {
            (true, 4) => self.fill::<T, 256>(y, parallel),
            (true, _) => self.fill::<T, 128>(y, parallel),
            (false, _) => self.fill::<T, 64>(y, parallel),
        }
        Ok(())
    }
}

/// Whether this machine has thirty-two vector registers of 64 bytes.
fn wide_registers() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

impl RooflineFma {
    /// All results, `N / 64` invocations at a time.
    fn fill<T: Real, const N: usize>(&self, y: &mut [T], parallel: bool) {
        let weight = (self.iterations as usize).saturating_mul(VALUES);
        let together = N / VALUES;
        for_each_weighted_row(
            parallel,
            y,
            together,
            weight,
            #[inline(always)]
            |index, out| self.chains::<T, N>(index * together, out),
        );
    }

    /// Results of invocations from `first` on, `N / 64` of them or fewer.
    #[inline(always)]
    fn chains<T: Real, const N: usize>(&self, first: usize, out: &mut [T]) {
        let multiplier = T::from_f32(self.multiplier);
        let addend = T::from_f32(self.addend);
        let mut values: [T; N] =
            std::array::from_fn(|j| T::from_f64(((first * VALUES + j) % 1024) as f64 / 1024.0));
        for _ in 0..self.iterations {
            for v in &mut values {
                *v = v.mul_add(multiplier, addend);
            }
        }
        for (out, values) in out.iter_mut().zip(values.chunks(VALUES)) {
            *out = total(values);
        }
    }
}

/// Sum in the shader's order: the sixteen vectors by halves, then the four components.
fn total<T: Real>(values: &[T]) -> T {
    let mut sums = [T::ZERO; VALUES];
    sums.copy_from_slice(&values[..VALUES]);
    for half in [32, 16, 8, 4] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[cfg(test)]
mod tests {
    use super::RooflineFma;
    use crate::test_support::{assert_close, assert_refuses, run};
    use crate::{Kernel, View};

    #[test]
    fn matches_the_closed_form() {
        // v_n = m^n v_0 + a (1 - m^n) / (1 - m)
        for (count, iterations) in [(1u32, 1u32), (2, 3), (67, 250), (33, 2000)] {
            let kernel = RooflineFma {
                multiplier: 0.75,
                addend: 0.125,
                ..RooflineFma::new(count, iterations)
            };
            let power = 0.75f64.powi(iterations as i32);
            let expected: Vec<f64> = (0..count as usize)
                .map(|i| {
                    let starts = (0..64).map(|j| ((64 * i + j) % 1024) as f64 / 1024.0);
                    starts.map(|v| power * v + 0.5 * (1.0 - power)).sum()
                })
                .collect();
            let mut y = vec![0.0f32; count as usize];
            run(kernel, vec![View::FloatMut(&mut y)]).unwrap();
            assert_close(&y, &expected, 1e-6, "roofline_fma");
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = RooflineFma::new(3, 10);
        good.check().unwrap();
        assert_eq!(good.cost().flops, 3 * (10 * 128 + 63));
        assert_eq!(good.cost().bytes, 12);
        assert_refuses(RooflineFma::new(0, 1), "count");
        assert_refuses(RooflineFma::new(1, 0), "iterations");
        for multiplier in [1.5, f32::NAN] {
            assert_refuses(RooflineFma { multiplier, ..good }, "multiplier");
        }
        let addend = f32::INFINITY;
        assert_refuses(RooflineFma { addend, ..good }, "addend");
    }
}
