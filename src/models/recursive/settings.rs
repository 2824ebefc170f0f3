//! What is said of a model beside its weights, and what the weights themselves tell.

use super::config::{
    Architecture, LARGEST, Positions, RecursiveConfig, RecursiveConfigError as Error,
};
use super::weights::recursive_arrays;
use crate::formats::{ArrayMap, yaml};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What configuration files, flags and data say; the weights tell the rest. Keys as in the original.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecursiveSettings {
    /// Which model.
    pub arch: Option<Architecture>,
    /// Width.
    pub hidden_size: Option<usize>,
    /// Attention heads: no shape tells them.
    pub num_heads: Option<usize>,
    /// Width of the gated layers; 4 where nothing says otherwise.
    pub expansion: Option<f64>,
    /// Updates of the upper latent: no shape tells them.
    #[serde(rename = "H_cycles")]
    pub h_cycles: Option<usize>,
    /// Updates of the lower latent: no shape tells them.
    #[serde(rename = "L_cycles")]
    pub l_cycles: Option<usize>,
    /// Blocks of the upper network.
    #[serde(rename = "H_layers")]
    pub h_layers: Option<usize>,
    /// Blocks of the lower network.
    #[serde(rename = "L_layers")]
    pub l_layers: Option<usize>,
    /// Whether blocks mix over the length.
    pub mlp_t: Option<bool>,
    /// Positions; rope with attention and none with a mixer where nothing says otherwise.
    pub pos_encodings: Option<Positions>,
    /// Numbers of a puzzle's own embedding.
    pub puzzle_emb_ndim: Option<usize>,
    /// Rows that it takes; 0 as for an absent one.
    pub puzzle_emb_len: Option<usize>,
    /// Puzzles with an embedding of their own.
    pub num_puzzle_identifiers: Option<usize>,
    /// Tokens.
    pub vocab_size: Option<usize>,
    /// Cells of a puzzle.
    pub seq_len: Option<usize>,
    /// Under the root of every norm; 1e-5 where nothing says otherwise.
    pub rms_norm_eps: Option<f32>,
    /// Base of the rotary frequencies; 10,000 where nothing says otherwise.
    pub rope_theta: Option<f64>,
    /// Steps of a run; 16 where nothing says otherwise.
    pub halt_max_steps: Option<usize>,
    /// How halting is judged; by the model where nothing says otherwise.
    #[serde(rename = "no_ACT_continue")]
    pub no_act_continue: Option<bool>,
}

