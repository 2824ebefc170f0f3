//! Tangent operands: copies of a primal operand's whole layout, one a tangent, evenly spaced.

use crate::KernelError;
use crate::rows::Rows;

/// A `[tangents, batch, rows, width]` view: tangent j of a primal element is `j * stride` further on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tangents {
    /// The primal operand's view.
    pub rows: Rows,
    /// Tangents.
    pub count: u32,
    /// Elements between one tangent and the next.
    pub stride: u32,
}

impl Tangents {
    /// One past the last element; saturates.
    pub fn reach(&self) -> usize {
        let last = (self.count as usize).saturating_sub(1);
        self.rows
            .reach()
            .saturating_add(last.saturating_mul(self.stride as usize))
    }

    /// Elements from the first to one past the last of one tangent.
    fn span(&self) -> usize {
        self.rows.reach() - self.rows.offset as usize
    }

    /// Checks that no tangent of an output overlaps the next; `name` is that of the stride.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the stride if it is too small.
    pub fn check(&self, kernel: &'static str, name: &'static str) -> Result<(), KernelError> {
        let least = self.span();
        if self.count > 1 && (self.stride as usize) < least {
            let expected = format!("at least {least}");
            return Err(KernelError::parameter(kernel, name, expected, self.stride));
        }
        Ok(())
    }

    /// The part of an input that holds tangent `index`, in the primal operand's layout.
    #[inline(always)]
    pub fn of<'a, T>(&self, data: &'a [T], index: usize) -> &'a [T] {
        &data[index * self.stride as usize..]
    }

    /// The parts of an output, one a tangent, each from its first element on. Needs what
    /// [`Tangents::check`] checks, and data of [`Tangents::reach`] elements.
    pub fn split<'a, T>(&self, data: &'a mut [T]) -> impl Iterator<Item = &'a mut [T]> {
        let data = &mut data[self.rows.offset as usize..];
        let apart = match self.count {
            0 | 1 => data.len(),
            _ => self.stride as usize,
        };
        data.chunks_mut(apart.max(1)).take(self.count as usize)
    }

    /// All tangents as one view of `count * batch` examples, tangent-major, where they are spaced like
    /// examples.
    pub fn merged(&self) -> Option<Rows> {
        let batch = self.rows.batch.checked_mul(self.count)?;
        let spaced = match (self.count, self.rows.batch) {
            (1, _) => return Some(self.rows),
            (_, 1) => self.stride,
            (_, examples) => self.rows.batch_stride.checked_mul(examples)?,
        };
        (spaced == self.stride).then_some(Rows {
            batch,
            batch_stride: match self.rows.batch {
                1 => self.stride,
                _ => self.rows.batch_stride,
            },
            ..self.rows
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(batch: u32, batch_stride: u32, stride: u32) -> Tangents {
        let rows = Rows {
            batch,
            rows: 3,
            width: 4,
            offset: 5,
            batch_stride,
            row_stride: 4,
        };
        Tangents {
            rows,
            count: 3,
            stride,
        }
    }

    #[test]
    fn merges_only_what_is_evenly_spaced() {
        let even = view(2, 12, 24);
        assert_eq!(even.merged().map(|rows| rows.batch), Some(6));
        assert_eq!(
            even.merged().map(|rows| rows.reach()),
            Some(even.reach()),
            "the same elements"
        );
        assert!(view(2, 12, 25).merged().is_none());
        assert_eq!(
            view(1, 0, 30).merged().map(|rows| rows.batch_stride),
            Some(30)
        );
        assert!(view(2, u32::MAX, 24).merged().is_none());
    }

    #[test]
    fn parts_start_at_the_first_element() {
        let tangents = view(2, 12, 30);
        tangents.check("kernel", "stride").unwrap();
        let mut data: Vec<usize> = (0..tangents.reach()).collect();
        let firsts: Vec<usize> = tangents.split(&mut data).map(|part| part[0]).collect();
        assert_eq!(firsts, [5, 35, 65]);
        assert_eq!(tangents.of(&data, 2)[5], 65);
        assert!(view(2, 12, 23).check("kernel", "stride").is_err());
    }
}
