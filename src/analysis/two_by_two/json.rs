//! JSON as Python's `json.dump(..., indent=2)` writes it.

use super::number::shortest;

/// A value whose objects keep their order.
#[derive(Debug, Clone)]
pub(super) enum Json {
    Count(usize),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub fn numbers(values: &[f64]) -> Self {
        Self::List(values.iter().copied().map(Self::Number).collect())
    }

    /// The text; NaN is the bare token `NaN`, or null when `strict`.
    pub fn write(&self, strict: bool) -> String {
        let mut text = String::new();
        self.put(&mut text, 0, strict);
        text
    }

    fn put(&self, text: &mut String, depth: usize, strict: bool) {
        match self {
            Self::Count(count) => text.push_str(&count.to_string()),
            Self::Number(value) => text.push_str(&number(*value, strict)),
            Self::Text(words) => quote(words, text),
            Self::List(items) => {
                let parts = items.iter().map(|item| (None, item));
                put_all(parts, ('[', ']'), text, depth, strict);
            }
            Self::Object(entries) => {
                let parts = entries.iter().map(|(key, value)| (Some(*key), value));
                put_all(parts, ('{', '}'), text, depth, strict);
            }
        }
    }
}

fn put_all<'a>(
    parts: impl ExactSizeIterator<Item = (Option<&'static str>, &'a Json)>,
    (open, close): (char, char),
    text: &mut String,
    depth: usize,
    strict: bool,
) {
    text.push(open);
    let count = parts.len();
    for (index, (key, value)) in parts.enumerate() {
        text.push('\n');
        text.push_str(&"  ".repeat(depth + 1));
        if let Some(key) = key {
            quote(key, text);
            text.push_str(": ");
        }
        value.put(text, depth + 1, strict);
        if index + 1 < count {
            text.push(',');
        }
    }
    if count > 0 {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    }
    text.push(close);
}

fn number(value: f64, strict: bool) -> String {
    match value {
        value if value.is_finite() => shortest(value),
        _ if strict => "null".into(),
        value if value.is_nan() => "NaN".into(),
        value if value > 0.0 => "Infinity".into(),
        _ => "-Infinity".into(),
    }
}

/// Text in quotes; what is not ASCII is escaped as UTF-16.
fn quote(words: &str, text: &mut String) {
    text.push('"');
    for letter in words.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(letter),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laid_out_as_python_does() {
        let value = Json::Object(vec![
            ("a", Json::Count(1)),
            ("b", Json::numbers(&[1.0, f64::NAN])),
            ("c", Json::Object(vec![])),
            ("d", Json::Text("x\"\u{e9}\u{1f600}\n".into())),
        ]);
        let text = "{\n  \"a\": 1,\n  \"b\": [\n    1.0,\n    NaN\n  ],\n  \"c\": {},\n  \
                    \"d\": \"x\\\"\\u00e9\\ud83d\\ude00\\n\"\n}";
        assert_eq!(value.write(false), text);
        let strict: serde_json::Value = serde_json::from_str(&value.write(true)).unwrap();
        assert!(strict["b"][1].is_null());
        assert_eq!(strict["d"], "x\"\u{e9}\u{1f600}\n");
    }
}
