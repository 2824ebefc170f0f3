//! Small matrices on their way into lanes and out of them: a line of lanes for every element.

use super::Qr;
use super::pieces::Piece;
use crate::Real;
use crate::attention::transpose::{GROUP, copy_line, transpose};

/// How the elements of a matrix lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Row after row, without gaps.
    Whole,
    /// Every column without gaps.
    Columns,
    /// Element by element.
    Strided,
}

/// Lines of [`GROUP`] matrices.
pub(super) struct Lines<T> {
    layout: Layout,
    n: usize,
    k: usize,
    /// Elements between two matrices.
    apart: usize,
    /// Elements between two rows.
    stride: usize,
    /// The matrices: Q after W.
    w: Vec<T>,
    /// R, row after row.
    r: Vec<T>,
    /// Room for matrices whose size is not that of whole registers.
    along: Vec<T>,
}

impl<T: Real> Lines<T> {
    pub fn new(qr: &Qr) -> Self {
        let (n, k) = (qr.rows as usize, qr.columns as usize);
        let layout = if qr.column_stride == 1 && qr.row_stride == qr.columns {
            Layout::Whole
        } else if qr.row_stride == 1 {
            Layout::Columns
        } else {
            Layout::Strided
        };
        Self {
            layout,
            n,
            k,
            apart: qr.batch_stride as usize,
            stride: qr.row_stride as usize,
            w: vec![T::ZERO; n * k * GROUP],
            r: vec![T::ZERO; k * k * GROUP],
            along: vec![T::ZERO; (n * k).next_multiple_of(GROUP) * GROUP],
        }
    }

    /// Number of the line of element (0, j), and lines from one row to the next.
    #[inline(always)]
    fn start(&self, j: usize) -> (usize, usize) {
        match self.layout {
            Layout::Columns => (j * self.n, 1),
            _ => (j, self.k),
        }
    }

    /// Lines of column `j`.
    #[inline(always)]
    pub fn column(&self, j: usize) -> impl Iterator<Item = &[T; GROUP]> {
        let (first, step) = self.start(j);
        let lines = self.w.as_chunks::<GROUP>().0.get(first..);
        lines.unwrap_or_default().iter().step_by(step).take(self.n)
    }

    /// The same, to write.
    #[inline(always)]
    pub fn column_mut(&mut self, j: usize) -> impl Iterator<Item = &mut [T; GROUP]> {
        let (first, step) = self.start(j);
        let lines = self.w.as_chunks_mut::<GROUP>().0.get_mut(first..);
        let lines = lines.unwrap_or_default().iter_mut();
        lines.step_by(step).take(self.n)
    }

    /// Lines of R, row after row.
    #[inline(always)]
    pub fn factors_mut(&mut self) -> &mut [[T; GROUP]] {
        self.r.as_chunks_mut().0
    }

    /// Fills the lines with matrices `start..start + lanes`; lanes without a matrix take unit vectors.
    #[inline(always)]
    pub fn gather(&mut self, piece: &Piece<'_, T>, start: usize, lanes: usize) {
        let (n, k, apart) = (self.n, self.k, self.apart);
        let from = |j: usize| piece.column(j).get(start * apart..).unwrap_or_default();
        match self.layout {
            Layout::Whole => {
                // Read in the order of memory first, which need not wait for it as often.
                let whole = from(0).get(..(lanes - 1) * apart + n * k);
                let whole = whole.unwrap_or_default();
                let source = match self.along.get_mut(..whole.len()) {
                    Some(staged) => {
                        staged.copy_from_slice(whole);
                        &*staged
                    }
                    None => whole,
                };
                transpose((source, apart), (&mut self.w, GROUP), (lanes, n * k));
            }
            Layout::Columns => {
                for (j, lines) in self.w.chunks_exact_mut(n * GROUP).enumerate() {
                    transpose((from(j), apart), (lines, GROUP), (lanes, n));
                }
            }
            Layout::Strided => {
                let stride = self.stride.max(1);
                for j in 0..k {
                    for lane in 0..lanes {
                        let own = from(j).get(lane * apart..).unwrap_or_default();
                        let own = own.iter().step_by(stride);
                        for (line, value) in self.column_mut(j).zip(own) {
                            line[lane] = *value;
                        }
                    }
                }
            }
        }
        if lanes < GROUP {
            for j in 0..k {
                for (i, line) in self.column_mut(j).enumerate() {
                    line[lanes..].fill(if i == j { T::ONE } else { T::ZERO });
                }
            }
        }
    }

    /// Writes the matrices back.
    #[inline(always)]
    pub fn scatter(&mut self, piece: &mut Piece<'_, T>, start: usize, lanes: usize) {
        let (n, k, apart) = (self.n, self.k, self.apart);
        let first = start * apart;
        match self.layout {
            Layout::Whole => {
                let target = piece.column_mut(0).get_mut(first..).unwrap_or_default();
                turn(&self.w, (n * k, lanes), (target, apart), &mut self.along);
            }
            Layout::Columns => {
                for (j, lines) in self.w.chunks_exact(n * GROUP).enumerate() {
                    let target = piece.column_mut(j).get_mut(first..).unwrap_or_default();
                    turn(lines, (n, lanes), (target, apart), &mut self.along);
                }
            }
            Layout::Strided => {
                let stride = self.stride.max(1);
                for j in 0..k {
                    let target = piece.column_mut(j).get_mut(first..).unwrap_or_default();
                    for lane in 0..lanes {
                        let own = target.get_mut(lane * apart..).unwrap_or_default();
                        let own = own.iter_mut().step_by(stride);
                        for (place, line) in own.zip(self.column(j)) {
                            *place = line[lane];
                        }
                    }
                }
            }
        }
    }

    /// Writes R of the matrices, `r` being that of all.
    #[inline(always)]
    pub fn scatter_factors(&mut self, r: &mut [T], start: usize, lanes: usize) {
        let size = self.k * self.k;
        let target = r.get_mut(start * size..).unwrap_or_default();
        turn(&self.r, (size, lanes), (target, size), &mut self.along);
    }
}

/// Writes `count` lines as `lanes` rows that begin `apart` elements from each other.
#[inline(always)]
fn turn<T: Real>(
    lines: &[T],
    (count, lanes): (usize, usize),
    (target, apart): (&mut [T], usize),
    along: &mut [T],
) {
    let own = count.next_multiple_of(GROUP);
    transpose((lines, GROUP), (along, own), (count, lanes));
    // In the order of memory, which need not wait for it as often as block by block.
    if own == apart
        && let (Some(target), Some(along)) =
            (target.get_mut(..lanes * own), along.get(..lanes * own))
    {
        return target.copy_from_slice(along);
    }
    for (row, line) in target
        .chunks_mut(apart.max(1))
        .zip(along.chunks_exact(own))
        .take(lanes)
    {
        let row = row.get_mut(..count).unwrap_or_default();
        copy_line(&line[..count], row);
    }
}
