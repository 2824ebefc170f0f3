use crate::KernelError;

/// Rows of an output that is addressed by an offset and strides, cut into disjoint slices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// First element.
    pub offset: u32,
    /// Examples.
    pub batch: u32,
    /// Elements between examples.
    pub batch_stride: u32,
    /// Rows of an example.
    pub rows: u32,
    /// Elements between rows.
    pub row_stride: u32,
    /// Elements of a row.
    pub width: u32,
}

impl Rows {
    /// Elements from the first to one past the last of `rows` rows.
    fn span(&self, rows: usize) -> usize {
        rows.saturating_sub(1)
            .saturating_mul(self.row_stride as usize)
            .saturating_add(self.width as usize)
    }

    /// One past the last element.
    pub fn reach(&self) -> usize {
        (self.batch as usize)
            .saturating_sub(1)
            .saturating_mul(self.batch_stride as usize)
            .saturating_add(self.span(self.rows as usize))
            .saturating_add(self.offset as usize)
    }

    /// Checks that no two rows overlap and that examples follow each other; `names` are those of the
    /// row and batch strides.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] naming the stride that is too small.
    pub fn check(
        &self,
        kernel: &'static str,
        names: (&'static str, &'static str),
    ) -> Result<(), KernelError> {
        let at_least = |name, least: usize, found: u32| {
            if (found as usize) < least {
                let expected = format!("at least {least}");
                return Err(KernelError::parameter(kernel, name, expected, found));
            }
            Ok(())
        };
        if self.rows > 1 {
            at_least(names.0, self.width as usize, self.row_stride)?;
        }
        if self.batch > 1 {
            at_least(names.1, self.span(self.rows as usize), self.batch_stride)?;
        }
        Ok(())
    }

    /// Blocks of at most `block` rows of one example: (example, first row, elements from that row on).
    /// Needs what [`Rows::check`] checks, and data of [`Rows::reach`] elements.
    pub fn split<'a, T>(
        &self,
        data: &'a mut [T],
        block: usize,
    ) -> Vec<(usize, usize, &'a mut [T])> {
        let mut items = Vec::new();
        let mut rest = data;
        let mut consumed = 0;
        for example in 0..self.batch as usize {
            for first in (0..self.rows as usize).step_by(block.max(1)) {
                let start = self.offset as usize
                    + example * self.batch_stride as usize
                    + first * self.row_stride as usize;
                let length = self.span(block.max(1).min(self.rows as usize - first));
                let tail = std::mem::take(&mut rest);
                let (_, tail) = tail.split_at_mut(start - consumed);
                let (own, tail) = tail.split_at_mut(length);
                items.push((example, first, own));
                consumed = start + length;
                rest = tail;
            }
        }
        items
    }

    /// Rows a block should have so that each of `threads` gets two or so, in multiples of `unit`.
    pub fn block(&self, threads: usize, unit: usize) -> usize {
        let rows = self.rows as usize;
        let blocks = (2 * threads)
            .div_ceil((self.batch as usize).max(1))
            .min(rows.div_ceil(unit))
            .max(1);
        rows.div_ceil(blocks).next_multiple_of(unit).min(rows)
    }
}
