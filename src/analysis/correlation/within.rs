//! Correlations within environments: metrics in units of their own are never pooled over environments.

use super::bundle::Cell;
use super::result::{Outcome, columns};
use super::{BootstrapOptions, CorrelationError, Method};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Fewer evaluated cells of an environment are not looked at.
const FEWEST: usize = 3;

/// The correlations of the cells of one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// The environment, the entry `env` of its cells.
    pub env: String,
    /// Its cells.
    pub n_cells: usize,
    /// Metric, cells that have it and the downstream result, and numbers.
    pub metrics: Vec<(String, usize, Outcome)>,
}

/// Spearman's coefficient of every given metric with the downstream result, by environment, in the order in
/// which environments first occur. Environments of fewer than three cells are left out.
///
/// # Errors
/// [`CorrelationError::Option`].
pub fn within_environments(
    cells: &[Cell],
    metrics: &[&str],
    downstream: &str,
    options: &BootstrapOptions,
) -> Result<Vec<Environment>, CorrelationError> {
    options.check()?;
    let mut groups: Vec<(&str, Vec<&Cell>)> = Vec::new();
    for cell in cells {
        let Some(env) = cell.get("env").and_then(|env| env.as_str()) else {
            continue;
        };
        match groups.iter_mut().find(|(known, _)| *known == env) {
            Some((_, members)) => members.push(cell),
            None => groups.push((env, vec![cell])),
        }
    }
    let enough = groups
        .into_iter()
        .filter(|(_, members)| members.len() >= FEWEST);
    let environments = enough.map(|(env, members)| {
        let row = |metric: &&str| {
            let [x, y] = columns(&members, metric, downstream);
            let outcome = Outcome::of(Method::Spearman, &x, &y, options);
            ((*metric).to_owned(), x.len(), outcome.without_count())
        };
        Environment {
            env: env.to_owned(),
            n_cells: members.len(),
            metrics: metrics.iter().map(row).collect(),
        }
    });
    Ok(environments.collect())
}

/// `{n_cells, metrics: {NAME: {n, ...}}}`, metrics in their order.
impl Serialize for Environment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("n_cells", &self.n_cells)?;
        map.serialize_entry("metrics", &Metrics(&self.metrics))?;
        map.end()
    }
}

struct Metrics<'a>(&'a [(String, usize, Outcome)]);

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Numbers<'a> {
            n: usize,
            #[serde(flatten)]
            outcome: &'a Outcome,
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (metric, n, outcome) in self.0 {
            map.serialize_entry(metric, &Numbers { n: *n, outcome })?;
        }
        map.end()
    }
}

impl Environment {
    /// `{ENV: {...}, ...}` for files, environments in their order.
    pub fn block(environments: &[Self]) -> impl serde::Serialize + '_ {
        Block(environments)
    }
}

struct Block<'a>(&'a [Environment]);

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for environment in self.0 {
            map.serialize_entry(&environment.env, environment)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn environments_are_kept_apart_and_small_ones_left_out() {
        let rows: Vec<Value> = vec![
            json!({"env": "b", "m": 1, "gap": 1}),
            json!({"env": "a", "m": 1, "gap": 9}),
            json!({"env": "b", "m": 2, "gap": 2}),
            json!({"env": "b", "m": 3, "gap": 3, "k": 1}),
            json!({"env": "a", "m": 2, "gap": 8}),
            json!({"m": 2, "gap": 8}),
        ];
        let cells: Vec<Cell> = rows.iter().filter_map(Value::as_object).cloned().collect();
        let options = BootstrapOptions::default();
        let found = within_environments(&cells, &["m", "k"], "gap", &options).unwrap();
        let block = serde_json::to_string(&Environment::block(&found)).unwrap();
        let expected = "{\"b\":{\"n_cells\":3,\"metrics\":{\"m\":{\"n\":3,\"rho\":1.0,\"ci\":[1.0,1.0],\
                        \"clears_zero\":true},\"k\":{\"n\":1,\"skipped\":\"fewer than 3 usable cells\"}}}}";
        assert_eq!(block, expected);
    }
}
