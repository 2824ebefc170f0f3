//! Weighted sums of Runge-Kutta stages with exact rational coefficients
//! (`shaders/common/combination.wgsl`).

use crate::{KernelError, Real, element_count};

/// Most stages of one sum.
pub(crate) const STAGES: usize = 7;

const NUMERATORS: [&str; STAGES] = [
    "numerator_0",
    "numerator_1",
    "numerator_2",
    "numerator_3",
    "numerator_4",
    "numerator_5",
    "numerator_6",
];
const DENOMINATORS: [&str; STAGES] = [
    "denominator_0",
    "denominator_1",
    "denominator_2",
    "denominator_3",
    "denominator_4",
    "denominator_5",
    "denominator_6",
];

/// Where the stages `[stages, rows, width]` lie, and their coefficients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Combination {
    pub kernel: &'static str,
    pub rows: u32,
    pub width: u32,
    pub stages: u32,
    pub stage_stride: u32,
    pub numerators: [i32; STAGES],
    pub denominators: [i32; STAGES],
}

/// Coefficients as a parameter block holds them: numerators, and denominators, padded with 0/1. Those
/// beyond the last place are left out; `check` refuses so many stages.
pub(crate) fn padded(coefficients: &[(i32, i32)]) -> ([i32; STAGES], [i32; STAGES]) {
    let (mut numerators, mut denominators) = ([0; STAGES], [1; STAGES]);
    let places = numerators.iter_mut().zip(&mut denominators);
    for ((numerator, denominator), value) in places.zip(coefficients) {
        (*numerator, *denominator) = *value;
    }
    (numerators, denominators)
}

impl Combination {
    /// Refuses shapes and coefficients that the sum is not defined for.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the first parameter out of range.
    pub fn check(&self) -> Result<(), KernelError> {
        let refuse = |parameter, expected: String, found: i64| {
            Err(KernelError::parameter(
                self.kernel,
                parameter,
                expected,
                found,
            ))
        };
        for (parameter, value) in [("rows", self.rows), ("width", self.width)] {
            if value == 0 {
                return refuse(parameter, "at least 1".into(), 0);
            }
        }
        if self.stages == 0 || self.stages as usize > STAGES {
            return refuse("stages", format!("1..={STAGES}"), self.stages.into());
        }
        let stage = element_count(&[self.rows, self.width]);
        if self.stages > 1 && (self.stage_stride as usize) < stage {
            let expected = format!("at least rows * width = {stage}");
            return refuse("stage_stride", expected, self.stage_stride.into());
        }
        if self.reach() > u32::MAX as usize {
            let expected = "stages of at most 2^32 - 1 elements in all".into();
            return refuse("stage_stride", expected, self.stage_stride.into());
        }
        for (index, name) in NUMERATORS.into_iter().enumerate() {
            let numerator = self.numerators[index];
            if index >= self.stages as usize && numerator != 0 {
                return refuse(name, "0 beyond the last stage".into(), numerator.into());
            }
            let denominator = self.denominators[index];
            if denominator < 1 {
                return refuse(DENOMINATORS[index], "at least 1".into(), denominator.into());
            }
        }
        Ok(())
    }

    /// Elements of the stages, gaps between them included.
    pub fn reach(&self) -> usize {
        element_count(&[self.stages.saturating_sub(1), self.stage_stride])
            .saturating_add(element_count(&[self.rows, self.width]))
    }

    /// Stages that are read.
    pub fn terms(&self) -> u64 {
        self.numerators.iter().filter(|n| **n != 0).count() as u64
    }

    /// The slices of the stages that are read, ascending, with their coefficients.
    pub fn used<'k, T: Real>(&self, k: &'k [T]) -> Vec<(T, &'k [T])> {
        let coefficients = self.numerators.into_iter().zip(self.denominators);
        coefficients
            .enumerate()
            .filter(|(_, (numerator, _))| *numerator != 0)
            .filter_map(|(stage, (numerator, denominator))| {
                let ratio = T::from_f64(numerator.into()) / T::from_f64(denominator.into());
                let first = stage.checked_mul(self.stage_stride as usize)?;
                Some((ratio, k.get(first..)?))
            })
            .collect()
    }
}
