//! Regular expressions as configuration means them: RE2 syntax, whole value, bounded cost.
//! Control and workers compile with the same function, so that what control accepts a worker can
//! run.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// Longest pattern, in characters (Istio contract 2.6).
pub const PATTERN_CHARS_MAX: usize = 1024;
/// Largest compiled program of one pattern, in bytes.
pub const PROGRAM_BYTES_MAX: usize = 1024 * 1024;

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than [`PATTERN_CHARS_MAX`].
    #[error("pattern of {chars} characters exceeds {PATTERN_CHARS_MAX}")]
    TooLong {
        /// Its length.
        chars: usize,
    },
    /// Its program would be larger than [`PROGRAM_BYTES_MAX`].
    #[error("pattern `{pattern}` compiles to more than {PROGRAM_BYTES_MAX} bytes")]
    TooBig {
        /// As written.
        pattern: String,
    },
    /// Not RE2 syntax.
    #[error("pattern `{pattern}` is not valid: {message}")]
    Syntax {
        /// As written.
        pattern: String,
        /// On one line.
        message: String,
    },
}

/// A pattern that must match the whole value.
///
/// # Errors
/// [`PatternError`].
pub fn full_match(pattern: &str) -> Result<Regex, PatternError> {
    let chars = pattern.chars().count();
    if chars > PATTERN_CHARS_MAX {
        return Err(PatternError::TooLong { chars });
    }
    // On its own first: `a)(b` is balanced only inside the anchors' group.
    build(pattern).map_err(|cause| refusal(pattern, &cause))?;
    build(&anchored(pattern)).map_err(|cause| refusal(pattern, &cause))
}

/// A pattern that may match anywhere, for substitutions.
///
/// # Errors
/// [`PatternError`].
pub fn search(pattern: &str) -> Result<Regex, PatternError> {
    let chars = pattern.chars().count();
    if chars > PATTERN_CHARS_MAX {
        return Err(PatternError::TooLong { chars });
    }
    build(pattern).map_err(|cause| refusal(pattern, &cause))
}

/// Many patterns asked at once, each on the whole value; all must be valid by themselves.
///
/// # Errors
/// [`PatternError::TooBig`] if the set is larger than its patterns' limits together.
pub fn full_match_set(patterns: &[&str]) -> Result<RegexSet, PatternError> {
    RegexSetBuilder::new(patterns.iter().map(|pattern| anchored(pattern)))
        .size_limit(PROGRAM_BYTES_MAX.saturating_mul(patterns.len().max(1)))
        .build()
        .map_err(|cause| refusal("(set)", &cause))
}

fn anchored(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(PROGRAM_BYTES_MAX).build()
}

fn refusal(pattern: &str, cause: &regex::Error) -> PatternError {
    let pattern = pattern.to_owned();
    match cause {
        regex::Error::CompiledTooBig(_) => PatternError::TooBig { pattern },
        other => {
            // The library draws a picture over several lines; its last line says what is wrong.
            let text = other.to_string();
            let message = text.lines().last().unwrap_or_default();
            let message = message.trim().trim_start_matches("error: ").to_owned();
            PatternError::Syntax { pattern, message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_the_whole_value_or_nothing() {
        for (pattern, value, holds) in [
            ("/a.*", "/abc", true),
            ("/a.*", "x/abc", false),
            ("a|b", "ab", false),
            ("a|b", "b", true),
            ("", "", true),
            ("(?i)ABC", "abc", true),
            ("a$", "a", true),
        ] {
            let found = full_match(pattern).unwrap().is_match(value.as_bytes());
            assert_eq!(found, holds, "{pattern} on {value}");
            let set = full_match_set(&[pattern]).unwrap();
            assert_eq!(set.is_match(value.as_bytes()), holds, "{pattern} on {value}, as a set");
        }
    }

    #[test]
    fn bad_patterns_say_why_on_one_line() {
        for pattern in ["a)(b", "(", "(?=x)", r"(a)\1", "[z-a]"] {
            let error = full_match(pattern).unwrap_err();
            assert!(matches!(error, PatternError::Syntax { .. }), "{pattern}: {error:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        let big = full_match(r"(\w{200}){200}").unwrap_err();
        assert!(matches!(big, PatternError::TooBig { .. }), "{big:?}");
        let long = full_match(&"a".repeat(1025)).unwrap_err();
        assert_eq!(long, PatternError::TooLong { chars: 1025 });
    }
}
