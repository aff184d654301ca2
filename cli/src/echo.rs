//! `fairway echo`: a small upstream that answers any request with what it received. Speaks
//! HTTP/1.1 and HTTP/2 without TLS; counts a body and keeps none of it.

mod describe;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};

use crate::args::EchoArgs;
use crate::{say, up};
use describe::{Received, Upstream};

/// What the first line on stdout starts with; the address follows.
pub(crate) const LISTENING: &str = "listening on ";

/// How long to wait before accepting again when the process is out of descriptors.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Serves until the process is ended by a signal.
pub(crate) fn run(args: &EchoArgs) -> ExitCode {
    let upstream =
        Arc::new(Upstream { name: args.name.clone(), version: args.version_label.clone() });
    match up::runtime() {
        Ok(runtime) => runtime.block_on(serve(args.listen, upstream)),
        Err(error) => up::refuse(&error),
    }
}

async fn serve(address: SocketAddr, upstream: Arc<Upstream>) -> ExitCode {
    let bound = match TcpListener::bind(address).await {
        Ok(listener) => listener.local_addr().map(|local| (listener, local)),
        Err(error) => Err(error),
    };
    let (listener, local) = match bound {
        Ok(bound) => bound,
        Err(error) => {
            say::problem(&format_args!(
                "cannot listen on {address}: {error}; name another address with --listen"
            ));
            return ExitCode::FAILURE;
        }
    };
    say::line(&format_args!("{LISTENING}{local}"));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&upstream)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, upstream: Arc<Upstream>) {
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| answer(request, Arc::clone(&upstream)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    // A client that breaks off is the client's business.
    drop(builder.serve_connection(TokioIo::new(stream), service).await);
}

/// Reads the body to its end first, so that its length can be told.
async fn answer(
    request: Request<Incoming>,
    upstream: Arc<Upstream>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, mut body) = request.into_parts();
    let mut body_length = 0_u64;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            body_length += data.len() as u64;
        }
    }
    let text = describe::describe(&upstream, &Received { head: &head, body_length });
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}
