//! Transposes of rows, block by block of [`GROUP`] squared numbers.

use crate::{Real, simd};

/// Columns are padded to a multiple of this: one register of the widest machines, several of others.
pub(crate) const GROUP: usize = 16;

/// A block of numbers.
type Square<T> = [[T; GROUP]; GROUP];

/// Copies a line to the start of another that is no shorter, a group at a time: copies of known length
/// need no call.
#[inline(always)]
pub(crate) fn copy_line<T: Real>(from: &[T], to: &mut [T]) {
    let (groups, rest) = from.as_chunks::<GROUP>();
    for (to, from) in to.as_chunks_mut::<GROUP>().0.iter_mut().zip(groups) {
        *to = *from;
    }
    for (to, from) in to[from.len() - rest.len()..].iter_mut().zip(rest) {
        *to = *from;
    }
}

/// Transposes `source`, rows `stride` apart, `(count, columns)` of them, into the rows of `target`, which
/// are whole groups; columns of the target past `count` become zero.
pub(crate) fn transpose<T: Real>(
    source: (&[T], usize),
    target: (&mut [T], usize),
    extents: (usize, usize),
) {
    #[cfg(target_arch = "x86_64")]
    if std::any::TypeId::of::<T>() == std::any::TypeId::of::<f32>()
        && let Some(registers) = pulp::x86::V4::try_new()
    {
        let source = (bytemuck::cast_slice(source.0), source.1);
        let target = (bytemuck::cast_slice_mut(target.0), target.1);
        registers.vectorize(
            #[inline(always)]
            || {
                blocks::<f32>(
                    source,
                    target,
                    extents,
                    #[inline(always)]
                    |lines| shuffled(registers, lines),
                );
            },
        );
        return;
    }
    simd(
        #[inline(always)]
        || blocks(source, target, extents, element_wise),
    );
}

/// Block by block.
#[inline(always)]
fn blocks<T: Real>(
    (source, stride): (&[T], usize),
    (target, own): (&mut [T], usize),
    (count, columns): (usize, usize),
    turn: impl Fn([&[T; GROUP]; GROUP]) -> Square<T>,
) {
    for first in (0..own).step_by(GROUP) {
        let present = count.saturating_sub(first).min(GROUP);
        for column in (0..columns).step_by(GROUP) {
            let wide = (columns - column).min(GROUP);
            let from = first * stride + column;
            let none = [T::ZERO; GROUP];
            let mut padded = [none; GROUP];
            let mut lines = [&none; GROUP];
            // Lines of whole blocks are read where they are.
            if present == GROUP && wide == GROUP {
                for (index, line) in lines.iter_mut().enumerate() {
                    let own = source[from + index * stride..].first_chunk();
                    *line = own.unwrap_or(line);
                }
            } else {
                for (index, line) in padded.iter_mut().enumerate().take(present) {
                    copy_line(&source[from + index * stride..][..wide], line);
                }
                for (line, padded) in lines.iter_mut().zip(&padded) {
                    *line = padded;
                }
            }
            let to = column * own + first;
            for (index, line) in turn(lines).iter().enumerate().take(wide) {
                target[to + index * own..][..GROUP].copy_from_slice(line);
            }
        }
    }
}

#[inline(always)]
fn element_wise<T: Real>(lines: [&[T; GROUP]; GROUP]) -> Square<T> {
    std::array::from_fn(|row| std::array::from_fn(|column| lines[column][row]))
}

/// The same with AVX-512, whose compilers make gathers and scatters of the loops above, ten times as
/// slow: pairs of rows, then pairs of pairs, are interleaved within quarters of registers; then quarters
/// change places.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn shuffled(simd: pulp::x86::V4, lines: [&[f32; GROUP]; GROUP]) -> Square<f32> {
    use std::arch::x86_64::{__m512, __m512d};
    let f = simd.avx512f;
    let mut pairs = [bytemuck::cast::<_, __m512>([0f32; GROUP]); GROUP];
    for i in (0..GROUP).step_by(2) {
        let (one, other) = (bytemuck::cast(*lines[i]), bytemuck::cast(*lines[i + 1]));
        pairs[i] = f._mm512_unpacklo_ps(one, other);
        pairs[i + 1] = f._mm512_unpackhi_ps(one, other);
    }
    let pairs: [__m512d; GROUP] = bytemuck::cast(pairs);
    let mut quads = pairs;
    for i in (0..GROUP).step_by(4) {
        quads[i] = f._mm512_unpacklo_pd(pairs[i], pairs[i + 2]);
        quads[i + 1] = f._mm512_unpackhi_pd(pairs[i], pairs[i + 2]);
        quads[i + 2] = f._mm512_unpacklo_pd(pairs[i + 1], pairs[i + 3]);
        quads[i + 3] = f._mm512_unpackhi_pd(pairs[i + 1], pairs[i + 3]);
    }
    // Quarter l of quads[4 g + c] holds rows 4 g.. of column 4 l + c.
    let quads: [__m512; GROUP] = bytemuck::cast(quads);
    let mut out = quads;
    for c in 0..4 {
        let [w, x, y, z] = [quads[c], quads[4 + c], quads[8 + c], quads[12 + c]];
        let low = [
            f._mm512_shuffle_f32x4::<0x44>(w, x),
            f._mm512_shuffle_f32x4::<0x44>(y, z),
        ];
        let high = [
            f._mm512_shuffle_f32x4::<0xEE>(w, x),
            f._mm512_shuffle_f32x4::<0xEE>(y, z),
        ];
        out[c] = f._mm512_shuffle_f32x4::<0x88>(low[0], low[1]);
        out[4 + c] = f._mm512_shuffle_f32x4::<0xDD>(low[0], low[1]);
        out[8 + c] = f._mm512_shuffle_f32x4::<0x88>(high[0], high[1]);
        out[12 + c] = f._mm512_shuffle_f32x4::<0xDD>(high[0], high[1]);
    }
    bytemuck::cast(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{numbers, widen};

    #[test]
    fn rows_become_columns() {
        for (count, columns, stride) in [(1, 1, 1), (16, 16, 16), (20, 16, 19), (33, 37, 41)] {
            let own = usize::next_multiple_of(count, GROUP);
            let source = numbers(count * stride, 3);
            let mut single = vec![7.0f32; columns * own];
            let mut double = vec![7.0f64; columns * own];
            transpose((&source, stride), (&mut single, own), (count, columns));
            let wide = widen(&source);
            transpose((&wide, stride), (&mut double, own), (count, columns));
            for (place, (s, d)) in single.iter().zip(&double).enumerate() {
                let (column, row) = (place / own, place % own);
                let expected = match row < count {
                    true => source[row * stride + column],
                    false => 0.0,
                };
                assert_eq!((*s, *d), (expected, f64::from(expected)));
            }
        }
    }
}
