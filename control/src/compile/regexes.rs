//! Judges regular expressions before they reach a worker: syntax, length, and the memory they
//! would take. Workers compile the same text with the same crate.

use std::collections::HashMap;

use regex::RegexBuilder;

/// Longest pattern in characters (Istio contract 2.6).
pub(super) const REGEX_CHARS_MAX: usize = 1024;
/// Largest compiled program in bytes, and largest cache of the lazy automaton.
pub(super) const REGEX_BYTES_MAX: usize = 1 << 20;

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
    /// What is wrong with it, on one line.
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
    let chars = pattern.chars().count();
    if chars > REGEX_CHARS_MAX {
        return Err(format!("has {chars} characters, more than {REGEX_CHARS_MAX}"));
    }
    // `a)(b` would slip through if only the anchored form were compiled.
    let groups = compile(pattern)?;
    compile(&format!("^(?:{pattern})$"))?;
    Ok(groups)
}

fn compile(pattern: &str) -> Result<usize, String> {
    let built = RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build();
    match built {
        Ok(regex) => Ok(regex.captures_len().saturating_sub(1)),
        Err(error) => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason).trim_end_matches('.');
            Err(format!("is not a usable regular expression: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(Regexes::default().check(pattern).ok(), groups, "{pattern}");
        }
        assert!(Regexes::default().check(&"ä".repeat(REGEX_CHARS_MAX)).is_ok());
        assert!(Regexes::default().check(&"a".repeat(REGEX_CHARS_MAX + 1)).is_err());
    }
}
