//! Numbers that Python writes and JSON does not have.

/// The text with `NaN`, `Infinity` and `-Infinity` outside of quotes replaced by `null`, as a number that
/// cannot be used is none; and how many there were.
pub(crate) fn without_bare_tokens(text: &str) -> (String, usize) {
    let mut kept = String::with_capacity(text.len());
    let (mut rest, mut replaced) = (text, 0);
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        let (before, from) = rest.split_at(at);
        kept.push_str(before);
        let token = ["NaN", "Infinity", "-Infinity"]
            .into_iter()
            .find(|token| from.starts_with(token));
        let length = match token {
            Some(token) => {
                kept.push_str("null");
                replaced += 1;
                token.len()
            }
            None => {
                let length = if from.starts_with('"') {
                    quoted(from)
                } else {
                    1
                };
                kept.push_str(from.get(..length).unwrap_or(from));
                length
            }
        };
        rest = from.get(length..).unwrap_or_default();
    }
    kept.push_str(rest);
    (kept, replaced)
}

/// Bytes of the quoted text at the start, both quotes counted; all of it where the second is missing.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_go_and_text_stays() {
        let text = r#"{"NaN": NaN, "a\"Infinity\\": [-Infinity, Infinity, -1], "é-": "NaN"}"#;
        let (found, replaced) = without_bare_tokens(text);
        let expected = r#"{"NaN": null, "a\"Infinity\\": [null, null, -1], "é-": "NaN"}"#;
        assert_eq!((found.as_str(), replaced), (expected, 3));
        assert_eq!(without_bare_tokens("\"NaN"), ("\"NaN".to_owned(), 0));
    }

    proptest! {
        #[test]
        fn any_text_without_tokens_is_kept(text in "[ -~é\\n\"\\\\]*") {
            prop_assume!(!text.contains("NaN") && !text.contains("Infinity"));
            prop_assert_eq!(without_bare_tokens(&text), (text, 0));
        }
    }
}
