//! Which kinds of objects are read. The rest of a directory is other people's business and passed
//! over in silence, but an object that a user of Istio would expect to work is refused aloud.

/// The kinds that become objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gateway,
    VirtualService,
    DestinationRule,
    Service,
    Endpoints,
    EndpointSlice,
    Pod,
    Secret,
    /// Only those that hold MeshConfig.
    ConfigMap,
    Node,
    ServiceEntry,
    WorkloadEntry,
}

impl Kind {
    /// Whether fields unknown to us are findings. Kubernetes' own objects have hundreds of fields
    /// that a gateway has no use for; of Istio's we claim to know all.
    pub(super) fn is_istio(self) -> bool {
        match self {
            Self::Gateway
            | Self::VirtualService
            | Self::DestinationRule
            | Self::ServiceEntry
            | Self::WorkloadEntry => true,
            Self::Service
            | Self::Endpoints
            | Self::EndpointSlice
            | Self::Pod
            | Self::Node
            | Self::Secret
            | Self::ConfigMap => false,
        }
    }
}

/// What is done with an object of some kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Read(Kind),
    /// A kind that configures gateways or meshes, in which case silence would mislead.
    NotSupported,
    /// A kind that keeps requests out: to serve without it is a hole, not a loss.
    NotEnforced,
    Ignored,
}

/// Decides by `apiVersion` and `kind`.
pub(super) fn reading_of(api_version: &str, kind: &str) -> Reading {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let known = match (group, version, kind) {
        ("networking.istio.io", "v1" | "v1beta1" | "v1alpha3", "Gateway") => Kind::Gateway,
        ("networking.istio.io", "v1" | "v1beta1" | "v1alpha3", "VirtualService") => {
            Kind::VirtualService
        }
        ("networking.istio.io", "v1" | "v1beta1" | "v1alpha3", "DestinationRule") => {
            Kind::DestinationRule
        }
        ("networking.istio.io", "v1" | "v1beta1" | "v1alpha3", "ServiceEntry") => {
            Kind::ServiceEntry
        }
        ("networking.istio.io", "v1" | "v1beta1" | "v1alpha3", "WorkloadEntry") => {
            Kind::WorkloadEntry
        }
        ("", "v1", "Node") => Kind::Node,
        ("", "v1", "Service") => Kind::Service,
        ("", "v1", "Endpoints") => Kind::Endpoints,
        ("", "v1", "Pod") => Kind::Pod,
        ("", "v1", "Secret") => Kind::Secret,
        ("", "v1", "ConfigMap") => Kind::ConfigMap,
        ("discovery.k8s.io", "v1" | "v1beta1", "EndpointSlice") => Kind::EndpointSlice,
        ("security.istio.io", _, "AuthorizationPolicy" | "RequestAuthentication") => {
            return Reading::NotEnforced;
        }
        _ if configures_traffic(group, kind) => return Reading::NotSupported,
        _ => return Reading::Ignored,
    };
    Reading::Read(known)
}

fn configures_traffic(group: &str, kind: &str) -> bool {
    match group {
        "gateway.networking.k8s.io" | "gateway.networking.x-k8s.io" => true,
        "networking.k8s.io" | "extensions" => kind == "Ingress",
        "discovery.k8s.io" => kind == "EndpointSlice",
        _ => group.ends_with(".istio.io"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_refused_or_passed_over() {
        let cases = [
            ("networking.istio.io/v1alpha3", "Gateway", Reading::Read(Kind::Gateway)),
            ("networking.istio.io/v1", "VirtualService", Reading::Read(Kind::VirtualService)),
            (
                "networking.istio.io/v1beta1",
                "DestinationRule",
                Reading::Read(Kind::DestinationRule),
            ),
            ("v1", "Service", Reading::Read(Kind::Service)),
            ("discovery.k8s.io/v1", "EndpointSlice", Reading::Read(Kind::EndpointSlice)),
            ("networking.istio.io/v2", "Gateway", Reading::NotSupported),
            ("networking.istio.io/v1", "ServiceEntry", Reading::Read(Kind::ServiceEntry)),
            ("networking.istio.io/v1beta1", "WorkloadEntry", Reading::Read(Kind::WorkloadEntry)),
            ("v1", "Node", Reading::Read(Kind::Node)),
            ("networking.istio.io/v1", "Sidecar", Reading::NotSupported),
            ("security.istio.io/v1", "AuthorizationPolicy", Reading::NotEnforced),
            ("security.istio.io/v1beta1", "RequestAuthentication", Reading::NotEnforced),
            ("security.istio.io/v1", "PeerAuthentication", Reading::NotSupported),
            ("telemetry.istio.io/v1", "Telemetry", Reading::NotSupported),
            ("extensions.istio.io/v1alpha1", "WasmPlugin", Reading::NotSupported),
            ("networking.istio.io/v1alpha3", "EnvoyFilter", Reading::NotSupported),
            ("networking.istio.io/v1beta1", "ProxyConfig", Reading::NotSupported),
            ("gateway.networking.k8s.io/v1", "HTTPRoute", Reading::NotSupported),
            ("networking.k8s.io/v1", "Ingress", Reading::NotSupported),
            ("networking.k8s.io/v1", "NetworkPolicy", Reading::Ignored),
            ("v1", "ConfigMap", Reading::Read(Kind::ConfigMap)),
            ("apps/v1", "Deployment", Reading::Ignored),
            ("example.com/v1", "Service", Reading::Ignored),
            ("", "", Reading::Ignored),
        ];
        for (api_version, kind, expected) in cases {
            assert_eq!(reading_of(api_version, kind), expected, "{api_version} {kind}");
        }
    }
}
