//! What of a request's head is believed: who the client is, and by which scheme it came
//! (Istio contract 6.5, 6.6). Pure.

use std::net::{IpAddr, SocketAddr};

use fairway_shared::snapshot::settings::{ClientCertHeader, GatewaySettings, PathNormalization};
use http::{HeaderMap, HeaderValue};

use super::request::{CLIENT_CERT, FORWARDED_FOR, FORWARDED_PROTO};

/// How request heads are read and what is believed of them; the same for all listeners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadRules {
    /// Proxies in front that append to `x-forwarded-for`.
    pub trusted_proxies: u32,
    /// What is done to paths.
    pub path: PathNormalization,
    /// What becomes of `x-forwarded-client-cert`.
    pub client_cert: ClientCertHeader,
}

impl From<&GatewaySettings> for HeadRules {
    fn from(settings: &GatewaySettings) -> Self {
        Self {
            trusted_proxies: settings.trusted_proxies,
            path: settings.path_normalization,
            client_cert: settings.client_cert_header,
        }
    }
}

impl HeadRules {
    /// The client that the trusted proxies tell of: with N of them the N-th entry from the right.
    /// `None` if nobody is trusted, or there are fewer entries, or that one is no address: then
    /// the peer is the client. Its port is unknown, hence 0.
    pub fn client(&self, headers: &HeaderMap) -> Option<SocketAddr> {
        let back = usize::try_from(self.trusted_proxies.checked_sub(1)?).ok()?;
        let lines = headers.get_all(FORWARDED_FOR);
        let lines = lines.iter().rev();
        let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let entry = std::str::from_utf8(entries.nth(back)?).ok()?.trim();
        let ip: IpAddr = entry.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some(SocketAddr::new(ip.to_canonical(), 0))
    }

    /// Lets the client's `x-forwarded-client-cert` stand or not; `own` is what the gateway says of
    /// the certificate that the client showed it.
    pub fn settle_client_cert(&self, headers: &mut HeaderMap, own: Option<&HeaderValue>) {
        match (self.client_cert, own) {
            (ClientCertHeader::AlwaysForwardOnly, _) | (ClientCertHeader::ForwardOnly, Some(_)) => {
            }
            (ClientCertHeader::SanitizeSet, Some(own)) => {
                headers.insert(CLIENT_CERT, own.clone());
            }
            (ClientCertHeader::AppendForward, Some(own)) => {
                headers.append(CLIENT_CERT, own.clone());
            }
            (ClientCertHeader::Sanitize, _) | (_, None) => {
                headers.remove(CLIENT_CERT);
            }
        }
    }

    /// The scheme that a trusted proxy tells of, else the connection's own.
    pub fn scheme(&self, headers: &HeaderMap, own: &'static str) -> &'static str {
        if self.trusted_proxies == 0 {
            return own;
        }
        match headers.get(FORWARDED_PROTO).map(HeaderValue::as_bytes) {
            Some(told) if told.eq_ignore_ascii_case(b"https") => "https",
            Some(told) if told.eq_ignore_ascii_case(b"http") => "http",
            _ => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_nth_entry_from_the_right_is_the_client() {
        let one = [("x-forwarded-for", "1.1.1.1, 2.2.2.2 ,3.3.3.3")];
        let two = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2,::ffff:3.3.3.3")];
        let odd = [("x-forwarded-for", "1.1.1.1,unknown")];
        let six = [("x-forwarded-for", "[2001:db8::1]")];
        for (fields, trusted_proxies, expected) in [
            (&one[..], 0, None),
            (&one, 1, Some("3.3.3.3")),
            (&one, 2, Some("2.2.2.2")),
            (&one, 3, Some("1.1.1.1")),
            (&one, 4, None),
            (&two, 1, Some("3.3.3.3")),
            (&two, 3, Some("1.1.1.1")),
            (&odd, 1, None),
            (&odd, 2, Some("1.1.1.1")),
            (&six, 1, Some("2001:db8::1")),
            (&[], 1, None),
        ] {
            let rules = HeadRules { trusted_proxies, ..HeadRules::default() };
            let found = rules.client(&headers(fields)).map(|client| client.ip().to_string());
            assert_eq!(found.as_deref(), expected, "{fields:?} {trusted_proxies}");
        }
    }

    #[test]
    fn a_clients_certificate_header_stands_as_the_mode_has_it() {
        let own = HeaderValue::from_static("own");
        for (mode, plain, mutual) in [
            (ClientCertHeader::SanitizeSet, &[][..], &["own"][..]),
            (ClientCertHeader::Sanitize, &[], &[]),
            (ClientCertHeader::ForwardOnly, &[], &["told"]),
            (ClientCertHeader::AppendForward, &[], &["told", "own"]),
            (ClientCertHeader::AlwaysForwardOnly, &["told"], &["told"]),
        ] {
            let rules = HeadRules { client_cert: mode, ..HeadRules::default() };
            for (own, expected) in [(None, plain), (Some(&own), mutual)] {
                let mut headers = headers(&[("x-forwarded-client-cert", "told")]);
                rules.settle_client_cert(&mut headers, own);
                let found: Vec<_> = headers.get_all(CLIENT_CERT).iter().collect();
                assert_eq!(found, expected, "{mode:?}");
            }
        }
    }

    #[test]
    fn a_scheme_is_believed_of_trusted_proxies_only() {
        for (told, trusted_proxies, expected) in [
            ("https", 0, "http"),
            ("https", 1, "https"),
            ("HTTPS", 1, "https"),
            ("http", 1, "http"),
            ("ftp", 1, "http"),
        ] {
            let rules = HeadRules { trusted_proxies, ..HeadRules::default() };
            let found = rules.scheme(&headers(&[("x-forwarded-proto", told)]), "http");
            assert_eq!(found, expected, "{told} {trusted_proxies}");
        }
    }
}