impl RecursiveSettings {
    /// Reads JSON, or the YAML of a run. The keys are those of the object under `config` or `arch`, or of
    /// the whole file; unknown ones belong to others. The model is told by `arch` or `name`.
    ///
    /// # Errors
    /// [`RecursiveConfigError::Read`](Error::Read) naming `file` and what is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        let read = |message: String| Error::Read {
            file: file.to_string(),
            message,
        };
        let root = if text.trim_start().starts_with('{') {
            serde_json::from_str::<Map<String, Value>>(text)
                .map_err(|error| read(format!("not JSON: {error}")))?
        } else {
            let parsed = yaml::parse(file, text);
            parsed.map_err(|error| Error::Read {
                file: file.to_string(),
                message: format!(
                    "line {}: expected {}, found {:?}",
                    error.line, error.expected, error.found
                ),
            })?
        };
        let nested = ["config", "arch"]
            .into_iter()
            .find_map(|key| root.get(key)?.as_object());
        let mut keys = nested.unwrap_or(&root).clone();
        let arch = architecture(&keys).or_else(|| architecture(&root));
        match arch {
            Some(Ok(arch)) => keys.insert("arch".into(), arch.into()),
            Some(Err(found)) => {
                return Err(Error::Value {
                    file: file.to_string(),
                    key: "arch",
                    expected: "hrm or trm".into(),
                    found,
                });
            }
            None => keys.remove("arch"),
        };
        resolve_references(&mut keys);
        serde_json::from_value(Value::Object(keys)).map_err(|error| read(error.to_string()))
    }

    /// These settings with what they leave open taken from others.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        macro_rules! either {
            ($($field:ident),*) => {
                Self { $($field: self.$field.or(other.$field)),* }
            };
        }
        either!(
            arch,
            hidden_size,
            num_heads,
            expansion,
            h_cycles,
            l_cycles,
            h_layers,
            l_layers,
            mlp_t,
            pos_encodings,
            puzzle_emb_ndim,
            puzzle_emb_len,
            num_puzzle_identifiers,
            vocab_size,
            seq_len,
            rms_norm_eps,
            rope_theta,
            halt_max_steps,
            no_act_continue
        )
    }

    /// The configuration of a state dict: shapes tell all but the heads, the cycles and, with rotary
    /// positions, the length. `file` is where these settings came from.
    ///
    /// # Errors
    /// [`RecursiveConfigError::Value`](Error::Value) naming the key that nothing tells, that disagrees with
    /// the weights, or that is out of range.
    pub fn complete(&self, file: &str, weights: &ArrayMap) -> Result<RecursiveConfig, Error> {
        let map = recursive_arrays(weights);
        let told = Told::by(&map);
        let value = |key: &'static str, said: Option<usize>, told: Option<usize>| match (said, told)
        {
            (Some(said), Some(told)) if said != told => Err(Error::Value {
                file: file.to_string(),
                key,
                expected: format!("{told} as in {}", map.file().display()),
                found: said.to_string(),
            }),
            (said, told) => said.or(told).ok_or_else(|| Error::Value {
                file: file.to_string(),
                key,
                expected: "a value, which the weights do not tell".into(),
                found: "none".into(),
            }),
        };
        let hidden_size = value("hidden_size", self.hidden_size, told.width)?;
        let arch = self.arch.unwrap_or(told.arch);
        let trm = arch == Architecture::Trm;
        let mlp_t = self.mlp_t.unwrap_or(told.mixer);
        let puzzle_emb_ndim = value("puzzle_emb_ndim", self.puzzle_emb_ndim, told.puzzle_width)?;
        let puzzle_emb_len = match self.puzzle_emb_len.filter(|&rows| trm && rows > 0) {
            Some(rows) => rows,
            // A length that some weight tells leaves what the puzzle does not take.
            None => match (trm && puzzle_emb_ndim > 0, told.length, self.seq_len) {
                (true, Some(length), Some(cells)) => length.saturating_sub(cells),
                _ => puzzle_emb_ndim.div_ceil(hidden_size.max(1)),
            },
        };
        let cells = told
            .length
            .map(|length| length.saturating_sub(puzzle_emb_len));
        let config = RecursiveConfig {
            arch,
            hidden_size,
            // Only attention asks for them.
            num_heads: value("num_heads", self.num_heads, None)
                .or_else(|error| if mlp_t { Ok(1) } else { Err(error) })?,
            expansion: self.expansion.unwrap_or(4.0),
            h_layers: match arch {
                Architecture::Hrm => value("H_layers", self.h_layers, told.h_layers)?,
                Architecture::Trm => 0,
            },
            l_layers: value("L_layers", self.l_layers, told.l_layers)?,
            h_cycles: value("H_cycles", self.h_cycles, None)?,
            l_cycles: value("L_cycles", self.l_cycles, None)?,
            mlp_t,
            pos_encodings: self.pos_encodings.unwrap_or(told.positions),
            puzzle_emb_ndim,
            puzzle_emb_len,
            // A table of another size is the loader's to mend or refuse.
            num_puzzle_identifiers: self.num_puzzle_identifiers.or(told.puzzles).unwrap_or(1),
            vocab_size: value("vocab_size", self.vocab_size, told.vocabulary)?,
            seq_len: value("seq_len", self.seq_len, cells)?,
            rms_norm_eps: self.rms_norm_eps.unwrap_or(1e-5),
            rope_theta: self.rope_theta.unwrap_or(1e4),
            halt_max_steps: self.halt_max_steps.unwrap_or(16),
            no_act_continue: self.no_act_continue.unwrap_or(trm),
        };
        config.check(file)?;
        Ok(config)
    }
}

/// What names and shapes of a state dict tell.
struct Told {
    arch: Architecture,
    width: Option<usize>,
    vocabulary: Option<usize>,
    puzzle_width: Option<usize>,
    puzzles: Option<usize>,
    h_layers: Option<usize>,
    l_layers: Option<usize>,
    mixer: bool,
    positions: Positions,
    /// Rows of the latents.
    length: Option<usize>,
}

