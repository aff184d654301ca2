//! MeshConfig checked, as the passes use it: what holds where an object says nothing (Istio
//! contract 0). What a value is wrong in is reported, and the default holds in its place.

use std::sync::Arc;

use fairway_shared::snapshot::cluster::TcpKeepalive;
use fairway_shared::snapshot::route::RetryPolicy;

use super::findings::{DUBIOUS, FieldPath, Findings, Scope};
use super::index::{Index, Named, ROOT_NAMESPACE};
use super::names::export_to_problem;
use super::policy::{Blocks, LocalitySetting, read_keepalive, read_locality, read_policy};
use super::quantities::positive_ms;
use super::retries::{default_policy, read_retries};
use super::tls_demands::Defaults;
use crate::object::Object;
use crate::object::mesh::MeshConfig;

/// Wait for an upstream connection where nothing says otherwise, in milliseconds.
const CONNECT_TIMEOUT_MS: u32 = 10_000;

/// See the module. `config` holds what one pass alone reads.
pub(super) struct Mesh<'a> {
    /// Everything, as written.
    pub(super) config: &'a MeshConfig,
    /// For upstream connections, in milliseconds.
    pub(super) connect_timeout_ms: u32,
    /// For upstream connections.
    pub(super) tcp_keepalive: Option<TcpKeepalive>,
    /// Connection pool and ejection where no rule has them; the other blocks are never set.
    pub(super) blocks: Blocks,
    /// Where neither a rule nor a Service says which endpoints come first.
    pub(super) locality: LocalitySetting,
    /// Upstreams that do not say what they speak are called with HTTP/2.
    pub(super) upgrades_to_http2: bool,
    /// Shared by all routes without `retries`; `None` = they are not retried.
    pub(super) default_retry: Option<Arc<RetryPolicy>>,
    /// For Gateway servers that do not say.
    pub(super) tls: Defaults,
    /// Every downstream connection starts with a PROXY header.
    pub(super) proxy_protocol: bool,
    /// Whom findings are about; `None` = there is no MeshConfig.
    pub(super) object: Option<&'a Object>,
}

impl<'a> Mesh<'a> {
    /// Checks the MeshConfig in force, and tells of those that are not.
    pub(super) fn read(index: &Index<'a>, findings: &mut Findings) -> Self {
        let in_force = index.mesh_in_force();
        for map in &index.mesh_maps {
            check_place(*map, in_force, findings);
        }
        let mut mesh = Self {
            config: index.mesh(),
            connect_timeout_ms: CONNECT_TIMEOUT_MS,
            tcp_keepalive: None,
            blocks: Blocks::default(),
            locality: LocalitySetting::default(),
            upgrades_to_http2: false,
            default_retry: Some(Arc::new(default_policy())),
            tls: Defaults::default(),
            proxy_protocol: false,
            object: in_force.map(|mesh| mesh.object),
        };
        if let Some(object) = mesh.object {
            mesh.take_in(&mut findings.scope(object, FieldPath::Mesh));
        }
        mesh
    }

    fn take_in(&mut self, scope: &mut Scope<'_>) {
        let config = self.config;
        if let Some(text) = &config.connect_timeout
            && let Some(ms) = positive_ms(text, "connectTimeout", scope)
        {
            self.connect_timeout_ms = u32::try_from(ms).unwrap_or(u32::MAX);
        }
        self.tcp_keepalive =
            config.tcp_keepalive.as_ref().map(|keep| read_keepalive(keep, "tcpKeepalive", scope));
        self.take_in_policy(scope);
        self.upgrades_to_http2 = one_of(
            &config.h2_upgrade_policy,
            "h2UpgradePolicy",
            &[("DO_NOT_UPGRADE", false), ("UPGRADE", true)],
            scope,
        );
        if let (Some(retries), Some(fallback)) =
            (&config.default_http_retry_policy, self.default_retry.take())
        {
            self.default_retry = read_retries(Some(retries), Some(&fallback), scope);
        } else {
            self.default_retry = Some(Arc::new(default_policy()));
        }
        if let Some(defaults) = &config.tls_defaults {
            self.tls = Defaults::read(defaults, scope);
        }
        self.proxy_protocol = config.default_config.gateway_topology.proxy_protocol.is_some();
        for (field, values) in [
            ("defaultVirtualServiceExportTo", &config.default_virtual_service_export_to),
            ("defaultDestinationRuleExportTo", &config.default_destination_rule_export_to),
            ("defaultServiceExportTo", &config.default_service_export_to),
        ] {
            if let Some(problem) = export_to_problem(values) {
                scope.invalid(field, problem, "list namespaces once, or `*` alone");
            }
        }
        say_not_in_force(config, scope);
    }
}

impl Mesh<'_> {
    /// What is wrong counts as not written.
    fn take_in_policy(&mut self, scope: &mut Scope<'_>) {
        if let Some(setting) = &self.config.locality_lb_setting {
            let mut part = scope.part(FieldPath::Mesh);
            let setting = read_locality(setting, "", &mut part);
            if !part.is_broken() {
                self.locality = setting;
            }
        }
        let Some(policy) = &self.config.default_traffic_policy else { return };
        let mut part = scope.part(FieldPath::MeshPolicy);
        let read = read_policy(policy, |_| FieldPath::MeshPolicy, &mut part);
        if part.is_broken() {
            return;
        }
        let base = read.into_base();
        for (field, is_set) in [
            ("loadBalancer", base.balancing.is_some()),
            ("tls", base.tls.is_some()),
            ("proxyProtocol", base.proxy_protocol.is_some()),
            ("retryBudget", base.retry_budget.is_some()),
            ("portLevelSettings", !policy.port_level_settings.is_empty()),
        ] {
            if is_set {
                part.ignored(field);
            }
        }
        self.blocks = Blocks { pool: base.pool, outlier: base.outlier, ..Blocks::default() };
    }
}

/// Fields that are read but that nothing acts on.
fn say_not_in_force(config: &MeshConfig, scope: &mut Scope<'_>) {
    for (field, is_set) in
        [("defaultConfig.proxyHeaders", config.default_config.proxy_headers.is_some())]
    {
        if is_set {
            scope.ignored(field);
        }
    }
}

/// A ConfigMap that is passed over would mislead in silence.
fn check_place(
    map: Named<'_, MeshConfig>,
    in_force: Option<Named<'_, MeshConfig>>,
    findings: &mut Findings,
) {
    let is_it = in_force.is_some_and(|mesh| std::ptr::eq(mesh.object, map.object));
    if is_it {
        return;
    }
    let mut scope = findings.scope(map.object, FieldPath::Mesh);
    if map.object.meta.namespace == ROOT_NAMESPACE {
        let remedy = "move its settings there, or leave --mesh-config out";
        scope.warn(DUBIOUS, "", "has no effect beside the file of --mesh-config", remedy);
    } else {
        let remedy = &format!("move it to namespace {ROOT_NAMESPACE}");
        scope.warn(DUBIOUS, "", "has no effect in this namespace", remedy);
    }
}

/// The meaning of a word; the first of `words` if the field is empty or the word is unknown.
pub(super) fn one_of<T: Copy>(
    written: &str,
    field: &str,
    words: &[(&str, T)],
    scope: &mut Scope<'_>,
) -> T {
    let default = words[0].1;
    if written.is_empty() {
        return default;
    }
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == written) {
        return *meaning;
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let what = format_args!("is `{written}`, which is unknown");
    scope.invalid(field, what, &format!("use one of {}", known.join(", ")));
    default
}
