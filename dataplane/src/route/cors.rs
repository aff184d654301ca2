//! Cross-origin policy, compiled (Istio contract 2.10). Never blocks a request: it answers
//! preflights and adds headers to responses.

use fairway_shared::snapshot::route::{CorsPolicy, StringMatch};
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};

use super::predicate::TextTest;
use super::table::RouteError;

/// A policy, compiled.
#[derive(Debug)]
pub struct Cors {
    origins: Box<[TextTest]>,
    allows_all: bool,
    allow_methods: Option<HeaderValue>,
    allow_headers: Option<HeaderValue>,
    expose_headers: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
    allow_credentials: bool,
    forward_unmatched_preflights: bool,
}

/// What becomes of a request under a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on; the response is as it is.
    Pass,
    /// Goes on; [`Cors::mark`] the response with this origin.
    Mark(HeaderValue),
    /// Answered here with 200, marked as a preflight for this origin.
    Preflight(HeaderValue),
    /// Answered here with 200 without CORS headers.
    Refuse,
}

impl Cors {
    /// # Errors
    /// A bad pattern or a list that is not a header value.
    pub fn new(source: &CorsPolicy) -> Result<Self, RouteError> {
        let is_star = |test: &StringMatch| *test == StringMatch::Exact("*".to_owned());
        let list = |text: &Option<String>| {
            let refused =
                |text: &str| RouteError::Value { value: text.into(), place: "corsPolicy" };
            let value = |text: &String| HeaderValue::from_str(text).map_err(|_| refused(text));
            text.as_ref().map(value).transpose()
        };
        Ok(Self {
            origins: source.allow_origins.iter().map(TextTest::new).collect::<Result<_, _>>()?,
            allows_all: source.allow_origins.iter().any(is_star),
            allow_methods: list(&source.allow_methods)?,
            allow_headers: list(&source.allow_headers)?,
            expose_headers: list(&source.expose_headers)?,
            max_age: source.max_age_secs.map(HeaderValue::from),
            allow_credentials: source.allow_credentials,
            forward_unmatched_preflights: source.forward_unmatched_preflights,
        })
    }

    /// What becomes of a request.
    pub fn judge(&self, method: &Method, headers: &HeaderMap) -> Verdict {
        let Some(origin) = headers.get(header::ORIGIN) else { return Verdict::Pass };
        let is_allowed =
            self.allows_all || self.origins.iter().any(|test| test.holds(origin.as_bytes()));
        let is_preflight = *method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        match (is_allowed, is_preflight) {
            (true, true) => Verdict::Preflight(origin.clone()),
            (true, false) => Verdict::Mark(origin.clone()),
            (false, true) if !self.forward_unmatched_preflights => Verdict::Refuse,
            (false, _) => Verdict::Pass,
        }
    }

    /// Headers of a response to an allowed origin.
    pub fn mark(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        self.mark_origin(origin, headers);
        if let Some(expose) = &self.expose_headers {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    /// Headers of the answer to a preflight from an allowed origin.
    pub fn mark_preflight(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        // Envoy 1.40 says here too which headers scripts may see.
        self.mark(origin, headers);
        let optional = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, &self.allow_methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, &self.allow_headers),
            (header::ACCESS_CONTROL_MAX_AGE, &self.max_age),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }

    fn mark_origin(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.allow_credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: Vec<StringMatch>) -> CorsPolicy {
        CorsPolicy {
            allow_origins: origins,
            allow_methods: Some("GET,POST".into()),
            allow_headers: None,
            expose_headers: Some("x-seen".into()),
            max_age_secs: Some(600),
            allow_credentials: true,
            forward_unmatched_preflights: true,
        }
    }

    fn headers(origin: Option<&'static str>, is_preflight: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        if is_preflight {
            let method = HeaderValue::from_static("PUT");
            headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, method);
        }
        headers
    }

    #[test]
    fn only_allowed_origins_are_marked_and_only_their_preflights_answered() {
        let known = HeaderValue::from_static("https://a.example");
        let cors = Cors::new(&policy(vec![StringMatch::Prefix("https://a.".into())])).unwrap();
        for (method, origin, is_preflight, expected) in [
            (Method::GET, None, false, Verdict::Pass),
            (Method::GET, Some("https://a.example"), false, Verdict::Mark(known.clone())),
            (Method::GET, Some("https://b.example"), false, Verdict::Pass),
            (Method::OPTIONS, Some("https://a.example"), true, Verdict::Preflight(known.clone())),
            (Method::OPTIONS, Some("https://a.example"), false, Verdict::Mark(known)),
            (Method::OPTIONS, Some("https://b.example"), true, Verdict::Pass),
        ] {
            let found = cors.judge(&method, &headers(origin, is_preflight));
            assert_eq!(found, expected, "{method} {origin:?}");
        }
    }

    #[test]
    fn a_star_allows_any_origin_and_refusal_can_be_asked_for() {
        let origin = Some("https://b.example");
        let any = Cors::new(&policy(vec![StringMatch::Exact("*".into())])).unwrap();
        assert!(matches!(any.judge(&Method::GET, &headers(origin, false)), Verdict::Mark(_)));
        let mut strict = policy(vec![]);
        strict.forward_unmatched_preflights = false;
        let strict = Cors::new(&strict).unwrap();
        assert_eq!(strict.judge(&Method::OPTIONS, &headers(origin, true)), Verdict::Refuse);
    }

    #[test]
    fn unset_fields_emit_nothing() {
        let cors = Cors::new(&policy(vec![])).unwrap();
        let (mut simple, mut preflight) = (HeaderMap::new(), HeaderMap::new());
        cors.mark(HeaderValue::from_static("o"), &mut simple);
        cors.mark_preflight(HeaderValue::from_static("o"), &mut preflight);
        let names = |headers: &HeaderMap| {
            let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
            names.sort_unstable();
            names.join(" ").replace("access-control-", "")
        };
        assert_eq!(names(&simple), "allow-credentials allow-origin expose-headers");
        assert_eq!(
            names(&preflight),
            "allow-credentials allow-methods allow-origin expose-headers max-age"
        );
    }
}