impl Told {
    fn by(map: &ArrayMap) -> Self {
        let shape = |name: &str, axis: usize| map.find(name)?.shape().get(axis).copied();
        let layers = |level: &str| {
            let there =
                |i: &usize| map.contains(&format!("{level}.layers.{i}.mlp.gate_up_proj.weight"));
            Some((0..LARGEST).take_while(there).count()).filter(|count| *count > 0)
        };
        let mixing = "L_level.layers.0.mlp_t.gate_up_proj.weight";
        let (learned, mixer) = ("embed_pos.embedding_weight", map.contains(mixing));
        let h_layers = layers("H_level");
        Self {
            arch: match h_layers {
                Some(_) => Architecture::Hrm,
                None => Architecture::Trm,
            },
            width: shape("embed_tokens.embedding_weight", 1),
            vocabulary: shape("embed_tokens.embedding_weight", 0),
            puzzle_width: Some(shape("puzzle_emb.weights", 1).unwrap_or(0)),
            puzzles: shape("puzzle_emb.weights", 0),
            h_layers,
            l_layers: layers("L_level"),
            mixer,
            positions: if map.contains(learned) {
                Positions::Learned
            } else if mixer {
                Positions::None
            } else {
                Positions::Rope
            },
            length: shape(learned, 0).or_else(|| shape(mixing, 1)),
        }
    }
}

/// The model that `arch` or `name` tells; an error with the text where it is neither.
fn architecture(keys: &Map<String, Value>) -> Option<Result<&'static str, String>> {
    let said = |key: &str| keys.get(key)?.as_str();
    if let Some(text) = said("arch") {
        return Some(match text.to_ascii_lowercase().as_str() {
            "hrm" => Ok("hrm"),
            "trm" => Ok("trm"),
            _ => Err(text.to_string()),
        });
    }
    let name = said("name")?.to_ascii_lowercase();
    let any = |parts: [&str; 2]| parts.iter().any(|part| name.contains(part));
    if any(["hrm", "hierarchicalreasoning"]) {
        Some(Ok("hrm"))
    } else if any(["trm", "tinyrecursive"]) {
        Some(Ok("trm"))
    } else {
        None
    }
}

/// `${.key}`, which a configuration that was not yet resolved has in place of its neighbour's value.
fn resolve_references(keys: &mut Map<String, Value>) {
    let known = keys.clone();
    for value in keys.values_mut() {
        let neighbour = value.as_str().and_then(|text| {
            let key = text.strip_prefix("${.")?.strip_suffix('}')?;
            known.get(key)
        });
        if let Some(neighbour) = neighbour {
            *value = neighbour.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_layout_say_the_same() {
        let yaml = "name: recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1\nH_cycles: 3\n\
                    L_cycles: 6\nhidden_size: 512\nnum_heads: 8\npuzzle_emb_ndim: ${.hidden_size}\n\
                    puzzle_emb_len: 16\nno_ACT_continue: True\nforward_dtype: bfloat16\n";
        let nested: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
        let nested = format!("arch:\n{nested}seed: 0\ndata_paths:\n- data/sudoku\n");
        let json = r#"{"name": "a", "arch": "TRM", "config": {"H_cycles": 3, "L_cycles": 6,
            "hidden_size": 512, "num_heads": 8, "puzzle_emb_ndim": 512, "puzzle_emb_len": 16,
            "no_ACT_continue": true, "batch_size": 2}}"#;
        let flat = RecursiveSettings::parse("a.yaml", yaml).unwrap();
        assert_eq!(flat.arch, Some(Architecture::Trm));
        assert_eq!(flat.puzzle_emb_ndim, Some(512));
        assert_eq!(RecursiveSettings::parse("a.yaml", &nested).unwrap(), flat);
        assert_eq!(RecursiveSettings::parse("a.json", json).unwrap(), flat);
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for (text, words) in [
            (
                "{\"arch\": \"lstm\"}",
                "arch: expected hrm or trm, found lstm",
            ),
            ("{\"num_heads\": -1}", "c: "),
            ("{", "not JSON"),
            ("num_heads: [", "line 1"),
        ] {
            let error = RecursiveSettings::parse("c", text).unwrap_err().to_string();
            assert!(error.starts_with("c: ") && error.contains(words), "{error}");
        }
    }
}
