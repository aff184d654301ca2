use fairway_proto::wire::control_service_client::ControlServiceClient;
use fairway_proto::wire::snapshot_ack::Content;
use fairway_proto::wire::snapshot_service_client::SnapshotServiceClient;
use fairway_proto::{UPDATE_BYTES_MAX, from_wire, wire};
use fairway_shared::snapshot::Snapshot;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::*;
use crate::publish::testing::publish;

const DEADLINE: Duration = Duration::from_secs(20);

/// A worker's stream.
struct Worker {
    answers: mpsc::Sender<wire::SnapshotAck>,
    updates: Streaming<wire::SnapshotUpdate>,
}

impl Worker {
    async fn open(channel: Channel, first: Content) -> Self {
        let (answers, outgoing) = mpsc::channel(4);
        answers.send(wire::SnapshotAck { content: Some(first) }).await.unwrap();
        let mut client =
            SnapshotServiceClient::new(channel).max_decoding_message_size(UPDATE_BYTES_MAX);
        let response = client.stream_snapshots(ReceiverStream::new(outgoing)).await.unwrap();
        Self { answers, updates: response.into_inner() }
    }

    async fn update(&mut self) -> Result<wire::SnapshotUpdate, Status> {
        let next = tokio::time::timeout(DEADLINE, self.updates.message()).await.unwrap();
        next.map(|update| update.expect("the stream goes on"))
    }

    async fn answer(&self, content: Content) {
        self.answers.send(wire::SnapshotAck { content: Some(content) }).await.unwrap();
    }

    async fn ack(&self, update: &wire::SnapshotUpdate) {
        let (nonce, version) = (update.nonce.clone(), update.version);
        self.answer(Content::Ack(wire::Accepted { nonce, version })).await;
    }
}

fn hello() -> Content {
    let node = wire::Node { id: "router~1~gw.shop~shop".into(), ..Default::default() };
    Content::Hello(wire::Hello { node: Some(node), slot: 4, serving: 0 })
}

async fn start() -> (Publisher, Channel) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let publisher = Publisher::start();
    tokio::spawn(serve_grpc(listener, publisher.clone()));
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    (publisher, channel.connect().await.unwrap())
}

async fn dataplane(channel: &Channel) -> wire::Dataplane {
    let request = wire::ListDataplanesRequest { filter: "gw.shop".into() };
    let mut client = ControlServiceClient::new(channel.clone());
    client.list_dataplanes(request).await.unwrap().into_inner().dataplanes.remove(0)
}

#[actix::test]
async fn a_worker_gets_a_whole_snapshot_then_deltas_and_is_listed() {
    let (publisher, channel) = start().await;
    publish(&publisher, &["a", "b"]).await;
    let mut worker = Worker::open(channel.clone(), hello()).await;
    let whole = worker.update().await.unwrap();
    assert_eq!((whole.version, whole.base_version, whole.clusters.len()), (1, 0, 2));
    worker.ack(&whole).await;
    let first = from_wire::update(whole, None).unwrap();

    publish(&publisher, &["b", "c"]).await;
    let delta = worker.update().await.unwrap();
    assert_eq!((delta.version, delta.base_version), (2, 1));
    assert_eq!((delta.clusters.len(), delta.removed_clusters.len()), (1, 1));
    assert!(delta.listeners.is_empty(), "an unchanged listener was sent again");
    let second = from_wire::update(delta.clone(), Some(&first)).unwrap();
    let published = publisher.view().await.unwrap();
    assert_eq!(&second, &published.current().unwrap().snapshot);

    let (nonce, version) = (delta.nonce, delta.version);
    let reason = "no room".to_owned();
    worker.answer(Content::Nack(wire::Rejected { nonce, version, reason })).await;
    publish(&publisher, &["d"]).await;
    let third = worker.update().await.unwrap();
    assert_eq!((third.version, third.base_version), (3, 1), "a refused version is no base");
    let listed = dataplane(&channel).await;
    assert_eq!((listed.slot, listed.carrier.as_str()), (4, "grpc"));
    assert_eq!((listed.version_sent, listed.version_acked, listed.version_nacked), (3, 1, 2));
    assert_eq!((listed.nack_reason.as_str(), listed.in_sync), ("no room", false));
}

#[actix::test]
async fn an_acked_worker_is_in_sync() {
    let (publisher, channel) = start().await;
    publish(&publisher, &["a"]).await;
    let mut worker = Worker::open(channel.clone(), hello()).await;
    let whole = worker.update().await.unwrap();
    worker.ack(&whole).await;
    let in_sync = async { while !dataplane(&channel).await.in_sync {} };
    tokio::time::timeout(DEADLINE, in_sync).await.unwrap();
}

#[actix::test]
async fn bad_messages_end_the_stream_and_name_the_field() {
    let (publisher, channel) = start().await;
    publish(&publisher, &["a"]).await;
    let nameless = Content::Hello(wire::Hello::default());
    let wrong = wire::Accepted { nonce: "x".into(), version: 1 };
    for (first, then, part) in [
        (Content::Ack(wrong.clone()), None, "hello"),
        (nameless, None, "node"),
        (hello(), Some(Content::Ack(wrong)), "ack.nonce"),
        (hello(), Some(hello()), "hello"),
    ] {
        let mut worker = Worker::open(channel.clone(), first).await;
        if let Some(then) = then {
            worker.update().await.unwrap();
            worker.answer(then).await;
        }
        let status = worker.update().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(part), "{status}");
    }
}

