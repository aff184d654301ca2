//! `ControlService`: answers people and tools from the publisher's view of the moment. Changes
//! nothing. What an answer holds is decided in `lists`, which is pure.

pub(crate) mod lists;

use fairway_proto::wire::control_service_server::ControlService;
use fairway_proto::{to_wire, wire};
use fairway_shared::id::SnapshotVersion;
use tonic::{Request, Response, Status};

use crate::explain::{Evidence, Question, explain};
use crate::publish::actor::Publisher;
use crate::publish::view::View;

/// `ControlService`.
#[derive(Debug, Clone)]
pub struct ControlApi {
    publisher: Publisher,
}

impl ControlApi {
    /// Answers from what `publisher` holds.
    pub fn new(publisher: Publisher) -> Self {
        Self { publisher }
    }

    async fn view(&self) -> Result<View, Status> {
        self.publisher.view().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}

#[tonic::async_trait]
impl ControlService for ControlApi {
    async fn get_snapshot(
        &self,
        request: Request<wire::GetSnapshotRequest>,
    ) -> Result<Response<wire::Snapshot>, Status> {
        let (view, number) = (self.view().await?, request.into_inner().version);
        let version = view.version(SnapshotVersion(number)).ok_or_else(|| match number {
            0 => Status::not_found("no snapshot has been published yet"),
            _ => Status::not_found(format!("control does not hold version {number}")),
        })?;
        Ok(Response::new(to_wire::snapshot(&version.snapshot, version.published_at_unix_ms)))
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

    async fn explain(
        &self,
        request: Request<wire::ExplainRequest>,
    ) -> Result<Response<wire::ExplainResponse>, Status> {
        let question = Question::new(request.into_inner());
        let question = question.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let view = self.view().await?;
        // Sorts the configuration out once more, which may take a while.
        let explaining = tokio::task::spawn_blocking(move || explained(&view, &question));
        let gone = |_| Status::unavailable("control is shutting down");
        explaining.await.map_err(gone)?.map(Response::new)
    }
}

/// Explains by the current version.
fn explained(view: &View, question: &Question) -> Result<wire::ExplainResponse, Status> {
    let (Some(version), Some(config)) = (view.current(), &view.config) else {
        return Err(Status::not_found("no snapshot has been published yet"));
    };
    let evidence = Evidence { snapshot: &version.snapshot, config, diagnostics: &view.diagnostics };
    Ok(explain(evidence, question))
}
