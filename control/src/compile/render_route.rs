//! Virtual hosts and routes as text: one line for what a route matches and does, one more for
//! everything that is not as by default.

use std::fmt::{self, Write};

use fairway_shared::snapshot::route::{
    AbortStatus, CorsPolicy, Destination, Fault, Forward, HashKey, HeaderEdits, HeaderMatch,
    HeaderOps, PathMatch, PathRewrite, Redirect, RetryPolicy, Rewrite, Route, RouteAction,
    RouteMatch, Share, StringMatch, VirtualHost,
};

use super::retries::default_policy;

/// Writes a virtual host and its routes.
pub(super) fn write_host(host: &VirtualHost, out: &mut String) -> fmt::Result {
    let redirect = if host.https_redirect { " https-redirect" } else { "" };
    writeln!(out, "  host {}{redirect}", host.domain)?;
    host.routes.iter().try_for_each(|route| write_route(route, out))
}

fn write_route(route: &Route, out: &mut String) -> fmt::Result {
    write!(out, "    [{}]", route.origin)?;
    if !route.name.is_empty() {
        write!(out, " name {}", route.name)?;
    }
    write_match(&route.spec.matches, out)?;
    write_action(route, out)
}

/// All that a route does, from the arrow on.
fn write_action(route: &Route, out: &mut String) -> fmt::Result {
    match &route.spec.action {
        RouteAction::Forward(forward) => write_forward(forward, out)?,
        RouteAction::Redirect(redirect) => write_redirect(redirect, out)?,
        RouteAction::Direct(direct) => {
            let body = String::from_utf8_lossy(&direct.body);
            writeln!(out, " -> direct {} {body:?}", direct.status)?;
        }
    }
    write_ops(&route.spec.headers, "      ", out)?;
    if let Some(cors) = &route.spec.cors {
        write_cors(cors, out)?;
    }
    route.spec.fault.iter().try_for_each(|fault| write_fault(fault, out))
}

/// What a route asks of a request, on one line.
pub(super) fn match_text(matches: &RouteMatch) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_match(matches, &mut text);
    text.trim_start().to_owned()
}

