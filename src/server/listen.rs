//! The listener: how many connections there are, how slow they may be, and how they end.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use tracing::warn;

use super::{
    bounds::Bounds,
    limits::FORGET_EVERY,
    router::router,
    site::{Hosting, Site},
};

/// Cookies and all; a page of ours sends less than one.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// What is being answered may be answered; a stream has ended by then.
const GRACE: Duration = Duration::from_secs(2);
/// Most often there is no file left; it comes back when a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// A server that listens.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    pub address: SocketAddr,
}

/// Listens until `shutdown`. Then nobody is accepted, streams end, running requests are answered.
pub async fn listen(
    hosting: Hosting,
    address: SocketAddr,
    shutdown: CancellationToken,
    tracker: &TaskTracker,
) -> io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let site = Arc::new(Site::new(hosting, shutdown.clone()));
    let router = router(Arc::clone(&site));
    let looking = Arc::clone(&site);
    let until = shutdown.clone();
    tracker.spawn(async move { looking.hub.run(&looking.limits, FORGET_EVERY, until).await });
    tracker.spawn(accept(listener, site, router, shutdown));
    Ok(Listening { address })
}

async fn accept(
    listener: TcpListener,
    site: Arc<Site>,
    router: Router,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(site.bounds.connections_max));
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let Some(seat) = site.limits.connection(peer.ip()) else { continue };
                    let serving =
                        serve(socket, peer, site.bounds, router.clone(), shutdown.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop((place, seat));
                    });
                }
                Err(error) => {
                    warn!(kind = ?error.kind(), "a connection was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown.cancelled() => {}
    }
    drop(listener);
    connections.close();
    drop(timeout(GRACE, connections.wait()).await);
    drop(timeout(GRACE, site.store.close()).await);
}

async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    bounds: Bounds,
    router: Router,
    shutdown: CancellationToken,
) {
    // Events are small, and somebody waits for each.
    drop(socket.set_nodelay(true));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let router = router.clone();
        async move { Ok::<_, Infallible>(answered(router.oneshot(request.map(Body::new)).await)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_deadline)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    tokio::select! {
        // What a client does wrong is its own affair.
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => {}
        () = sleep(bounds.connection_lifetime) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(timeout(GRACE, connection).await);
}

fn answered<T>(answer: Result<T, Infallible>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}
