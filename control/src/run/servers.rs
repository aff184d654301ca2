//! The servers on their sockets: gRPC with health and reflection, the pages, the control socket.

use std::io;
use std::time::Duration;

use fairway_proto::FILE_DESCRIPTOR_SET;
use fairway_proto::encoded::SnapshotServiceServer;
use fairway_proto::wire::control_service_server::ControlServiceServer;
use tokio::runtime::Handle;
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};

use super::sockets::Sockets;
use crate::admin::{self, Port};
use crate::api::ControlApi;
use crate::publish::grpc::SnapshotApi;
use crate::publish::publisher::Publisher;
use crate::publish::unix::{self, bind::SocketPath};

/// How often a silent peer is asked whether it is there, in seconds: a host that vanished would
/// stay listed as connected for ever.
const KEEPALIVE_SECS: u64 = 30;
/// How long it may take to answer, in seconds.
const KEEPALIVE_TIMEOUT_SECS: u64 = 10;

/// Largest message taken from a client, in bytes: a request with all of its headers, a hello with
/// its labels, a nack with its reason.
const REQUEST_BYTES_MAX: usize = 256 * 1024;
/// Streams and requests that one connection may have at one time.
const CONCURRENT_STREAMS_MAX: u32 = 256;

/// Starts all servers on `runtime`. What is returned keeps the control socket's path alive.
pub(super) fn start(
    runtime: &Handle,
    sockets: Sockets,
    publisher: &Publisher,
) -> io::Result<Option<SocketPath>> {
    let _inside = runtime.enter();
    let grpc = tokio::net::TcpListener::from_std(sockets.grpc)?;
    runtime.spawn(serve_grpc(grpc, publisher.clone()));
    for (listener, port) in [(sockets.debug, Port::Debug), (sockets.monitoring, Port::Monitoring)] {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        runtime.spawn(admin::serve(listener, port, publisher.clone()));
    }
    let Some((listener, path)) = sockets.unix else { return Ok(None) };
    let listener = tokio::net::UnixListener::from_std(listener)?;
    runtime.spawn(unix::serve(listener, publisher.clone()));
    Ok(Some(path))
}

async fn serve_grpc(listener: tokio::net::TcpListener, publisher: Publisher) {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    if let Err(error) = router(publisher).await.serve_with_incoming(incoming).await {
        tracing::error!("gRPC: {error}");
    }
}

/// Every gRPC service of the process.
async fn router(publisher: Publisher) -> Router {
    let snapshots = SnapshotServiceServer::new(SnapshotApi::new(publisher.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let control = ControlServiceServer::new(ControlApi::new(publisher))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let (health, health_server) = tonic_health::server::health_reporter();
    health.set_serving::<SnapshotServiceServer<SnapshotApi>>().await;
    health.set_serving::<ControlServiceServer<ControlApi>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let proof = "the descriptors were written by the build";
    Server::builder()
        .max_concurrent_streams(Some(CONCURRENT_STREAMS_MAX))
        .http2_keepalive_interval(Some(Duration::from_secs(KEEPALIVE_SECS)))
        .http2_keepalive_timeout(Some(Duration::from_secs(KEEPALIVE_TIMEOUT_SECS)))
        .add_service(snapshots)
        .add_service(control)
        .add_service(health_server)
        .add_service(reflection().build_v1().expect(proof))
        .add_service(reflection().build_v1alpha().expect(proof))
}

#[cfg(test)]
mod tests;