/// What a route does, a fact a line.
pub(super) fn action_lines(route: &Route) -> Vec<String> {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = write_action(route, &mut text);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn write_match(matches: &RouteMatch, out: &mut String) -> fmt::Result {
    match &matches.path {
        PathMatch::Any => out.push_str(" any"),
        PathMatch::Exact(path) => write!(out, " exact {path:?}")?,
        PathMatch::Prefix(prefix) => write!(out, " prefix {prefix:?}")?,
        PathMatch::Regex(regex) => write!(out, " regex {regex:?}")?,
    }
    if matches.ignore_case {
        out.push_str(" ignore-case");
    }
    for header in &matches.headers {
        write_header_match(header, out)?;
    }
    for query in &matches.query {
        write!(out, " query {} {}", query.name, text(&query.value))?;
    }
    Ok(())
}

fn write_header_match(header: &HeaderMatch, out: &mut String) -> fmt::Result {
    let not = if header.inverted { "not " } else { "" };
    let empty = if header.absent_is_empty { " absent-is-empty" } else { "" };
    write!(out, " {not}header {} {}{empty}", header.name, text(&header.value))
}

/// A test on a text.
pub(super) fn text(test: &StringMatch) -> String {
    match test {
        StringMatch::Present => "present".to_owned(),
        StringMatch::Exact(value) => format!("exact {value:?}"),
        StringMatch::Prefix(value) => format!("prefix {value:?}"),
        StringMatch::Regex(value) => format!("regex {value:?}"),
    }
}

fn write_hash(key: &HashKey, out: &mut String) -> fmt::Result {
    match key {
        HashKey::Header(name) => writeln!(out, "         hash header {name}"),
        HashKey::SourceIp => writeln!(out, "         hash source ip"),
        HashKey::QueryParameter(name) => writeln!(out, "         hash query parameter {name:?}"),
        HashKey::Cookie(cookie) => {
            write!(out, "         hash cookie {}", cookie.name)?;
            if !cookie.path.is_empty() {
                write!(out, " path {:?}", cookie.path)?;
            }
            if let Some(ms) = cookie.ttl_ms {
                write!(out, " issued for {ms}ms")?;
            }
            for (name, value) in &cookie.attributes {
                write!(out, " {name}={value:?}")?;
            }
            out.push('\n');
            Ok(())
        }
    }
}

fn write_forward(forward: &Forward, out: &mut String) -> fmt::Result {
    let is_plain = |to: &Destination| to.headers == HeaderOps::default() && to.hash.is_none();
    match &forward.destinations[..] {
        [only] if is_plain(only) => writeln!(out, " -> {}", only.cluster)?,
        several => {
            out.push('\n');
            for to in several {
                writeln!(out, "      -> {} weight {}", to.cluster, to.weight)?;
                if let Some(key) = &to.hash {
                    write_hash(key, out)?;
                }
                write_ops(&to.headers, "         ", out)?;
            }
        }
    }
    if let Some(Rewrite { path, authority }) = &forward.rewrite {
        out.push_str("      rewrite");
        write_path_rewrite(path.as_ref(), out)?;
        if let Some(authority) = authority {
            write!(out, " authority {authority:?}")?;
        }
        out.push('\n');
    }
    if let Some(ms) = forward.timeout_ms {
        writeln!(out, "      timeout {ms}ms")?;
    }
    match forward.retry.as_deref() {
        None => writeln!(out, "      retry never")?,
        Some(policy) if *policy == default_policy() => {}
        Some(policy) => write_retry(policy, out)?,
    }
    for mirror in &forward.mirrors {
        writeln!(out, "      mirror {} {}", mirror.cluster, share(mirror.share))?;
    }
    Ok(())
}

fn write_path_rewrite(path: Option<&PathRewrite>, out: &mut String) -> fmt::Result {
    match path {
        None => Ok(()),
        Some(PathRewrite::Prefix(prefix)) => write!(out, " prefix {prefix:?}"),
        Some(PathRewrite::Full(path)) => write!(out, " path {path:?}"),
        Some(PathRewrite::Regex { pattern, substitution }) => {
            write!(out, " regex {pattern:?} to {substitution:?}")
        }
    }
}

fn write_redirect(redirect: &Redirect, out: &mut String) -> fmt::Result {
    write!(out, " -> redirect {}", redirect.status)?;
    write_path_rewrite(redirect.path.as_ref(), out)?;
    if let Some(scheme) = &redirect.scheme {
        write!(out, " scheme {scheme}")?;
    }
    if let Some(authority) = &redirect.authority {
        write!(out, " authority {authority:?}")?;
    }
    match redirect.port {
        Some(port) => writeln!(out, " port {port}"),
        None => writeln!(out),
    }
}

fn write_retry(policy: &RetryPolicy, out: &mut String) -> fmt::Result {
    write!(out, "      retry {} on {:?}", policy.attempts, policy.on)?;
    if !policy.status_codes.is_empty() {
        write!(out, " codes {:?}", policy.status_codes)?;
    }
    if let Some(ms) = policy.per_try_timeout_ms {
        write!(out, " per-try {ms}ms")?;
    }
    let same = if policy.ignore_previous_hosts { "" } else { " any-host" };
    writeln!(out, " backoff {}ms{same}", policy.backoff_ms)
}

fn write_ops(ops: &HeaderOps, indent: &str, out: &mut String) -> fmt::Result {
    write_edits("request", &ops.request, indent, out)?;
    write_edits("response", &ops.response, indent, out)
}

fn write_edits(
    side: &'static str,
    edits: &HeaderEdits,
    indent: &str,
    out: &mut String,
) -> fmt::Result {
    if edits.is_empty() {
        return Ok(());
    }
    write!(out, "{indent}{side}")?;
    for name in &edits.remove {
        write!(out, " remove {name}")?;
    }
    for (name, value) in &edits.set {
        write!(out, " set {name}: {value:?}")?;
    }
    for (name, value) in &edits.add {
        write!(out, " add {name}: {value:?}")?;
    }
    out.write_char('\n')
}

fn write_cors(cors: &CorsPolicy, out: &mut String) -> fmt::Result {
    out.push_str("      cors");
    for origin in &cors.allow_origins {
        write!(out, " origin {}", text(origin))?;
    }
    for (what, value) in [
        ("methods", &cors.allow_methods),
        ("headers", &cors.allow_headers),
        ("expose", &cors.expose_headers),
    ] {
        if let Some(value) = value {
            write!(out, " {what} {value}")?;
        }
    }
    if let Some(age) = cors.max_age_secs {
        write!(out, " max-age {age}s")?;
    }
    if cors.allow_credentials {
        out.push_str(" credentials");
    }
    let stray = if cors.forward_unmatched_preflights { "" } else { " ignore-unmatched" };
    writeln!(out, "{stray}")
}

fn write_fault(fault: &Fault, out: &mut String) -> fmt::Result {
    if let Some((ms, of)) = fault.delay {
        writeln!(out, "      delay {ms}ms {}", share(of))?;
    }
    match fault.abort {
        Some((AbortStatus::Http(status), of)) => {
            writeln!(out, "      abort {status} {}", share(of))
        }
        Some((AbortStatus::Grpc(code), of)) => {
            writeln!(out, "      abort grpc {code} {}", share(of))
        }
        None => Ok(()),
    }
}

/// Millionths as percent.
fn share(Share(millionths): Share) -> String {
    format!("{}%", f64::from(millionths) / 10_000.0)
}
