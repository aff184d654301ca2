//! Finding the API server: a pod's own credentials, or a kubeconfig.

use kube::config::{InClusterError, InferConfigError, KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

/// Where the cluster's address and our credentials are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterAccess {
    /// `KUBECONFIG` or `~/.kube/config`, else the pod's service account.
    Inferred,
    /// That context of `KUBECONFIG` or `~/.kube/config`.
    Context(String),
}

/// Why there is no way to an API server. Whether it answers is not looked at here: that is the
/// watches' affair, which try again.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a service account.
    #[error(
        "no cluster is configured: give a kubeconfig or run in a pod, or name a directory with \
         --config-dir"
    )]
    NoCluster(#[source] Box<InferConfigError>),
    /// The kubeconfig does not hold what was asked for.
    #[error("the kubeconfig has no usable context {context}")]
    NoContext {
        /// As given.
        context: String,
        /// What is wrong.
        source: KubeconfigError,
    },
    /// The service account cannot be used.
    #[error("the pod's service account cannot be used")]
    InCluster(#[from] InClusterError),
    /// The credentials cannot be used.
    #[error("the cluster's credentials cannot be used")]
    Client(#[source] Box<kube::Error>),
}

/// A client of the cluster. Must run inside a runtime.
pub(super) async fn connect(access: &ClusterAccess) -> Result<Client, ConnectError> {
    let config = match access {
        ClusterAccess::Inferred => {
            Config::infer().await.map_err(|error| ConnectError::NoCluster(Box::new(error)))?
        }
        ClusterAccess::Context(context) => {
            let options = KubeConfigOptions {
                context: Some(context.clone()),
                ..KubeConfigOptions::default()
            };
            Config::from_kubeconfig(&options)
                .await
                .map_err(|source| ConnectError::NoContext { context: context.clone(), source })?
        }
    };
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}
