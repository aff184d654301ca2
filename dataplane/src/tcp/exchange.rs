//! One connection of opaque bytes from its route to its last byte.

use std::rc::Rc;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use super::route::BoundTcpRoute;
use crate::cluster::connect;
use crate::http::connection::Serving;
use crate::listener::lives::Life;
use crate::subset::host::Busy;

/// Forwards until either side or the worker ends it.
pub async fn serve(
    mut downstream: TcpStream,
    route: &BoundTcpRoute,
    serving: &Serving,
    life: &Life,
) {
    let Some(cluster) = route.next().and_then(|to| to.cluster.as_ref()) else { return };
    let (view, limit) = (cluster.subset.load(), cluster.policy.load().connect_timeout);
    let picked = view.pick(None, &[], &mut serving.random.borrow_mut()).map(Rc::clone);
    let Some(busy) = picked.map(Busy::new) else { return };
    let connecting = connect::tcp(busy.host().address, limit);
    let Ok(mut upstream) = connecting.await else { return };
    let forwarding = std::pin::pin!(copy_bidirectional(&mut downstream, &mut upstream));
    // How it ended has no one to be told to.
    let _ = life.guard(forwarding).await;
}
