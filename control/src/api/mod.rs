//! `ControlService`: answers people and tools from the publisher's view of the moment, and passes
//! pins on to it. What an answer holds is decided in `lists` and `diff`, which are pure.

mod diff;
pub(crate) mod lists;
pub mod watch;

use std::sync::Arc;

use fairway_proto::wire::control_service_server::ControlService;
use fairway_proto::{to_wire, wire};
use fairway_shared::id::SnapshotVersion;
use tonic::{Request, Response, Status};

use crate::explain::{Evidence, Question, explain};
use crate::publish::publisher::{Publisher, PublisherError};
use crate::publish::version::Version;
use crate::publish::view::View;
use watch::{Answers, Watchers};

/// `ControlService`.
#[derive(Debug, Clone)]
pub struct ControlApi {
    publisher: Publisher,
    watchers: Watchers,
}

impl ControlApi {
    /// Answers from what `publisher` holds.
    pub fn new(publisher: Publisher) -> Self {
        Self { publisher, watchers: Watchers::default() }
    }

    async fn view(&self) -> Result<View, Status> {
        self.publisher.view().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}

#[tonic::async_trait]
impl ControlService for ControlApi {
    type WatchDiagnosticsStream = Answers<wire::ListDiagnosticsResponse>;
    type WatchDataplanesStream = Answers<wire::ListDataplanesResponse>;

    async fn get_snapshot(
        &self,
        request: Request<wire::GetSnapshotRequest>,
    ) -> Result<Response<wire::Snapshot>, Status> {
        let version = held(&self.view().await?, request.into_inner().version)?;
        Ok(Response::new(to_wire::snapshot(&version.snapshot, version.published_at_unix_ms)))
    }

    async fn list_listeners(
        &self,
        request: Request<wire::ListListenersRequest>,
    ) -> Result<Response<wire::ListListenersResponse>, Status> {
        Ok(Response::new(lists::listeners(&self.view().await?, &request.into_inner().filter)))
    }

    async fn list_secrets(
        &self,
        request: Request<wire::ListSecretsRequest>,
    ) -> Result<Response<wire::ListSecretsResponse>, Status> {
        Ok(Response::new(lists::secrets(&self.view().await?, &request.into_inner().filter)))
    }

    async fn list_routes(
        &self,
        request: Request<wire::ListRoutesRequest>,
    ) -> Result<Response<wire::ListRoutesResponse>, Status> {
        Ok(Response::new(lists::routes(&self.view().await?, &request.into_inner().filter)))
    }

    async fn list_clusters(
        &self,
        request: Request<wire::ListClustersRequest>,
    ) -> Result<Response<wire::ListClustersResponse>, Status> {
        Ok(Response::new(lists::clusters(&self.view().await?, &request.into_inner().filter)))
    }

    async fn list_endpoints(
        &self,
        request: Request<wire::ListEndpointsRequest>,
    ) -> Result<Response<wire::ListEndpointsResponse>, Status> {
        Ok(Response::new(lists::endpoints(&self.view().await?, &request.into_inner().filter)))
    }

    async fn list_dataplanes(
        &self,
        request: Request<wire::ListDataplanesRequest>,
    ) -> Result<Response<wire::ListDataplanesResponse>, Status> {
        Ok(Response::new(lists::dataplanes(&self.view().await?, &request.into_inner().filter)))
    }

    async fn list_diagnostics(
        &self,
        request: Request<wire::ListDiagnosticsRequest>,
    ) -> Result<Response<wire::ListDiagnosticsResponse>, Status> {
        Ok(Response::new(lists::diagnostics(&self.view().await?, &request.into_inner().filter)))
    }

    async fn list_snapshots(
        &self,
        request: Request<wire::ListSnapshotsRequest>,
    ) -> Result<Response<wire::ListSnapshotsResponse>, Status> {
        Ok(Response::new(lists::snapshots(&self.view().await?, &request.into_inner().filter)))
    }

    async fn watch_diagnostics(
        &self,
        request: Request<wire::ListDiagnosticsRequest>,
    ) -> Result<Response<Self::WatchDiagnosticsStream>, Status> {
        let filter = request.into_inner().filter;
        let list = move |view: &View| lists::diagnostics(view, &filter);
        self.watchers.watch(self.publisher.clone(), list).map(Response::new)
    }

    async fn watch_dataplanes(
        &self,
        request: Request<wire::ListDataplanesRequest>,
    ) -> Result<Response<Self::WatchDataplanesStream>, Status> {
        let filter = request.into_inner().filter;
        let list = move |view: &View| lists::dataplanes(view, &filter);
        self.watchers.watch(self.publisher.clone(), list).map(Response::new)
    }

    async fn diff_snapshots(
        &self,
        request: Request<wire::DiffSnapshotsRequest>,
    ) -> Result<Response<wire::DiffSnapshotsResponse>, Status> {
        let (view, request) = (self.view().await?, request.into_inner());
        let (from, to) = (held(&view, request.from)?, held(&view, request.to)?);
        let comparing = move || wire::DiffSnapshotsResponse {
            from: from.number().0,
            to: to.number().0,
            changes: diff::changes(&from.snapshot, &to.snapshot),
        };
        Ok(Response::new(aside(comparing).await?))
    }

    async fn pin_snapshot(
        &self,
        request: Request<wire::PinSnapshotRequest>,
    ) -> Result<Response<wire::PinSnapshotResponse>, Status> {
        let pinned = self.publisher.pin(SnapshotVersion(request.into_inner().version)).await?;
        Ok(Response::new(wire::PinSnapshotResponse { version: pinned.0 }))
    }

    async fn unpin_snapshot(
        &self,
        _: Request<wire::UnpinSnapshotRequest>,
    ) -> Result<Response<wire::UnpinSnapshotResponse>, Status> {
        let version = self.publisher.unpin().await?.0;
        Ok(Response::new(wire::UnpinSnapshotResponse { version }))
    }

    async fn explain(
        &self,
        request: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        let question = Question::new(request.into_inner());
        let question = question.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let view = self.view().await?;
        // Sorts the configuration out once more, which may take a while.
        aside(move || explained(&view, &question)).await?.map(Response::new)
    }
}

/// Does what takes long where it holds up no other answer.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    let gone = |_| Status::unavailable("control is shutting down");
    tokio::task::spawn_blocking(work).await.map_err(gone)
}

/// A version by its number; 0 = the current one.
fn held(view: &View, number: u64) -> Result<Arc<Version>, Status> {
    let version = view.version(SnapshotVersion(number)).cloned();
    version.ok_or_else(|| match number {
        0 => Status::not_found("no snapshot has been published yet"),
        _ => PublisherError::NotHeld(SnapshotVersion(number)).into(),
    })
}

/// Explains by the current version.
fn explained(view: &View, question: &Question) -> Result<wire::ExplainResponse, Status> {
    let (Some(version), Some(config)) = (view.current(), &view.config) else {
        return Err(Status::not_found("no snapshot has been published yet"));
    };
    let evidence = Evidence { snapshot: &version.snapshot, config, diagnostics: &view.diagnostics };
    let mut answer = explain(evidence, question);
    if let Some(pinned) = view.pinned {
        let hint = "objects and their places are as they are now, and may have changed since";
        answer.hints.push(format!("workers are held at version {pinned}: {hint}"));
    }
    Ok(answer)
}
