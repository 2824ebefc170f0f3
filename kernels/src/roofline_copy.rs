//! The copy that measures memory bandwidth.

use crate::addressing::require_positive;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, for_each_row,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `dst[i] = src[i]` for `count` contiguous elements, four at a time: the bandwidth that the benches call
/// the roofline's slope.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct RooflineCopy {
    /// Elements; a multiple of 4.
    pub count: u32,
}

/// Elements that are one piece of work: two pages of f32.
const BLOCK: usize = 2048;

impl Kernel for RooflineCopy {
    const NAME: &'static str = "roofline_copy";
    const SHADER: &'static str = include_str!("../../shaders/roofline_copy.wgsl");
    const OPERANDS: &'static [Operand] = &[Operand::input("src"), Operand::output("dst")];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(Self::NAME, &[("count", self.count)])?;
        if !self.count.is_multiple_of(4) {
            return Err(KernelError::parameter(
                Self::NAME,
                "count",
                "a multiple of 4",
                self.count,
            ));
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        vec![self.count as usize; 2]
    }

    fn cost(&self) -> Cost {
        Cost {
            flops: 0,
            bytes: u64::from(self.count) * 8,
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.count as usize / 4, 256),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let count = self.count as usize;
        let src = &operands.float(0)?[..count];
        let dst = &mut operands.float_mut(1)?[..count];
        for_each_row(operands.parallel, dst, BLOCK, |block, dst| {
            dst.copy_from_slice(&src[block * BLOCK..][..dst.len()]);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::RooflineCopy;
    use crate::test_support::{assert_refuses, numbers, run};
    use crate::{Kernel, View};

    #[test]
    fn copies_and_no_more() {
        for count in [4u32, 20_004] {
            let src = numbers(count as usize + 1, 9);
            let mut dst = vec![2.0f32; count as usize + 1];
            let views = vec![View::Float(&src), View::FloatMut(&mut dst)];
            run(RooflineCopy { count }, views).unwrap();
            assert_eq!(dst[..count as usize], src[..count as usize]);
            assert_eq!(dst[count as usize], 2.0);
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        assert_refuses(RooflineCopy { count: 0 }, "count");
        assert_refuses(RooflineCopy { count: 6 }, "count");
        assert_eq!(RooflineCopy { count: 8 }.cost().bytes, 64);
    }
}
