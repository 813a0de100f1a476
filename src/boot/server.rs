//! A server that runs, and how it ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use pointsman_actors::store::Store;
use pointsman_actors::tree::Tree;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{ADDRESS_FILE, CERTIFICATE_FILE, LAST_FLUSH};
use crate::access::trail::Trail;
use crate::alive::Alive;
use crate::data_dir::Lock;
use crate::reload::Reloader;
use crate::tls::Certificate;

/// A running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate that it shows; without one it speaks no TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// Its components.
    pub tree: Tree,
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Puts another configuration in force.
    pub reloader: Arc<Reloader>,
    /// Where it is written down what operators do.
    pub trail: Arc<Trail>,
    pub(super) handle: ServerHandle,
    pub(super) renewal: Option<JoinHandle<()>>,
    pub(super) halt: Arc<Notify>,
    pub(super) grace_period: Duration,
    pub(super) data_dir: PathBuf,
    pub(super) alive: Alive,
    pub(super) lock: Lock,
}

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Asked,
    /// A component whose row says so was given up.
    Halted,
}

impl Server {
    /// Where it is called, such as `https://0.0.0.0:3000`.
    pub fn url(&self) -> String {
        url(self.certificate.is_some(), &self.address)
    }

    /// Serves until `asked` comes, or until a component that nothing goes without is given up. Then
    /// nobody new is let in, those inside are answered, and all that is inside is made durable.
    pub async fn serve_until(self, asked: impl Future<Output = ()>) -> End {
        let end = tokio::select! {
            () = asked => End::Asked,
            () = self.halt.notified() => End::Halted,
        };
        self.stop().await;
        end
    }

    /// Ends the server in order: from now on it says that it is not ready, lets no delivery in and begins no
    /// attempt. Within the grace period those inside are answered and attempts may end; then what is inside
    /// is made durable, and the doors are closed.
    pub async fn stop(self) {
        tracing::info!(grace = ?self.grace_period, "shutting down: no new deliveries, answering those inside");
        // Whatever is cut off from here on, nobody died of it.
        drop(self.alive);
        if tokio::time::timeout(self.grace_period + LAST_FLUSH, self.tree.drain(self.grace_period)).await.is_err() {
            tracing::warn!(
                "the event log did not finish within the grace period; nobody was told that what it held is durable"
            );
        }
        // Whoever is still being answered has the time of the last flush.
        self.handle.stop(true).await;
        let _ = std::fs::remove_file(self.data_dir.join(ADDRESS_FILE));
        if let Some(renewal) = self.renewal {
            renewal.abort();
            let _ = std::fs::remove_file(self.data_dir.join(CERTIFICATE_FILE));
        }
        let Self { tree, store, lock, .. } = self;
        let _ = tokio::task::spawn_blocking(move || {
            tree.end_threads();
            drop(tree);
            let_go(store);
            drop(lock);
        })
        .await;
    }
}

/// Where somebody is called who speaks TLS or does not.
pub fn url(tls: bool, address: &SocketAddr) -> String {
    format!("{}://{address}", if tls { "https" } else { "http" })
}

/// Drops the store when the last worker has let go of it, so that the data directory is free when a
/// server has stopped. Workers end a moment after the server said so; the wait is bounded.
fn let_go(store: Arc<dyn Store>) {
    for _ in 0..1_000 {
        if Arc::strong_count(&store) == 1 {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    tracing::debug!("somebody still holds the store");
}
