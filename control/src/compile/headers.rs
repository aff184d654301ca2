//! Header operations of a route or destination (Istio contract 2.8). `Host` and `:authority` are
//! no headers but the upstream's host name: they are taken out and handed back apart.

use std::collections::BTreeMap;

use fairway_shared::snapshot::route::{HeaderEdits, HeaderOps};

use super::findings::{DUBIOUS, Scope};
use super::matches::{brief, is_header_name};
use crate::object::virtual_service::{HeaderOperations, Headers};

/// Header operations, and the host name they set.
#[derive(Debug, Default)]
pub(super) struct HeaderPlan {
    /// Without host names.
    pub(super) ops: HeaderOps,
    /// New Host upstream.
    pub(super) authority: Option<String>,
}

/// Whether a host name may be set: on requests only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// Reads the header operations of one level.
pub(super) fn read_headers(headers: Option<&Headers>, scope: &mut Scope<'_>) -> HeaderPlan {
    let Some(headers) = headers else { return HeaderPlan::default() };
    let mut plan = HeaderPlan::default();
    if let Some(request) = &headers.request {
        plan.ops.request = read_edits(request, Side::Request, &mut plan.authority, scope);
    }
    if let Some(response) = &headers.response {
        plan.ops.response = read_edits(response, Side::Response, &mut None, scope);
    }
    plan
}

fn read_edits(
    operations: &HeaderOperations,
    side: Side,
    authority: &mut Option<String>,
    scope: &mut Scope<'_>,
) -> HeaderEdits {
    let (set_field, add_field, remove_field) = match side {
        Side::Request => ("headers.request.set", "headers.request.add", "headers.request.remove"),
        Side::Response => {
            ("headers.response.set", "headers.response.add", "headers.response.remove")
        }
    };
    let mut level = Level { side, authority, scope };
    HeaderEdits {
        set: level.read_values(&operations.set, set_field),
        add: level.read_values(&operations.add, add_field),
        remove: level.read_removals(&operations.remove, remove_field),
    }
}

struct Level<'l, 's> {
    side: Side,
    authority: &'l mut Option<String>,
    scope: &'l mut Scope<'s>,
}

impl Level<'_, '_> {
    fn read_values(
        &mut self,
        values: &BTreeMap<String, String>,
        field: &str,
    ) -> Vec<(String, String)> {
        let mut kept = Vec::with_capacity(values.len());
        for (name, value) in values {
            let name = name.to_ascii_lowercase();
            if let Err(problem) = check_format(value) {
                let remedy = "write a literal percent sign as `%%`";
                let what = format!("value `{}` of `{name}` {problem}", brief(value));
                self.scope.invalid(field, what, remedy);
            } else if is_host(&name) {
                self.set_host(value, field);
            } else if name.starts_with(':') {
                self.refuse_pseudo(&name, field);
            } else if is_header_name(&name) && is_header_value(value) {
                kept.push((name, value.clone()));
            } else {
                let what = format!("holds `{}`, no usable header", brief(&name));
                self.scope.invalid(field, what, "use a valid name and a value of one line");
            }
        }
        kept
    }

    fn set_host(&mut self, value: &str, field: &str) {
        if self.side == Side::Response {
            self.scope.invalid(field, "names Host, which no response has", "remove it");
        } else if self.authority.is_some() {
            let remedy = "set Host or :authority, once";
            self.scope.invalid(field, "sets the host a second time", remedy);
        } else {
            *self.authority = Some(value.to_owned());
        }
    }

    fn refuse_pseudo(&mut self, name: &str, field: &str) {
        let what = format!("names `{name}`, which cannot be changed");
        match self.side {
            Side::Request => self.scope.warn(DUBIOUS, field, what, "it is ignored"),
            Side::Response => self.scope.invalid(field, what, "remove it"),
        }
    }

    fn read_removals(&mut self, names: &[String], field: &str) -> Vec<String> {
        let mut kept = Vec::with_capacity(names.len());
        for name in names {
            let name = name.to_ascii_lowercase();
            if is_host(&name) || !is_header_name(&name) {
                let what = format!("holds `{}`, which cannot be removed", brief(&name));
                self.scope.invalid(field, what, "name an ordinary header");
            } else {
                kept.push(name);
            }
        }
        kept
    }
}

fn is_host(name: &str) -> bool {
    matches!(name, "host" | ":authority")
}

/// No control character but a tab (RFC 9110 5.5).
fn is_header_value(value: &str) -> bool {
    value.chars().all(|c| c == '\t' || !c.is_control())
}

/// Checks `%NAME(argument):length%` substitutions; `%%` is a literal percent sign.
fn check_format(value: &str) -> Result<(), &'static str> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(next) = after.strip_prefix('%') {
            rest = next;
            continue;
        }
        let word = after
            .bytes()
            .take_while(|b| b.is_ascii_uppercase() || *b == b'_' || b.is_ascii_digit());
        let (name, tail) = after.split_at(word.count());
        if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
            return Err("has a `%` that begins no substitution");
        }
        let tail = match tail.strip_prefix('(') {
            Some(argument) => argument.split_once(')').ok_or("has an open bracket")?.1,
            None => tail,
        };
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let tail = match tail.strip_prefix(':') {
            Some(length) => length.split_at(digits(length)).1,
            None => tail,
        };
        rest = tail.strip_prefix('%').ok_or("has a substitution without its closing `%`")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substitutions_are_whole_or_escaped() {
        for (value, is_valid) in [
            ("plain", true),
            ("100%%", true),
            ("%DOWNSTREAM_REMOTE_ADDRESS%", true),
            ("a %REQ(x-y?:path):12% b", true),
            ("%START_TIME(%s)%", true),
            ("50%", false),
            ("%req(x)%", false),
            ("%REQ(x", false),
            ("%REQ(x)", false),
            ("%%%", false),
        ] {
            assert_eq!(check_format(value).is_ok(), is_valid, "{value}");
        }
    }
}
