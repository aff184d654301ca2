//! The head of a request as it is remembered: two lines of bounded length, without secrets. Pure.
//!
//! The first is method, host and path, and what a fingerprint is made of. Of the query only the
//! length is kept, and of fields too, but for those that are known to be harmless.

use http::Request;
use http::header::{self, HeaderName};

/// Longest head, in bytes.
pub const HEAD_BYTES_MAX: usize = 296;
/// Longest first line, in bytes; a longer path is cut.
const LINE_BYTES_MAX: usize = 192;

/// Fields whose values are kept.
const HARMLESS: [HeaderName; 12] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::RANGE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
];

/// A head under construction, on the stack.
#[derive(Debug)]
pub struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    length: usize,
    limit: usize,
}

impl Head {
    /// Method, host and path.
    pub fn line<B>(request: &Request<B>) -> Self {
        let mut head = Self { bytes: [0; HEAD_BYTES_MAX], length: 0, limit: LINE_BYTES_MAX };
        head.push(request.method().as_str().as_bytes());
        head.push(b" ");
        head.push(host(request));
        head.push(b" ");
        head.push(request.uri().path().as_bytes());
        head.limit = HEAD_BYTES_MAX;
        head
    }

    /// Adds what does not tell requests apart: the length of the query, and the fields.
    pub fn add_details<B>(&mut self, request: &Request<B>) {
        self.push(b"\n");
        if let Some(query) = request.uri().query() {
            self.push(b"query: ");
            self.push_length(query.len());
        }
        for (name, value) in request.headers() {
            if self.length == self.limit {
                return;
            }
            self.push(name.as_str().as_bytes());
            self.push(b": ");
            if HARMLESS.contains(name) {
                self.push(value.as_bytes());
                self.push(b"; ");
            } else {
                self.push_length(value.len());
            }
        }
    }

    /// What has been written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.limit - self.length);
        self.bytes[self.length..self.length + count].copy_from_slice(&bytes[..count]);
        self.length += count;
    }

    fn push_length(&mut self, length: usize) {
        let (mut digits, mut at, mut rest) = ([0; 20], 20, length);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(b"<");
        self.push(&digits[at..]);
        self.push(b">; ");
    }
}

fn host<B>(request: &Request<B>) -> &[u8] {
    match request.uri().authority() {
        // HTTP/1.1 in its usual form has none, and the field in its place.
        None => request.headers().get(header::HOST).map_or(b"", |host| host.as_bytes()),
        Some(_) => request.uri().host().map_or(b"", str::as_bytes),
    }
}

/// Tells requests apart by method, host and path (FNV-1a, 64 bits). `head` may have details.
pub fn fingerprint(head: &[u8]) -> u64 {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A head as people read it: one line, whatever the bytes.
pub fn shown(head: &[u8]) -> String {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_end_matches(['\n', ' ', ';']).splitn(2, '\n');
    let line = lines.next().unwrap_or_default().escape_debug().to_string();
    match lines.next() {
        Some(details) => format!("{line} ({})", details.escape_debug()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head_of(request: &Request<()>) -> Head {
        let mut head = Head::line(request);
        head.add_details(request);
        head
    }

    #[test]
    fn secrets_are_lengths_and_the_rest_is_readable() {
        let request = Request::get("/login?token=hunter2")
            .header("host", "shop.example.com")
            .header("authorization", "Bearer hunter2")
            .header("cookie", "session=hunter2")
            .header("x-api-key", "hunter2")
            .header("user-agent", "curl/8")
            .body(())
            .unwrap();
        let shown = shown(head_of(&request).bytes());
        assert_eq!(
            shown,
            "GET shop.example.com /login (query: <13>; host: shop.example.com; authorization: \
             <14>; cookie: <15>; x-api-key: <7>; user-agent: curl/8)"
        );
    }

    #[test]
    fn the_fingerprint_is_of_method_host_and_path_alone() {
        let of = |method: &str, uri: &str, agent: &str| {
            let request = Request::builder().method(method).uri(uri).header("user-agent", agent);
            fingerprint(head_of(&request.body(()).unwrap()).bytes())
        };
        let one = of("GET", "http://a/p?x", "m");
        assert_eq!(one, of("GET", "http://a/p?y=z", "n"));
        for other in [of("PUT", "http://a/p", "m"), of("GET", "http://b/p", "m")] {
            assert_ne!(one, other);
        }
        assert_ne!(one, of("GET", "http://a/q", "m"));
        let line = Head::line(&Request::get("http://a/p").body(()).unwrap());
        assert_eq!(one, fingerprint(line.bytes()));
    }

    #[test]
    fn the_same_request_is_the_same_in_both_versions_of_the_protocol() {
        let two = Request::get("http://a/p").body(()).unwrap();
        let one = Request::get("/p").header("host", "a").body(()).unwrap();
        assert_eq!(fingerprint(head_of(&one).bytes()), fingerprint(head_of(&two).bytes()));
    }

    proptest! {
        #[test]
        fn no_head_exceeds_its_limit_or_shows_control_characters(
            path in "/[a-z]{0,400}",
            fields in proptest::collection::vec(("[a-z]{1,40}", "[ -~]{0,200}"), 0..20),
        ) {
            let mut request = Request::get(path);
            for (name, value) in &fields {
                request = request.header(name, value);
            }
            let head = head_of(&request.body(()).unwrap());
            prop_assert!(head.bytes().len() <= HEAD_BYTES_MAX);
            prop_assert!(!shown(head.bytes()).contains(char::is_control));
        }
    }
}
