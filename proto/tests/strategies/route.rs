//! Arbitrary route tables.

use std::sync::Arc;

use fairway_shared::snapshot::route::{
    AbortStatus, CorsPolicy, Destination, DirectResponse, Fault, Forward, HashCookie, HashKey,
    HeaderEdits, HeaderMatch, HeaderOps, Mirror, PathMatch, PathRewrite, QueryMatch, Redirect,
    RetryOn, RetryPolicy, Rewrite, Route, RouteAction, RouteMatch, RouteSpec, RouteTable, Share,
    StringMatch, VirtualHost,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::{cluster_id, name, text};

const RETRY_CONDITIONS: [RetryOn; 14] = [
    RetryOn::FiveXx,
    RetryOn::GatewayError,
    RetryOn::Reset,
    RetryOn::ResetBeforeRequest,
    RetryOn::ConnectFailure,
    RetryOn::Retriable4xx,
    RetryOn::RefusedStream,
    RetryOn::RetriableStatusCodes,
    RetryOn::EnvoyRatelimited,
    RetryOn::Cancelled,
    RetryOn::DeadlineExceeded,
    RetryOn::Internal,
    RetryOn::ResourceExhausted,
    RetryOn::Unavailable,
];

pub(super) fn route_table() -> impl Strategy<Value = RouteTable> {
    // By domain, since no two virtual hosts share one.
    let host = (vec(route().prop_map(Arc::new), 0..3), any::<bool>());
    btree_map(name(), host, 0..3).prop_map(|hosts| {
        let virtual_host = |(domain, (routes, https_redirect))| {
            Arc::new(VirtualHost { domain, routes, https_redirect })
        };
        RouteTable { virtual_hosts: hosts.into_iter().map(virtual_host).collect() }
    })
}

fn route() -> impl Strategy<Value = Route> {
    let action = prop_oneof![
        forward().prop_map(RouteAction::Forward),
        redirect().prop_map(RouteAction::Redirect),
        direct().prop_map(RouteAction::Direct),
    ];
    let policies = (of(cors().prop_map(Arc::new)), of(fault().prop_map(Arc::new)));
    (text(), text(), route_match(), action, header_ops(), policies).prop_map(
        |(name, origin, matches, action, headers, (cors, fault))| Route {
            name,
            origin,
            spec: Arc::new(RouteSpec { matches, action, headers, cors, fault }),
        },
    )
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let path = prop_oneof![
        Just(PathMatch::Any),
        text().prop_map(PathMatch::Exact),
        text().prop_map(PathMatch::Prefix),
        text().prop_map(PathMatch::Regex),
    ];
    let header = (name(), string_match(), any::<bool>(), any::<bool>()).prop_map(
        |(name, value, inverted, absent_is_empty)| HeaderMatch {
            name,
            value,
            inverted,
            absent_is_empty,
        },
    );
    let query = (text(), string_match()).prop_map(|(name, value)| QueryMatch { name, value });
    (path, any::<bool>(), vec(header, 0..3), vec(query, 0..3)).prop_map(
        |(path, ignore_case, headers, query)| RouteMatch { path, ignore_case, headers, query },
    )
}

fn string_match() -> impl Strategy<Value = StringMatch> {
    prop_oneof![
        Just(StringMatch::Present),
        text().prop_map(StringMatch::Exact),
        text().prop_map(StringMatch::Prefix),
        text().prop_map(StringMatch::Regex),
    ]
}

fn forward() -> impl Strategy<Value = Forward> {
    let destination =
        (cluster_id(), 1_u32.., header_ops(), of(hash_key().prop_map(Arc::new))).prop_map(
            |(cluster, weight, headers, hash)| Destination { cluster, weight, headers, hash },
        );
    let rewrite =
        (of(path_rewrite()), of(text())).prop_map(|(path, authority)| Rewrite { path, authority });
    let mirror = (cluster_id(), share()).prop_map(|(cluster, share)| Mirror { cluster, share });
    let retry = of(retry().prop_map(Arc::new));
    (vec(destination, 1..3), of(rewrite), any::<Option<u64>>(), retry, vec(mirror, 0..2)).prop_map(
        |(destinations, rewrite, timeout_ms, retry, mirrors)| Forward {
            destinations,
            rewrite,
            timeout_ms,
            retry,
            mirrors,
        },
    )
}

fn hash_key() -> impl Strategy<Value = HashKey> {
    let cookie = (name(), text(), any::<Option<u64>>(), vec((name(), text()), 0..2))
        .prop_map(|(name, path, ttl_ms, attributes)| HashCookie { name, path, ttl_ms, attributes });
    prop_oneof![
        name().prop_map(HashKey::Header),
        cookie.prop_map(HashKey::Cookie),
        Just(HashKey::SourceIp),
        name().prop_map(HashKey::QueryParameter),
    ]
}

fn plain_rewrite() -> impl Strategy<Value = PathRewrite> {
    prop_oneof![text().prop_map(PathRewrite::Prefix), text().prop_map(PathRewrite::Full)]
}

fn path_rewrite() -> impl Strategy<Value = PathRewrite> {
    let regex = (text(), text())
        .prop_map(|(pattern, substitution)| PathRewrite::Regex { pattern, substitution });
    prop_oneof![plain_rewrite(), regex]
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let status = select(&[301_u16, 302, 303, 307, 308][..]);
    (of(plain_rewrite()), of(text()), of(text()), any::<Option<u16>>(), status).prop_map(
        |(path, authority, scheme, port, status)| Redirect {
            path,
            authority,
            scheme,
            port,
            status,
        },
    )
}

fn direct() -> impl Strategy<Value = DirectResponse> {
    (200_u16..=599, vec(any::<u8>(), 0..8))
        .prop_map(|(status, body)| DirectResponse { status, body })
}

fn header_ops() -> impl Strategy<Value = HeaderOps> {
    (header_edits(), header_edits()).prop_map(|(request, response)| HeaderOps { request, response })
}

fn header_edits() -> impl Strategy<Value = HeaderEdits> {
    let pairs = || vec((name(), text()), 0..2);
    (vec(name(), 0..2), pairs(), pairs()).prop_map(|(remove, set, add)| HeaderEdits {
        remove,
        set,
        add,
    })
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    let codes = vec(any::<u16>(), 0..3);
    let on = vec(select(&RETRY_CONDITIONS[..]), 0..4);
    (1_u32.., any::<Option<u64>>(), on, codes, any::<u32>(), any::<bool>()).prop_map(
        |(attempts, per_try_timeout_ms, on, status_codes, backoff_ms, elsewhere)| RetryPolicy {
            attempts,
            per_try_timeout_ms,
            on,
            status_codes,
            backoff_ms,
            ignore_previous_hosts: elsewhere,
            remote_localities: !elsewhere,
        },
    )
}

fn share() -> impl Strategy<Value = Share> {
    (0..=Share::ALL.0).prop_map(Share)
}

fn fault() -> impl Strategy<Value = Fault> {
    let status = prop_oneof![
        (200_u16..=599).prop_map(AbortStatus::Http),
        (0_u8..=16).prop_map(AbortStatus::Grpc),
    ];
    (of((any::<u64>(), share())), of((status, share())))
        .prop_map(|(delay, abort)| Fault { delay, abort })
}

fn cors() -> impl Strategy<Value = CorsPolicy> {
    let lists = (of(text()), of(text()), of(text()));
    let flags = (any::<bool>(), any::<bool>());
    (vec(string_match(), 0..3), lists, any::<Option<u64>>(), flags).prop_map(
        |(allow_origins, (methods, headers, expose), max_age_secs, (credentials, forward))| {
            CorsPolicy {
                allow_origins,
                allow_methods: methods,
                allow_headers: headers,
                expose_headers: expose,
                max_age_secs,
                allow_credentials: credentials,
                forward_unmatched_preflights: forward,
            }
        },
    )
}
