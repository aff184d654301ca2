//! Judges regular expressions before they reach a worker, by the function that workers compile
//! them with.

use std::collections::HashMap;

use fairway_shared::pattern::{PatternError, full_match};

/// Verdicts by pattern: the number of groups, or what is wrong. Patterns repeat a lot and
/// compiling one costs far more than looking it up.
#[derive(Default)]
pub(super) struct Regexes {
    verdicts: HashMap<String, Result<usize, String>>,
}

impl Regexes {
    /// The number of groups of a usable pattern, the whole match not counted.
    ///
    /// # Errors
    /// What is wrong with it, on one line, to follow the name of the field.
    pub(super) fn check(&mut self, pattern: &str) -> Result<usize, String> {
        if let Some(verdict) = self.verdicts.get(pattern) {
            return verdict.clone();
        }
        let verdict = judge(pattern);
        self.verdicts.insert(pattern.to_owned(), verdict.clone());
        verdict
    }
}

fn judge(pattern: &str) -> Result<usize, String> {
    if pattern.is_empty() {
        return Err("is an empty regular expression".to_owned());
    }
    match full_match(pattern) {
        Ok(regex) => Ok(regex.captures_len().saturating_sub(1)),
        Err(PatternError::Syntax { message, .. }) => {
            Err(format!("is no usable regular expression: {message}"))
        }
        Err(too_large) => Err(format!("is no usable regular expression: {too_large}")),
    }
}

#[cfg(test)]
mod tests {
    use fairway_shared::pattern::PATTERN_CHARS_MAX;

    use super::*;

    #[test]
    fn patterns_are_judged_by_syntax_length_and_size() {
        for (pattern, groups) in [
            ("/v[0-9]+/.*", Some(0)),
            ("(a)|(b)", Some(2)),
            ("a)(b", None),
            ("(", None),
            ("", None),
            ("(?=look)", None),
            ("(a)\\1", None),
            ("(?x)a # open", None),
            ("\\w{1000}{1000}", None),
        ] {
            let mut regexes = Regexes::default();
            assert_eq!(regexes.check(pattern).ok(), groups, "{pattern}");
            assert_eq!(regexes.check(pattern).ok(), groups, "{pattern}, from memory");
        }
        assert!(Regexes::default().check(&"ä".repeat(PATTERN_CHARS_MAX)).is_ok());
        assert!(Regexes::default().check(&"a".repeat(PATTERN_CHARS_MAX + 1)).is_err());
    }
}
