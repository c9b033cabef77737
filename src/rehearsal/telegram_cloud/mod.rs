//! A fake data centre of Telegram: the protocol of accounts (MTProto) over TCP, encrypted as the real one is.
//!
//! Nobody can take the place of a real data centre, because its public keys are in every client. A rehearsal's
//! accounts therefore have agreed on a key beforehand, and all that comes after is the real protocol.

mod answers;
mod client;
mod envelope;
mod keys;
mod login;
mod people;
mod sending;
mod stream;

use std::sync::Arc;

use tokio::net::TcpListener;

use super::world::World;

pub(super) use keys::session_of;
pub(super) use people::Names;

/// As the journal names it.
const PROVIDER: &str = "telegram-cloud";

/// Serves every account that connects, until the rehearsal ends.
pub(super) async fn serve(world: Arc<World>, listener: TcpListener) {
    loop {
        tokio::select! {
            () = world.shutdown() => return,
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                world.tracker().spawn(client::attend(Arc::clone(&world), socket));
            }
        }
    }
}
