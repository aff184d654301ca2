//! Arbitrary listeners of every kind, with their TLS, and arbitrary secrets.

use std::net::IpAddr;

use fairway_shared::id::{RouteTableId, SecretName};
use fairway_shared::snapshot::listener::{
    ChainAction, Listener, ListenerKind, TcpDestination, TcpRoute, TlsChain,
};
use fairway_shared::snapshot::tls::{
    CertificateSource, ClientDemand, Secret, ServerTls, TlsVersion, TrustSource, UpstreamTls,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::{cluster_id, name, text};

pub(super) fn listener() -> impl Strategy<Value = Listener> {
    let ports = (any::<u16>(), vec(any::<u16>(), 0..3));
    (of(any::<IpAddr>()), ports, text(), vec(text(), 0..3), any::<bool>(), kind()).prop_map(
        |(bind, (port, gateway_ports), protocol, gateways, proxy_protocol, kind)| Listener {
            bind,
            port,
            gateway_ports,
            protocol,
            gateways,
            proxy_protocol,
            kind,
        },
    )
}

fn kind() -> impl Strategy<Value = ListenerKind> {
    prop_oneof![
        name().prop_map(|id| ListenerKind::Http { route_table: RouteTableId(id) }),
        vec(chain(), 0..3).prop_map(|chains| ListenerKind::Tls { chains }),
        tcp_route().prop_map(|route| ListenerKind::Tcp { route }),
    ]
}

fn chain() -> impl Strategy<Value = TlsChain> {
    let action = prop_oneof![
        (server_tls(), name())
            .prop_map(|(tls, id)| ChainAction::Http { tls, route_table: RouteTableId(id) }),
        (server_tls(), tcp_route()).prop_map(|(tls, route)| ChainAction::Tcp { tls, route }),
        tcp_route().prop_map(|route| ChainAction::Passthrough { route }),
        Just(ChainAction::AutoPassthrough),
    ];
    (text(), vec(name(), 0..3), action).prop_map(|(name, server_names, action)| TlsChain {
        name,
        server_names,
        action,
    })
}

fn tcp_route() -> impl Strategy<Value = TcpRoute> {
    let destination = (cluster_id(), 1_u32.., any::<bool>()).prop_map(|(cluster, weight, hash)| {
        TcpDestination { cluster, weight, hash_source_ip: hash }
    });
    (text(), vec(destination, 1..3), any::<Option<u64>>(), any::<Option<u64>>()).prop_map(
        |(origin, destinations, idle_timeout_ms, max_duration_ms)| TcpRoute {
            origin,
            destinations,
            idle_timeout_ms,
            max_duration_ms,
        },
    )
}

fn server_tls() -> impl Strategy<Value = ServerTls> {
    (vec(certificate(), 1..3), client(), version(), version(), vec(text(), 0..3)).prop_map(
        |(certificates, client, version_min, version_max, cipher_suites)| ServerTls {
            certificates,
            client,
            version_min,
            version_max,
            cipher_suites,
        },
    )
}

fn client() -> impl Strategy<Value = ClientDemand> {
    let hashes = || vec(any::<[u8; 32]>(), 0..3);
    let certificate = (any::<bool>(), trust(), vec(text(), 0..3), hashes(), hashes()).prop_map(
        |(is_required, trust, subject_alt_names, spki_sha256, certificate_sha256)| {
            ClientDemand::Certificate {
                is_required,
                trust,
                subject_alt_names,
                spki_sha256,
                certificate_sha256,
            }
        },
    );
    prop_oneof![Just(ClientDemand::None), certificate]
}

fn version() -> impl Strategy<Value = TlsVersion> {
    prop_oneof![Just(TlsVersion::V1_2), Just(TlsVersion::V1_3)]
}

fn certificate() -> impl Strategy<Value = CertificateSource> {
    prop_oneof![
        name().prop_map(|name| CertificateSource::Secret(SecretName(name))),
        (name(), name()).prop_map(|(certificate, private_key)| CertificateSource::Files {
            certificate,
            private_key
        }),
        Just(CertificateSource::Mesh),
    ]
}

fn trust() -> impl Strategy<Value = TrustSource> {
    prop_oneof![
        name().prop_map(|name| TrustSource::Secret(SecretName(name))),
        (name(), text())
            .prop_map(|(authorities, revocations)| TrustSource::Files { authorities, revocations }),
        Just(TrustSource::System),
        Just(TrustSource::Mesh),
        Just(TrustSource::Anyone),
        Just(TrustSource::Nobody),
    ]
}

pub(super) fn upstream_tls() -> impl Strategy<Value = UpstreamTls> {
    (of(text()), trust(), vec(text(), 0..3), of(certificate()), vec(text(), 0..3)).prop_map(
        |(sni, trust, subject_alt_names, identity, extra_alpn)| UpstreamTls {
            sni,
            trust,
            subject_alt_names,
            identity,
            extra_alpn,
        },
    )
}

pub(super) fn secret() -> impl Strategy<Value = Secret> {
    let bytes = || vec(any::<u8>(), 0..3);
    (bytes(), bytes(), bytes(), bytes(), bytes()).prop_map(
        |(certificate_chain, private_key, authorities, revocations, ocsp_staple)| Secret {
            certificate_chain,
            private_key,
            authorities,
            revocations,
            ocsp_staple,
        },
    )
}
