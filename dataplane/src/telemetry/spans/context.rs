//! Trace context in requests: B3 in several fields or one, and W3C (Istio contract 6.4). Pure.

use fairway_shared::snapshot::route::Share;
use http::header::{HeaderMap, HeaderName, HeaderValue};

const B3: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// In which fields a context travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `x-b3-…`
    B3,
    /// `b3`
    B3Single,
    /// `traceparent`
    W3c,
}

/// The gateway's span in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// As it came in, and as it goes out.
    pub family: Family,
    /// Of 64 bits if it came in so.
    pub trace_id: u128,
    /// The gateway's own.
    pub span_id: u64,
    /// The caller's.
    pub parent: Option<u64>,
    /// The span is recorded.
    pub is_sampled: bool,
    /// The trace id came with 16 digits and goes on so.
    is_short: bool,
}

/// What a caller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Incoming {
    family: Family,
    ids: Option<(u128, u64)>,
    sampled: Option<bool>,
    is_short: bool,
}

impl Context {
    /// A child of what the caller says, or the root of a new trace in the fields of `fresh`. Who
    /// does not say whether it is sampled leaves that to `share`.
    pub fn begin(headers: &HeaderMap, reads_w3c: bool, fresh: Family, share: Share) -> Self {
        let incoming = read(headers, reads_w3c);
        let sampled = incoming.and_then(|incoming| incoming.sampled);
        let ids = incoming.and_then(|incoming| incoming.ids);
        Self {
            family: incoming.map_or(fresh, |incoming| incoming.family),
            trace_id: ids.map_or_else(|| fastrand::u128(1..), |(trace, _)| trace),
            span_id: fastrand::u64(1..),
            parent: ids.map(|(_, span)| span),
            is_sampled: sampled.unwrap_or_else(|| fastrand::u32(..Share::ALL.0) < share.0),
            is_short: incoming.is_some_and(|incoming| incoming.is_short),
        }
    }

    /// Puts the gateway's span in the place of the caller's.
    pub fn write(&self, headers: &mut HeaderMap) {
        let sampled = u8::from(self.is_sampled);
        let (trace, span) = (self.trace_text(), format!("{:016x}", self.span_id));
        match self.family {
            Family::B3 => {
                set(headers, TRACE_ID, &trace);
                set(headers, SPAN_ID, &span);
                match self.parent {
                    Some(parent) => set(headers, PARENT_ID, &format!("{parent:016x}")),
                    None => drop(headers.remove(PARENT_ID)),
                }
                headers.insert(SAMPLED, HeaderValue::from(u16::from(sampled)));
            }
            Family::B3Single => {
                let parent = self.parent.map(|parent| format!("-{parent:016x}"));
                let parent = parent.unwrap_or_default();
                set(headers, B3, &format!("{trace}-{span}-{sampled}{parent}"));
            }
            Family::W3c => {
                let text = format!("00-{:032x}-{span}-{sampled:02x}", self.trace_id);
                set(headers, TRACE_PARENT, &text);
            }
        }
    }

