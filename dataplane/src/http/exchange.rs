//! One request from its head to its response: all of its control flow.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fairway_shared::snapshot::route::{Fault, Route};
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::body::{Body, Incoming};

use super::body::Completion;
use super::connection::Downstream;
use super::edited::EditedBy;
use super::flag::Flags;
use super::forward::{Answer, Forwarding, Limits, Trace};
use super::mirror::{Mirrors, is_hit};
use super::outgoing::{BodySource, Outgoing};
use super::own;
use super::reply::ProxyError;
use super::request::{self, Head, Upgrade};
use super::response::{ReplyBody, UpstreamBody, grpc_status};
use super::tunnel;
use crate::clock;
use crate::listener::refusals::Refusal;
use crate::route::action::{ActionKind, Forward, Target};
use crate::route::affinity;
use crate::route::bound::BoundTable;
use crate::route::cors::Verdict;
use crate::route::redirect;
use crate::route::table::{Lookup, RouteIndex};
use crate::telemetry::account::{Account, Line, Parked};

/// `response_code_details` of what the route itself answers (Istio contract 6.2).
const DIRECT: &str = "direct_response";

/// Answers one request, which it consumes. Whatever goes wrong becomes a response.
pub async fn serve(
    downstream: &Rc<Downstream>,
    parts: &mut Parts,
    body: Incoming,
) -> Response<ReplyBody> {
    let mut account = Account::open(clock::now(), downstream, line(parts));
    let is_grpc = account.is_grpc();
    let mut notes = Flags::NONE;
    let checked = within_limits(downstream, parts)
        .and_then(|()| Head::check(parts, downstream.rules(), downstream.scheme()));
    let is_head = parts.method == Method::HEAD;
    let answered = match &checked {
        Err(error) => Err(*error),
        Ok(head) => {
            account.note_path(&parts.uri);
            let exchange = Exchange { downstream, head, host: &head.host(), is_grpc };
            exchange.answer(parts, body, &mut account, &mut notes).await
        }
    };
    let mut response =
        answered.unwrap_or_else(|error| reply_to(error, is_grpc, &mut account, &mut notes));
    if checked.is_ok_and(|head| head.upgrade == Upgrade::WebSocket)
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        // What the client may have sent ahead is not HTTP (RFC 9931).
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    close(response, downstream, account, (notes, is_head))
}

fn line(parts: &Parts) -> Line<'_> {
    Line { method: &parts.method, uri: &parts.uri, headers: &parts.headers }
}

/// Is the head within what clients may take? What the HTTP library reads is bounded already, by
/// somewhat more.
fn within_limits(downstream: &Downstream, parts: &Parts) -> Result<(), ProxyError> {
    let (limits, heard) = (downstream.limits(), downstream.take_heard());
    let checked = request::check_size(parts, limits, heard);
    checked.inspect_err(|_| downstream.refusals().count(Refusal::TooLarge))
}

/// An error as a response, accounted for.
fn reply_to(
    error: ProxyError,
    is_grpc: bool,
    account: &mut Account,
    notes: &mut Flags,
) -> Response<ReplyBody> {
    *notes = notes.and(error.flags());
    account.detail(error.details());
    error.reply(is_grpc, account.is_retried())
}

/// The last hand on every response: the gateway's name, and the account, which ends with the body
/// if one is sent.
fn close(
    mut response: Response<ReplyBody>,
    downstream: &Downstream,
    mut account: Account,
    (notes, is_head): (Flags, bool),
) -> Response<ReplyBody> {
    if let Some(server) = downstream.server_header() {
        response.headers_mut().insert(header::SERVER, server.clone());
    }
    account.answer(&response, notes);
    // HTTP asks for no body here, so that nobody would see it end (RFC 9110 6.4.1).
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    let has_no_body = is_head || bodiless.contains(&response.status());
    response.body_mut().settle(account, has_no_body);
    response
}

/// Answers a request with an error, looking at nothing of it but what says how to write that.
pub(super) fn refuse(
    downstream: &Downstream,
    parts: &Parts,
    error: ProxyError,
) -> Response<ReplyBody> {
    let mut account = Account::open(clock::now(), downstream, line(parts));
    let (is_grpc, mut notes) = (account.is_grpc(), Flags::NONE);
    let response = reply_to(error, is_grpc, &mut account, &mut notes);
    close(response, downstream, account, (notes, parts.method == Method::HEAD))
}

/// What stays the same while a request is answered.
struct Exchange<'a> {
    downstream: &'a Rc<Downstream>,
    head: &'a Head,
    /// Canonical.
    host: &'a str,
    is_grpc: bool,
}

