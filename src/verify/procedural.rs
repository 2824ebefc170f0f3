//! Weights that are not stored but follow from a hash of the tensor's name and the element's index.

use super::checks::{CaseError, Checks};
use super::folder::Node;
use crate::formats::{Array, ArrayMap};

/// Elements of one tensor; larger ones are mistakes or attacks.
const LARGEST: usize = 1 << 28;

/// 32-bit FNV-1a.
fn fnv1a32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The finaliser of 32-bit MurmurHash3.
fn finalise(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// `centre + half_width (2 u - 1)` with `u` the hash of the flat index, of the name and of the salt,
/// by 2^32; in f64, rounded once.
fn value(index: usize, name: u32, salt: u32, centre: f64, half_width: f64) -> f32 {
    // The rule is modulo 2^32 throughout, so the index may be cut to 32 bits.
    let mixed = (index as u32)
        .wrapping_mul(2_654_435_761)
        .wrapping_add(name)
        .wrapping_add(salt);
    let uniform = f64::from(finalise(mixed)) / 4_294_967_296.0;
    (centre + half_width * (2.0 * uniform - 1.0)) as f32
}

/// Salt and rules of one model.
#[derive(Debug, Clone)]
pub(super) struct Procedure<'a> {
    salt: u32,
    rules: Vec<(&'a str, Node<'a>)>,
}

impl<'a> Procedure<'a> {
    /// Reads `salt` and `rules` of an index entry.
    pub fn read(entry: &Node<'a>) -> Result<Self, CaseError> {
        let salt = entry.get("salt")?;
        let salt = u32::try_from(salt.as_integer()?).map_err(|_| salt.wrong("32 bits"))?;
        let rules = entry.get("rules")?.entries();
        Ok(Self { salt, rules })
    }

    pub fn has(&self, tensor: &str) -> bool {
        self.rules.iter().any(|(name, _)| *name == tensor)
    }

    /// The first `count` elements of a tensor (all, when it has fewer).
    fn elements(&self, name: &str, rule: &Node<'_>, count: usize) -> Result<Vec<f32>, CaseError> {
        let (centre, half) = (rule.number("centre")?, rule.number("half_width")?);
        let hash = fnv1a32(name);
        Ok((0..count)
            .map(|index| value(index, hash, self.salt, centre, half))
            .collect())
    }

    fn shape(rule: &Node<'_>) -> Result<(Vec<usize>, usize), CaseError> {
        let sizes = rule.get("shape")?;
        let shape: Vec<usize> = (sizes.elements()?.iter())
            .map(Node::as_size)
            .collect::<Result<_, _>>()?;
        let count = shape
            .iter()
            .try_fold(1_usize, |count, &size| count.checked_mul(size));
        let count = count.filter(|count| *count <= LARGEST);
        Ok((shape, count.ok_or_else(|| sizes.wrong("fewer elements"))?))
    }

    /// All tensors.
    pub fn weights(&self, name: &str) -> Result<ArrayMap, CaseError> {
        let mut weights = ArrayMap::new(name);
        for (tensor, rule) in &self.rules {
            let (shape, count) = Self::shape(rule)?;
            let values = self.elements(tensor, rule, count)?;
            let array = Array::new(&shape, values);
            let array = array.map_err(|error| weights.array_error(tensor, error))?;
            weights.insert(*tensor, array)?;
        }
        Ok(weights)
    }

    /// The listed hashes of the names and the number of parameters.
    pub fn check(&self, entry: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
        let mut parameters = 0;
        for (name, rule) in &self.rules {
            parameters += Self::shape(rule)?.1;
            if let Some(expected) = rule.find("fnv1a32") {
                let found = i64::from(fnv1a32(name));
                checks.equal(
                    &format!("hash of {name}"),
                    &[found],
                    &[expected.as_integer()?],
                );
            }
        }
        if let Some(expected) = entry.find("params") {
            checks.equal("params", &[parameters], &[expected.as_size()?]);
        }
        Ok(())
    }
}

/// First elements of some tensors: they must all be those of one of the folder's models.
pub(super) fn check(
    listed: &Node<'_>,
    models: &[(String, Procedure<'_>)],
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let mut best: Option<(f64, &str)> = None;
    for (model, procedure) in models {
        if !listed.entries().iter().all(|(name, _)| procedure.has(name)) {
            continue;
        }
        let error = largest_error(listed, procedure)?;
        if best.is_none_or(|(least, _)| error < least) {
            best = Some((error, model));
        }
    }
    let Some((error, model)) = best else {
        let reason = "no model of the index has rules for these tensors".to_owned();
        return Err(CaseError::Engine(reason));
    };
    // Stored as f32, so they must be equal.
    checks.close("values", &[error], &[0.0], 0.0);
    checks.remark(format!("values of {model}"));
    Ok(())
}

fn largest_error(listed: &Node<'_>, procedure: &Procedure<'_>) -> Result<f64, CaseError> {
    let mut largest = 0.0_f64;
    for (name, expected) in listed.entries() {
        let expected = expected.elements()?;
        let rule = procedure.rules.iter().find(|(rule, _)| *rule == name);
        let Some((_, rule)) = rule else {
            continue;
        };
        let found = procedure.elements(name, rule, expected.len())?;
        for (found, expected) in found.iter().zip(expected) {
            let error = f64::from((found - expected.as_number()? as f32).abs());
            largest = largest.max(error);
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_known_inputs() {
        // Test vectors of the FNV specification, and the finaliser's fixed point and a worked value.
        assert_eq!(fnv1a32(""), 0x811c_9dc5);
        assert_eq!(fnv1a32("a"), 0xe40c_292c);
        assert_eq!(fnv1a32("foobar"), 0xbf9c_f968);
        assert_eq!(finalise(0), 0);
        assert_eq!(finalise(1), 0x514e_28b7);
    }

    #[test]
    fn values_stay_within_the_half_width() {
        for index in 0..10_000 {
            let value = value(index, fnv1a32("head.weight"), 7, 1.0, 0.25);
            assert!((0.75..=1.25).contains(&value), "{value}");
        }
    }
}