    /// In hexadecimal, as long as it came in.
    pub fn trace_text(&self) -> String {
        if self.is_short {
            format!("{:016x}", self.trace_id)
        } else {
            format!("{:032x}", self.trace_id)
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // Hexadecimal digits and dashes are always a value.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// What does not make sense counts as not said.
fn read(headers: &HeaderMap, reads_w3c: bool) -> Option<Incoming> {
    let w3c = || reads_w3c.then(|| parent_field(text(headers, &TRACE_PARENT)?)).flatten();
    w3c().or_else(|| single(text(headers, &B3)?)).or_else(|| several(headers))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn parent_field(text: &str) -> Option<Incoming> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may say more behind, version ff is none (W3C Trace Context 3.2).
    let is_known =
        version.len() == 2 && version != "ff" && (version != "00" || parts.next().is_none());
    let flags = u8::from_str_radix(flags, 16).ok().filter(|_| flags.len() == 2)?;
    let (trace_id, _) = trace_id(trace).filter(|_| trace.len() == 32)?;
    let ids = is_known.then_some((trace_id, span_id(span)?))?;
    let sampled = Some(flags & 1 == 1);
    Some(Incoming { family: Family::W3c, ids: Some(ids), sampled, is_short: false })
}

fn single(text: &str) -> Option<Incoming> {
    let sampled = |text: &str| match text {
        "1" | "d" => Some(true),
        "0" => Some(false),
        _ => None,
    };
    let family = Family::B3Single;
    let mut parts = text.split('-');
    let first = parts.next()?;
    let Some(span) = parts.next() else {
        let sampled = Some(sampled(first)?);
        return Some(Incoming { family, ids: None, sampled, is_short: false });
    };
    let (trace_id, is_short) = trace_id(first)?;
    let ids = Some((trace_id, span_id(span)?));
    Some(Incoming { family, ids, sampled: parts.next().and_then(sampled), is_short })
}

fn several(headers: &HeaderMap) -> Option<Incoming> {
    let trace = text(headers, &TRACE_ID).and_then(trace_id);
    let span = text(headers, &SPAN_ID).and_then(span_id);
    let is_debug = text(headers, &FLAGS) == Some("1");
    let sampled = match text(headers, &SAMPLED) {
        _ if is_debug => Some(true),
        Some("1" | "true") => Some(true),
        Some("0" | "false") => Some(false),
        _ => None,
    };
    let ids = trace.zip(span).map(|((trace, _), span)| (trace, span));
    let is_short = trace.is_some_and(|(_, is_short)| is_short);
    let is_anything = ids.is_some() || sampled.is_some();
    is_anything.then_some(Incoming { family: Family::B3, ids, sampled, is_short })
}

/// The number, and whether it has 16 digits.
fn trace_id(text: &str) -> Option<(u128, bool)> {
    let id = u128::from_str_radix(text, 16).ok().filter(|id| *id != 0)?;
    matches!(text.len(), 16 | 32).then_some((id, text.len() == 16))
}

fn span_id(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok().filter(|id| *id != 0 && text.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
    const SPAN: &str = "a2fb4a1d1a96d312";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    /// What goes out for what comes in; the gateway's own id is written as `SPAN_OUT`.
    #[track_caller]
    fn check(incoming: &[(&'static str, &str)], expected: &[(&'static str, &str)]) {
        let mut fields = headers(incoming);
        let context = Context::begin(&fields, true, Family::B3, Share(0));
        context.write(&mut fields);
        let own = format!("{:016x}", context.span_id);
        for (name, value) in expected {
            let found = fields.get(*name).map(|value| value.to_str().unwrap().replace(&own, "OWN"));
            assert_eq!(found.as_deref(), Some(*value), "{name} for {incoming:?}");
        }
    }

    #[test]
    fn a_context_goes_out_in_the_fields_it_came_in() {
        let (single, parent) = (format!("{TRACE}-{SPAN}-1"), format!("00-{TRACE}-{SPAN}-01"));
        check(
            &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")],
            &[
                ("x-b3-traceid", TRACE),
                ("x-b3-spanid", "OWN"),
                ("x-b3-parentspanid", SPAN),
                ("x-b3-sampled", "1"),
            ],
        );
        check(&[("b3", &single)], &[("b3", &format!("{TRACE}-OWN-1-{SPAN}"))]);
        check(&[("traceparent", &parent)], &[("traceparent", &format!("00-{TRACE}-OWN-01"))]);
        check(
            &[("x-b3-traceid", "48485a3953bb6124"), ("x-b3-spanid", SPAN)],
            &[("x-b3-traceid", "48485a3953bb6124"), ("x-b3-sampled", "0")],
        );
        check(&[("b3", "1")], &[]);
        check(&[("x-b3-flags", "1")], &[("x-b3-sampled", "1"), ("x-b3-spanid", "OWN")]);
    }

    #[test]
    fn what_makes_no_sense_begins_a_new_trace() {
        for (name, value) in [
            ("traceparent", "00-0-1-01"),
            ("traceparent", "ff-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01"),
            ("b3", "x-y"),
            ("b3", ""),
            ("x-b3-traceid", "é"),
            ("x-b3-traceid", TRACE),
        ] {
            let fields = headers(&[(name, value)]);
            let context = Context::begin(&fields, true, Family::W3c, Share::ALL);
            assert_eq!((context.family, context.parent), (Family::W3c, None), "{name}: {value}");
            assert!(context.is_sampled && context.trace_id != 0);
        }
    }

    #[test]
    fn the_share_decides_where_the_caller_does_not() {
        let sampled = |pairs: &[(&'static str, &str)], share| {
            Context::begin(&headers(pairs), false, Family::B3, share).is_sampled
        };
        assert!(sampled(&[], Share::ALL) && !sampled(&[], Share(0)));
        assert!(sampled(&[("x-b3-sampled", "1")], Share(0)));
        assert!(!sampled(&[("x-b3-sampled", "0")], Share::ALL));
        let count = (0..10_000).filter(|_| sampled(&[], Share(250_000))).count();
        assert!((2_000..3_000).contains(&count), "{count} of 10,000");
        // Without W3C in force its fields are not looked at.
        let parent = format!("00-{TRACE}-{SPAN}-01");
        assert!(!sampled(&[("traceparent", &parent)], Share(0)));
    }
}
