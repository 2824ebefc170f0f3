//! Strided index patterns of several operands, and the dimension of the tangents in front of them.

/// A count and the strides of `N` operands along it.
pub(super) type Dimension<const N: usize> = (u32, [u32; N]);

/// Drops dimensions of one element and merges neighbours that all operands cross in even steps.
pub(super) fn coalesced<const N: usize>(dimensions: &[Dimension<N>]) -> Vec<Dimension<N>> {
    let mut merged: Vec<Dimension<N>> = Vec::with_capacity(dimensions.len());
    for &(count, strides) in dimensions.iter().filter(|(count, _)| *count != 1) {
        if let Some((outer, outer_strides)) = merged.last_mut() {
            let even = (0..N).all(|n| strides[n].checked_mul(count) == Some(outer_strides[n]));
            if let Some(product) = outer.checked_mul(count).filter(|_| even) {
                (*outer, *outer_strides) = (product, strides);
                continue;
            }
        }
        merged.push((count, strides));
    }
    merged
}

/// Four dimensions as kernels take them with `front` outermost, merged with the next one if strides are
/// even; none if there are more. What needs no merging keeps its shape, by which fusion knows it.
pub(super) fn four<const N: usize>(
    front: Dimension<N>,
    dimensions: &[Dimension<N>],
) -> Option<[Dimension<N>; 4]> {
    let leading = dimensions.iter().take_while(|(count, _)| *count == 1);
    let own = &dimensions[leading.count()..];
    in_front(front, own.to_vec()).or_else(|| in_front(front, coalesced(own)))
}

fn in_front<const N: usize>(
    front: Dimension<N>,
    own: Vec<Dimension<N>>,
) -> Option<[Dimension<N>; 4]> {
    let mut all = coalesced(&[&[front], own.get(..1).unwrap_or(&[])].concat());
    all.extend(own.into_iter().skip(1));
    let missing = 4usize.checked_sub(all.len())?;
    let mut padded = [(1, [0; N]); 4];
    for (place, dimension) in padded.iter_mut().skip(missing).zip(all) {
        *place = dimension;
    }
    for d in (0..missing.min(3)).rev() {
        let (count, strides) = padded[d + 1];
        padded[d].1 = strides.map(|stride| stride.saturating_mul(count));
    }
    Some(padded)
}

/// Counts of four dimensions, and the strides of operand `n` along them.
pub(super) fn split<const N: usize>(dimensions: [Dimension<N>; 4]) -> ([u32; 4], [[u32; 4]; N]) {
    let counts = dimensions.map(|(count, _)| count);
    (
        counts,
        std::array::from_fn(|n| dimensions.map(|(_, strides)| strides[n])),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_neighbours_merge_and_single_elements_vanish() {
        let given = [(2, [12, 24]), (1, [99, 7]), (3, [4, 8]), (4, [1, 1])];
        assert_eq!(coalesced(&given), [(6, [4, 8]), (4, [1, 1])]);
        assert_eq!(coalesced::<1>(&[(1, [3])]), []);
        let repeated = [(5, [0, 3]), (3, [0, 1])];
        assert_eq!(coalesced(&repeated), [(15, [0, 1])]);
    }

    #[test]
    fn a_fifth_dimension_does_not_fit() {
        let apart = [(2, [100]), (2, [30]), (2, [9]), (2, [2])];
        assert_eq!(four((3, [1000]), &apart), None);
        let merged = four((3, [200]), &apart).map(split);
        assert_eq!(merged, Some(([6, 2, 2, 2], [[100, 30, 9, 2]])));
        let rows = four((3, [35, 0]), &[(1, [9, 9]), (5, [7, 7]), (7, [1, 1])]).map(split);
        let strides = [[105, 35, 7, 1], [0, 0, 7, 1]];
        assert_eq!(rows, Some(([1, 3, 5, 7], strides)));
        let short = four((3, [10]), &[(10, [1])]).map(split);
        assert_eq!(short, Some(([1, 1, 1, 30], [[30, 30, 30, 1]])));
    }
}
