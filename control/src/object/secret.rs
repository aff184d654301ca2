//! Core Secret: certificates and keys by name. Its values are never printed.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

/// Ends the name of the Secret that holds the authorities for the one without it (Istio contract
/// 1.7).
pub const AUTHORITIES_SUFFIX: &str = "-cacert";

/// `data` and `stringData` of a Secret.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Base64.
    pub data: BTreeMap<String, String>,
    /// As it is; wins over `data`.
    pub string_data: BTreeMap<String, String>,
}

impl Secret {
    /// The value of a key; `None` if it is absent, empty or not base64 (Istio contract 1.7).
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        let value = match self.string_data.get(key) {
            Some(text) => text.clone().into_bytes(),
            None => decode_base64(self.data.get(key)?)?,
        };
        (!value.is_empty()).then_some(value)
    }
}

/// Only the keys' names.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.data.keys().chain(self.string_data.keys())).finish()
    }
}

/// Bits beyond the last byte are passed over.
const PADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Bytes of a base64 text (RFC 4648 4), white space in it passed over; `None` if it is none.
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    PADDED.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_or_refused() {
        for (text, expected) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9v\nYmFy\n", Some("foobar")),
            ("Zm9vYg", None),
            ("Zm9!", None),
            ("Z===", None),
            ("=Zm9", None),
        ] {
            let expected = expected.map(|text| text.as_bytes().to_vec());
            assert_eq!(decode_base64(text), expected, "{text}");
        }
    }

    #[test]
    fn plain_values_win_and_empty_ones_are_missing() {
        let mut secret = Secret::default();
        secret.data.insert("a".into(), "Zm9v".into());
        secret.data.insert("b".into(), String::new());
        assert_eq!(secret.value("a"), Some(b"foo".to_vec()));
        assert_eq!((secret.value("b"), secret.value("c")), (None, None));
        secret.string_data.insert("a".into(), "bar".into());
        assert_eq!(secret.value("a"), Some(b"bar".to_vec()));
        assert!(!format!("{secret:?}").contains("bar"));
    }
}
