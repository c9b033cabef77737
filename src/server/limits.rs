//! How much one visitor, one address and one caller may ask. Kept in memory: each process counts for itself,
//! and a restart begins anew.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::HeaderMap;
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::HashMapStateStore,
};

use super::problem::Problem;
use crate::domain::id::{ChannelName, VisitorId};

/// A lively writer sends a message every two seconds, and some at once.
const VISITOR_MESSAGES: (u32, u32) = (15, 30);
/// An office behind one address is many visitors.
const ADDRESS_MESSAGES: (u32, u32) = (60, 240);
/// A page takes five requests, and a whole office may open it.
const ADDRESS_REQUESTS: (u32, u32) = (200, 1200);
/// One system behind an API: more is a loop that went wrong.
const CALLER_REQUESTS: (u32, u32) = (200, 6000);
/// A browser opens six connections to a server.
const ADDRESS_CONNECTIONS: usize = 128;

type Buckets<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// The buckets of everybody who was here lately.
#[derive(Debug)]
pub(super) struct Limits {
    visitor_messages: Buckets<VisitorId>,
    address_messages: Buckets<IpAddr>,
    address_requests: Buckets<IpAddr>,
    caller_requests: Buckets<ChannelName>,
    connections: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

fn buckets<K: Clone + Eq + Hash>((burst, a_minute): (u32, u32)) -> Buckets<K> {
    let positive = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_minute(positive(a_minute)).allow_burst(positive(burst));
    RateLimiter::new(quota, HashMapStateStore::default(), DefaultClock::default())
}

fn take<K: Clone + Eq + Hash>(buckets: &Buckets<K>, key: &K) -> Result<(), Problem> {
    buckets
        .check_key(key)
        .map_err(|until| Problem::too_many(until.wait_time_from(DefaultClock::default().now())))
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            visitor_messages: buckets(VISITOR_MESSAGES),
            address_messages: buckets(ADDRESS_MESSAGES),
            address_requests: buckets(ADDRESS_REQUESTS),
            caller_requests: buckets(CALLER_REQUESTS),
            connections: Arc::default(),
        }
    }

    pub(super) fn request(&self, address: IpAddr) -> Result<(), Problem> {
        take(&self.address_requests, &household(address))
    }

    pub(super) fn message(&self, visitor: VisitorId, address: IpAddr) -> Result<(), Problem> {
        take(&self.visitor_messages, &visitor)?;
        take(&self.address_messages, &household(address))
    }

    pub(super) fn caller(&self, channel: &ChannelName) -> Result<(), Problem> {
        take(&self.caller_requests, channel)
    }

    /// A place for one more connection; nothing, where the address has too many. A proxy speaks for many
    /// people and is not counted.
    pub(super) fn connection(&self, address: IpAddr) -> Option<Place> {
        let address = household(address);
        if is_proxy(address) {
            return Some(Place { connections: Arc::default(), address });
        }
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let count = connections.entry(address).or_default();
        if *count >= ADDRESS_CONNECTIONS {
            return None;
        }
        *count += 1;
        Some(Place { connections: Arc::clone(&self.connections), address })
    }

    /// Forgets everybody whose buckets are full again.
    pub(super) fn forget(&self) {
        self.visitor_messages.retain_recent();
        self.address_messages.retain_recent();
        self.address_requests.retain_recent();
        self.caller_requests.retain_recent();
    }
}

/// Between two clearings: what piles up meanwhile is a few bytes a visitor.
pub(super) const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Held while a connection is open.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = connections.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.address);
            }
        }
    }
}

/// Whoever asks. A connection from this machine or this network that names somebody is a proxy's, and the
/// last one it names is whom it speaks for; from anywhere else, such a word could be anybody's.
pub(super) fn client_address(peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    let peer = peer.ip().to_canonical();
    if !is_proxy(peer) {
        return peer;
    }
    let last = headers.get_all("x-forwarded-for").iter().next_back();
    last.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok())
        .map_or(peer, |address: IpAddr| address.to_canonical())
}

fn is_proxy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

/// One household has as many addresses as it likes in its network of IPv6.
fn household(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_a_proxy_speaks_for_others() {
        for (peer, forwarded, client) in [
            ("203.0.113.5:1", "198.51.100.9", "203.0.113.5"),
            ("127.0.0.1:1", "198.51.100.9", "198.51.100.9"),
            ("127.0.0.1:1", "6.6.6.6, 198.51.100.9", "198.51.100.9"),
            ("10.0.0.2:1", "nonsense", "10.0.0.2"),
            ("[::ffff:127.0.0.1]:1", "2001:db8::1", "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", HeaderValue::from_static(forwarded));
            let found = client_address(peer.parse().unwrap(), &headers);
            assert_eq!(found.to_string(), client, "{peer} {forwarded}");
        }
        let alone = client_address("127.0.0.1:1".parse().unwrap(), &HeaderMap::new());
        assert_eq!(alone.to_string(), "127.0.0.1");
    }

    #[test]
    fn a_flood_of_one_visitor_is_not_that_of_another() {
        let limits = Limits::new();
        let [one, other] = [1, 2].map(|n| VisitorId(Uuid::from_u128(n)));
        let address = "198.51.100.9".parse().unwrap();
        let taken = (0..100).take_while(|_| limits.message(one, address).is_ok()).count();
        assert!((15..20).contains(&taken), "{taken}");
        assert_eq!(limits.message(one, address).unwrap_err().code(), "too-many");
        limits.message(other, address).unwrap();
    }

    #[test]
    fn an_address_has_so_many_connections_and_a_proxy_any() {
        let limits = Limits::new();
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let places: Vec<Place> =
            (0..ADDRESS_CONNECTIONS).filter_map(|_| limits.connection(one)).collect();
        assert_eq!(places.len(), ADDRESS_CONNECTIONS);
        assert!(limits.connection(neighbour).is_none());
        assert!(limits.connection("127.0.0.1".parse().unwrap()).is_some());
        drop(places);
        assert!(limits.connection(neighbour).is_some());
    }
}
