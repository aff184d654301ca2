//! TLS that begins here: how handshakes with one cluster's endpoints are done (Istio contract 3.6).
//!
//! Made on the helper thread when a snapshot is prepared; nothing is made anew unless the policy
//! or what it names has changed. Material that is bad keeps the configuration there was; without
//! one handshakes fail, and nothing is ever sent in plaintext instead.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use fairway_shared::certificate::provider;
use fairway_shared::snapshot::tls::{TrustSource, UpstreamTls};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::fault::Fault;
use super::material::{Held, MaterialError, Materials, certified_key, is_file, is_trust_file};
use super::server_check::{Names, ServerCheck};
use super::trust::Trust;

/// What is spoken inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Anything.
    Opaque,
}

/// See the module. Connections made with one are not used for another: it is another whenever the
/// policy is.
#[derive(Debug)]
pub struct Originating {
    /// For messages.
    cluster: String,
    policy: UpstreamTls,
    /// Taken for a moment per handshake; written when secrets or files change.
    state: RwLock<State>,
}

#[derive(Debug, Clone)]
struct State {
    material: Material,
    configs: Result<Configs, MaterialError>,
}

/// What the policy names, as it was read last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Material {
    identity: Option<Held>,
    trust: Held,
}

#[derive(Debug, Clone)]
struct Configs {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    opaque: Arc<ClientConfig>,
}

impl Originating {
    /// Reads what the policy names. `previous` is the cluster's before; if its policy is the same
    /// it is what is returned, with the newest material.
    pub fn new(
        cluster: &str,
        policy: &UpstreamTls,
        from: Materials<'_>,
        previous: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        if let Some(previous) = previous.filter(|previous| previous.policy == *policy) {
            previous.refresh(from);
            return Arc::clone(previous);
        }
        let material = Material::read(policy, from);
        let configs = material.configs(policy).inspect_err(|error| {
            tracing::error!("TLS to {cluster}: {error}; handshakes fail");
        });
        let state = RwLock::new(State { material, configs });
        Arc::new(Self { cluster: cluster.to_owned(), policy: policy.clone(), state })
    }

    /// Reads what the policy names anew.
    pub fn refresh(&self, from: Materials<'_>) {
        let material = Material::read(&self.policy, from);
        let old = self.state.read().unwrap_or_else(PoisonError::into_inner).clone();
        if material == old.material {
            return;
        }
        let configs = material.configs(&self.policy);
        let is_over = |error: &MaterialError| {
            from.fails_without_secret && matches!(error, MaterialError::NoSecret(_))
        };
        match &configs {
            Ok(_) => tracing::info!("TLS to {}: certificates read anew", self.cluster),
            Err(error) if old.configs.is_ok() && !is_over(error) => {
                tracing::error!("TLS to {}: {error}; the last ones serve on", self.cluster);
            }
            Err(error) => tracing::error!("TLS to {}: {error}; handshakes fail", self.cluster),
        }
        let configs = configs.or_else(|error| match is_over(&error) {
            true => Err(error),
            false => old.configs.map_err(|_| error),
        });
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { material, configs };
    }

    /// Can what it is made of change while the snapshot stays?
    pub fn has_files(&self) -> bool {
        self.policy.identity.as_ref().is_some_and(is_file) || is_trust_file(&self.policy.trust)
    }

    /// Is the server name that of each request's Host?
    pub fn follows_host(&self) -> bool {
        self.policy.sni.is_none()
    }

    /// Does the handshake. `host` is the request's, without a port; where it names nothing that
    /// can be asked for, the endpoint's address is.
    ///
    /// # Errors
    /// The connection is of no use then.
    pub async fn secure(
        &self,
        stream: TcpStream,
        inside: Inside,
        (host, address): (Option<&str>, SocketAddr),
    ) -> Result<TlsStream<TcpStream>, Fault> {
        let config = self.config(inside).ok_or(Fault::Unprepared)?;
        let wanted = self.policy.sni.as_deref().or(host);
        let name = wanted.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let name = name.unwrap_or_else(|| ServerName::from(address.ip()));
        let connecting = TlsConnector::from(config).connect(name, stream);
        connecting.await.map_err(|error| Fault::of_handshake(&error))
    }

    fn config(&self, inside: Inside) -> Option<Arc<ClientConfig>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let configs = state.configs.as_ref().ok()?;
        Some(Arc::clone(match inside {
            Inside::Http1 => &configs.http1,
            Inside::Http2 => &configs.http2,
            Inside::Opaque => &configs.opaque,
        }))
    }
}

impl Material {
    fn read(policy: &UpstreamTls, from: Materials<'_>) -> Self {
        Self {
            identity: policy.identity.as_ref().map(|source| from.certificate(source)),
            trust: from.trust(&policy.trust),
        }
    }

    fn configs(&self, policy: &UpstreamTls) -> Result<Configs, MaterialError> {
        let trust = Trust::parse(&policy.trust, &*self.trust.clone()?)?;
        let config = |inside| self.config(policy, &trust, inside).map(Arc::new);
        Ok(Configs {
            http1: config(Inside::Http1)?,
            http2: config(Inside::Http2)?,
            opaque: config(Inside::Opaque)?,
        })
    }

    fn config(
        &self,
        policy: &UpstreamTls,
        trust: &Trust,
        inside: Inside,
    ) -> Result<ClientConfig, MaterialError> {
        let check = ServerCheck::new(trust, names(policy, inside))?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| MaterialError::Refused(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(check));
        let mut config = match policy.identity.as_ref().zip(self.identity.clone()) {
            None => builder.with_no_client_auth(),
            Some((source, held)) => {
                let pair = certified_key(source, &*held?)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
            }
        };
        config.alpn_protocols = alpn(policy, inside);
        Ok(config)
    }
}

/// Whose certificate an endpoint must show: the policy's names, else the name sent. Members of a
/// mesh are told by their authority alone.
fn names(policy: &UpstreamTls, inside: Inside) -> Names {
    let is_asked = policy.sni.is_some() || inside != Inside::Opaque;
    match &policy.subject_alt_names[..] {
        [] if policy.trust == TrustSource::Mesh || !is_asked => Names::Any,
        [] => Names::Asked,
        wanted => Names::OneOf(wanted.to_vec()),
    }
}

fn alpn(policy: &UpstreamTls, inside: Inside) -> Vec<Vec<u8>> {
    let own = match inside {
        Inside::Http1 => Some(&b"http/1.1"[..]),
        Inside::Http2 => Some(&b"h2"[..]),
        Inside::Opaque => None,
    };
    let extra = policy.extra_alpn.iter().map(String::as_bytes);
    extra.chain(own).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests;