#[actix::test]
async fn snapshots_are_found_by_number() {
    let (publisher, channel) = start().await;
    let mut client = ControlServiceClient::new(channel);
    let current = wire::GetSnapshotRequest { version: 0 };
    assert_eq!(client.get_snapshot(current).await.unwrap_err().code(), Code::NotFound);
    publish(&publisher, &["a"]).await;
    publish(&publisher, &["a", "b"]).await;
    let found = client.get_snapshot(current).await.unwrap().into_inner();
    let read: Snapshot = from_wire::snapshot(found).unwrap();
    assert_eq!((read.version.0, read.clusters.len()), (2, 2));
    for (version, expected) in [(1, Code::Ok), (2, Code::Ok), (3, Code::NotFound)] {
        let answer = client.get_snapshot(wire::GetSnapshotRequest { version }).await;
        let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, expected, "version {version}");
    }
    let listed = client.list_snapshots(wire::ListSnapshotsRequest::default()).await.unwrap();
    let versions: Vec<_> =
        listed.into_inner().snapshots.iter().map(|item| (item.version, item.current)).collect();
    assert_eq!(versions, [(2, true), (1, false)]);
}

#[actix::test]
async fn health_and_reflection_know_both_services() {
    let (_publisher, channel) = start().await;
    let mut health = HealthClient::new(channel.clone());
    let services = ["fairway.control.v1.SnapshotService", "fairway.control.v1.ControlService"];
    for service in ["", services[0], services[1]] {
        let request = HealthCheckRequest { service: service.into() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{service}");
    }
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let stream = Request::new(tokio_stream::once(request));
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(stream)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("wants a list: {answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(services.iter().all(|service| names.contains(service)), "{names:?}");
}

#[actix::test]
async fn a_pinned_version_is_sent_and_held_until_it_is_unpinned() {
    let (publisher, channel) = start().await;
    let mut control = ControlServiceClient::new(channel.clone());
    publish(&publisher, &["a"]).await;
    publish(&publisher, &["a", "b"]).await;
    let mut worker = Worker::open(channel.clone(), hello()).await;
    let newest = worker.update().await.unwrap();
    worker.ack(&newest).await;
    assert_eq!(newest.version, 2);

    let pin = |version| wire::PinSnapshotRequest { version };
    let pinned = control.pin_snapshot(pin(1)).await.unwrap().into_inner();
    assert_eq!(pinned.version, 1);
    let update = worker.update().await.unwrap();
    worker.ack(&update).await;
    assert_eq!((update.version, update.base_version), (1, 2));

    // What is compiled meanwhile is held, not sent.
    publish(&publisher, &["a", "b", "c"]).await;
    let request = wire::ListSnapshotsRequest::default();
    let listed = control.list_snapshots(request).await.unwrap().into_inner().snapshots;
    let marks: Vec<_> = listed.iter().map(|one| (one.version, one.current, one.pinned)).collect();
    assert_eq!(marks, [(3, false, false), (2, false, false), (1, true, true)]);

    let unpinned = control.unpin_snapshot(wire::UnpinSnapshotRequest {}).await.unwrap();
    assert_eq!(unpinned.into_inner().version, 3);
    let update = worker.update().await.unwrap();
    assert_eq!((update.version, update.base_version), (3, 1));

    let missing = control.pin_snapshot(pin(9)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(missing.message().contains("version 9"), "{}", missing.message());
}

#[actix::test]
async fn versions_are_compared_and_lists_are_watched() {
    let (publisher, channel) = start().await;
    let mut control = ControlServiceClient::new(channel.clone());
    publish(&publisher, &["a"]).await;
    publish(&publisher, &["a", "b"]).await;
    let request = wire::DiffSnapshotsRequest { from: 1, to: 0 };
    let diff = control.diff_snapshots(request).await.unwrap().into_inner();
    assert_eq!((diff.from, diff.to), (1, 2));
    let names: Vec<_> = diff.changes.iter().map(|change| change.name.as_str()).collect();
    assert_eq!(names, ["outbound|80||b", "b:80", "http.80"]);

    let request = wire::ListDataplanesRequest::default();
    let mut watched = control.watch_dataplanes(request).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().unwrap().dataplanes.is_empty());
    let _worker = Worker::open(channel, hello()).await;
    let next = tokio::time::timeout(DEADLINE, watched.message()).await.unwrap();
    assert_eq!(next.unwrap().unwrap().dataplanes.len(), 1);
}

#[actix::test]
async fn a_bad_request_names_its_field_and_a_large_one_is_refused() {
    let (publisher, channel) = start().await;
    let mut control = ControlServiceClient::new(channel);
    publish(&publisher, &["a"]).await;
    let nothing = control.explain(wire::ExplainRequest::default()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
    assert!(nothing.message().starts_with("field host"), "{}", nothing.message());
    let filter = "x".repeat(REQUEST_BYTES_MAX + 1);
    let large = control.list_routes(wire::ListRoutesRequest { filter }).await.unwrap_err();
    assert_eq!(large.code(), Code::OutOfRange);
    let request = wire::ExplainRequest { host: "a".into(), ..Default::default() };
    let answer = control.explain(request).await.unwrap().into_inner();
    assert_eq!((answer.version, answer.found, answer.virtual_host.as_str()), (1, true, "a"));
}
