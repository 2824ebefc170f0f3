//! Cells of one seed are not independent: resampling clusters of cells.

use super::bootstrap::{ascending, checked_pairs, percentiles, resampled};
use super::{BootstrapOptions, CorrelationError, Method};
use serde::Serialize;

/// An interval from whole clusters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Clustered {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Clusters there are. Few of them have few different resamples (ten for three), and intervals that
    /// are too narrow (Cameron, Gelbach and Miller 2008).
    pub clusters: usize,
    /// Resamples with a coefficient.
    pub valid: usize,
    /// Whether the interval lies on one side of zero.
    pub clears_zero: bool,
}

/// The percentile interval of a coefficient over resamples of clusters: as many as there are, drawn with
/// replacement, each with all its pairs. `cluster` names the cluster of every pair.
///
/// # Errors
/// [`CorrelationError`] as [`bootstrap`](super::bootstrap), for labels of another length, and
/// [`CorrelationError::Undefined`] for a single cluster.
pub fn clustered(
    method: Method,
    x: &[f64],
    y: &[f64],
    cluster: &[String],
    options: &BootstrapOptions,
) -> Result<Clustered, CorrelationError> {
    options.check()?;
    method.of(x, y)?;
    let pairs = checked_pairs(method, x, y)?;
    if cluster.len() != pairs.len() {
        let (x, y) = (pairs.len(), cluster.len());
        return Err(CorrelationError::Lengths { x, y });
    }
    let members = members(cluster);
    if members.len() < 2 {
        let (what, reason) = ("clustered interval", "all cells are of one cluster");
        return Err(CorrelationError::Undefined { what, reason });
    }
    let values = ascending(resampled(members.len(), options, |drawn, scratch| {
        let clusters = drawn.iter().filter_map(|at| members.get(*at as usize));
        let cells: Vec<u32> = clusters.flatten().copied().collect();
        pairs.of(&cells, scratch)
    }));
    let found = values.len();
    let ends = percentiles(&values, options.alpha);
    let [low, high] = ends.ok_or(CorrelationError::Resamples { found })?;
    Ok(Clustered {
        low,
        high,
        clusters: members.len(),
        valid: found,
        clears_zero: low > 0.0 || high < 0.0,
    })
}

/// Pairs of every cluster, clusters in the order in which they first occur.
fn members(cluster: &[String]) -> Vec<Vec<u32>> {
    let mut names: Vec<&String> = Vec::new();
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (at, name) in cluster.iter().enumerate() {
        let known = names.iter().position(|known| *known == name);
        match known.and_then(|known| members.get_mut(known)) {
            Some(list) => list.push(at as u32),
            None => {
                names.push(name);
                members.push(vec![at as u32]);
            }
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap;
    use super::*;

    fn names(count: usize, each: usize) -> Vec<String> {
        (0..count).map(|at| (at / each).to_string()).collect()
    }

    #[test]
    fn clusters_of_one_are_the_plain_bootstrap() {
        let x: Vec<f64> = (0..15).map(|at| (f64::from(at) * 0.7).sin()).collect();
        let y: Vec<f64> = (0..15).map(|at| (f64::from(at) * 1.3).cos()).collect();
        let options = BootstrapOptions::default();
        let plain = bootstrap(Method::Kendall, &x, &y, &options).unwrap();
        let found = clustered(Method::Kendall, &x, &y, &names(15, 1), &options).unwrap();
        assert_eq!((found.low, found.high), (plain.low, plain.high));
        assert_eq!((found.clusters, found.valid), (15, plain.valid));
    }

    #[test]
    fn copies_of_a_cell_in_one_cluster_tell_no_more_than_the_cell() {
        let x: Vec<f64> = (0..12).map(|at| (f64::from(at) * 0.7).sin()).collect();
        let y: Vec<f64> = (0..12).map(|at| (f64::from(at) * 1.1).sin()).collect();
        let copies = |column: &[f64]| column.iter().flat_map(|v| [*v; 4]).collect::<Vec<_>>();
        let options = BootstrapOptions::default();
        let plain = bootstrap(Method::Spearman, &x, &y, &options).unwrap();
        let (x, y) = (copies(&x), copies(&y));
        let found = clustered(Method::Spearman, &x, &y, &names(48, 4), &options).unwrap();
        assert!((found.low - plain.low).abs() < 1e-12 && (found.high - plain.high).abs() < 1e-12);
        // Taken for independent, they would.
        let naive = bootstrap(Method::Spearman, &x, &y, &options).unwrap();
        assert!(naive.high - naive.low < 0.7 * (found.high - found.low));
    }

    #[test]
    fn one_cluster_has_no_interval() {
        let x = [1.0, 2.0, 3.0];
        let options = BootstrapOptions::default();
        let error = clustered(Method::Spearman, &x, &x, &names(3, 3), &options).unwrap_err();
        assert!(error.to_string().contains("one cluster"), "{error}");
        let error = clustered(Method::Spearman, &x, &x, &names(4, 1), &options).unwrap_err();
        assert!(matches!(error, CorrelationError::Lengths { x: 3, y: 4 }));
    }
}