impl Exchange<'_> {
    async fn answer(
        &self,
        parts: &mut Parts,
        body: Incoming,
        account: &mut Account,
        notes: &mut Flags,
    ) -> Result<Response<ReplyBody>, ProxyError> {
        // Loaded once: the request sees one version of the routes.
        let table = self.downstream.table(self.host)?;
        let index = match table.routes.lookup(&self.head.view(parts, self.host)) {
            Lookup::NotFound => return Err(ProxyError::RouteNotFound),
            Lookup::HttpsRedirect => {
                account.detail(DIRECT);
                let location = redirect::https_location(&self.head.view(parts, self.host));
                return Ok(own::moved(StatusCode::MOVED_PERMANENTLY, &location, false));
            }
            Lookup::Route(index) => index,
        };
        let route = table.routes.route(index);
        account.route(table.routes.source(index));
        let (target, edits) = route.action.choose(|| table.step(index));
        let edits =
            EditedBy::new(edits, self.downstream, self.head, &self.head.view(parts, self.host));
        if let Some(fault) = &route.action.fault
            && let Err(error) = Box::pin(inject(fault, notes)).await
        {
            return Ok(self.failed(error, &edits, account, notes));
        }
        let verdict = route.action.cors.as_deref().map(|cors| {
            let verdict = cors.judge(&parts.method, &parts.headers);
            (cors, verdict)
        });
        if let Some(response) = verdict.as_ref().and_then(own::preflight) {
            account.detail("cors_response");
            return Ok(response);
        }
        let mut response = match &route.action.kind {
            ActionKind::Forward(forward) => {
                let chosen = (&**forward, &forward.targets[target], &edits);
                let forwarded =
                    self.forward(parts, body, &table, index, chosen, account, notes).await;
                forwarded.unwrap_or_else(|error| self.failed(error, &edits, account, notes))
            }
            ActionKind::Redirect(redirect) => {
                account.detail(DIRECT);
                let location = redirect.location(&self.head.view(parts, self.host));
                edits.applied(own::moved(redirect.status, &location, self.is_grpc))
            }
            ActionKind::Direct(direct) => {
                account.detail(DIRECT);
                edits.applied(own::fixed(direct, self.is_grpc))
            }
        };
        if let Some((cors, Verdict::Mark(origin))) = verdict {
            cors.mark(origin, response.headers_mut());
        }
        Ok(response)
    }

    /// An error of a request that has a route: the route's operations change this answer too.
    fn failed(
        &self,
        error: ProxyError,
        edits: &EditedBy<'_>,
        account: &mut Account,
        notes: &mut Flags,
    ) -> Response<ReplyBody> {
        edits.applied(reply_to(error, self.is_grpc, account, notes))
    }

    /// Sends the request to one of the route's destinations.
    #[expect(clippy::too_many_arguments, reason = "one call, all of different types")]
    async fn forward(
        &self,
        parts: &mut Parts,
        body: Incoming,
        table: &BoundTable,
        index: RouteIndex,
        (forward, target, on_response): (&Forward, &Target, &EditedBy<'_>),
        account: &mut Account,
        notes: &mut Flags,
    ) -> Result<Response<ReplyBody>, ProxyError> {
        let cluster = table.cluster(target.cluster).ok_or(ProxyError::ClusterNotFound)?;
        account.route_to(cluster);
        let view = self.head.view(parts, self.host);
        let on_request = EditedBy::new(&target.request_edits, self.downstream, self.head, &view);
        let client_end = tunnel::End::take(&mut parts.extensions);
        request::prepare(parts, self.head, self.downstream);
        self.rewrite(parts, table.routes.source(index), forward)?;
        on_request.apply(&mut parts.headers);
        if forward.authority.is_none()
            && let Some(value) = target.host_edit(forward.targets.len() > 1)
            && let Some(value) = on_request.resolve(value)
        {
            parts.headers.insert(header::HOST, value);
        }
        let limits = self.limits(forward, parts, body.is_end_stream());
        if let Some(expected) = limits.per_try.or(limits.timeout) {
            request::set_expected_timeout(&mut parts.headers, expected, self.is_grpc);
        }
        let affinity = self.affinity(target, parts);
        let forwarding = Forwarding {
            downstream: self.downstream,
            key: affinity.key,
            cluster,
            limits: limits.clone(),
            retry: forward.retry.as_deref(),
            version: parts.version,
            is_grpc: self.is_grpc,
            trace: Trace::default(),
        };
        let mut outgoing = Outgoing::take(parts);
        account.forward(&mut outgoing.headers, &outgoing.uri);
        let mirrors = Mirrors::choose(&forward.mirrors, table, &outgoing);
        let keep = !mirrors.is_empty() || forwarding.may_follow_sending(&cluster.policy.load());
        let mut body = BodySource::new(body, limits.completion.clone(), account, keep);
        let ended = forwarding.run(&mut outgoing, &mut body).await;
        account.forwarded(&forwarding.trace, ended.is_ok());
        mirrors.send(self.downstream, &body);
        let (answer, why) = ended.map_err(|(error, why)| {
            *notes = notes.and(why);
            match error {
                ProxyError::StreamIdle if !account.is_received() => ProxyError::RequestIdle,
                error => error,
            }
        })?;
        *notes = notes.and(why);
        account.detail("via_upstream");
        if self.is_grpc {
            account.set_grpc_status(grpc_status(answer.response.headers()));
        }
        let requests_max = cluster.policy.load().requests_per_connection_max;
        let client = client_end.map(|end| (end, account.park()));
        let mut response =
            self.respond(answer, client, on_response, limits.deadline(), requests_max)?;
        if let Some(cookie) = affinity.issued {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// What decides the endpoint, where the destination says so.
    fn affinity(&self, target: &Target, parts: &Parts) -> affinity::Found {
        let Some(affinity) = &target.affinity else { return affinity::Found::default() };
        let Parts { method, uri, headers, .. } = parts;
        let peer = self.downstream.peer().remote.ip();
        let asked = affinity::Asked { method, uri, headers, peer };
        affinity.find(asked, || self.downstream.random().u64(..))
    }

    /// The route's timeout, or a shorter one that a gRPC client asks for, and that of each try.
    fn limits(&self, forward: &Forward, parts: &Parts, is_complete: bool) -> Limits {
        let asked = request::grpc_timeout(&parts.headers).filter(|_| self.is_grpc);
        let timeout = asked.into_iter().chain(forward.timeout).min();
        let per_try = forward.retry.as_deref().and_then(|retry| retry.per_try_timeout_ms);
        let per_try = per_try.map(Duration::from_millis);
        let is_limited = timeout.is_some() || per_try.is_some();
        let completion = is_limited.then(|| Completion::new(is_complete));
        Limits { timeout, per_try, completion }
    }

    fn rewrite(
        &self,
        parts: &mut Parts,
        route: &Route,
        forward: &Forward,
    ) -> Result<(), ProxyError> {
        if let Some(change) = &forward.path {
            let original = parts.uri.path_and_query().cloned();
            let changed = change.apply(parts.uri.path());
            request::set_path(&mut parts.uri, &changed).ok_or_else(|| {
                tracing::debug!(route = route.origin, "rewrite makes no valid path");
                ProxyError::BadPath
            })?;
            // Also where nothing changed, as Envoy 1.40 has it.
            if let Some(original) = original {
                request::set_original_path(&mut parts.headers, original.as_str());
            }
        }
        if let Some(authority) = &forward.authority {
            parts.headers.insert(header::HOST, authority.clone());
        }
        Ok(())
    }

    /// The upstream's response as the client gets it.
    fn respond(
        &self,
        answer: Answer,
        client: Option<(tunnel::End, Parked)>,
        edits: &EditedBy<'_>,
        deadline: Option<Instant>,
        requests_max: u32,
    ) -> Result<Response<ReplyBody>, ProxyError> {
        let Answer { response, connection, busy, upstream_time } = answer;
        let (mut parts, body) = response.into_parts();
        let upgrade = parts.headers.get(header::UPGRADE).cloned();
        let mut headers = std::mem::take(&mut parts.headers);
        if request::has_two_lengths(&headers) {
            return Err(ProxyError::UpstreamProtocol);
        }
        request::remove_hop_by_hop(&mut headers);
        request::set_upstream_time(&mut headers, upstream_time);
        edits.apply(&mut headers);
        let body = if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let ends = (client, tunnel::End::take(&mut parts.extensions));
            let (Upgrade::WebSocket, Some(upgrade), (Some((client, parked)), Some(upstream))) =
                (self.head.upgrade, upgrade, ends)
            else {
                return Err(ProxyError::UpstreamProtocol);
            };
            headers.insert(header::UPGRADE, upgrade);
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            let life = self.downstream.outlive();
            tunnel::start(client, upstream, connection, busy, (parked, life));
            ReplyBody::full(Bytes::new())
        } else {
            let body = UpstreamBody::new(body, connection, busy, requests_max);
            ReplyBody::upstream(body.until(deadline))
        };
        let mut reply = Response::new(body);
        *reply.status_mut() = parts.status;
        *reply.headers_mut() = headers;
        Ok(reply)
    }
}

/// Delays, then aborts, each for its share (Istio contract 2.10).
async fn inject(fault: &Fault, notes: &mut Flags) -> Result<(), ProxyError> {
    if let Some((millis, share)) = fault.delay
        && is_hit(share)
    {
        *notes = notes.and(Flags::FAULT_DELAY);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    match fault.abort {
        Some((status, share)) if is_hit(share) => Err(ProxyError::FaultAbort(status)),
        _ => Ok(()),
    }
}
