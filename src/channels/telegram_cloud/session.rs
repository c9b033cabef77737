//! What a signed-in account is known by: its data centre, and the key that was agreed on with it.

use std::{
    fmt,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
};

use grammers_session::{SessionData, storages::MemorySession, types::DcOption};
use serde::{Deserialize, Serialize};

/// Whoever has it speaks for the account. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSession {
    /// The number of the data centre where the account is at home.
    pub data_centre: i32,
    pub ipv4: SocketAddrV4,
    pub ipv6: SocketAddrV6,
    #[serde(with = "hex")]
    pub key: [u8; 256],
    /// The number of the account.
    pub user_id: i64,
}

impl fmt::Debug for AccountSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountSession(…)")
    }
}

impl AccountSession {
    /// For the library that speaks the protocol. An endpoint of the manifest stands for every data centre.
    pub(super) fn unpacked(&self, endpoint: Option<SocketAddr>) -> MemorySession {
        let mut data = blank(endpoint);
        let Self { data_centre, ipv4, ipv6, key, user_id: _ } = self;
        data.home_dc = *data_centre;
        let mut home =
            DcOption { id: *data_centre, ipv4: *ipv4, ipv6: *ipv6, auth_key: Some(*key) };
        if let Some(endpoint) = endpoint {
            lead_to(&mut home, endpoint);
        }
        data.dc_options.insert(*data_centre, home);
        data.into()
    }

    /// Of an account that has just signed in.
    pub(super) fn of(home: &DcOption, user_id: i64) -> Option<Self> {
        let DcOption { id, ipv4, ipv6, auth_key } = home;
        let key = (*auth_key)?;
        Some(Self { data_centre: *id, ipv4: *ipv4, ipv6: *ipv6, key, user_id })
    }
}

/// Nobody's: the data centres as they are known to everybody.
pub(super) fn blank(endpoint: Option<SocketAddr>) -> SessionData {
    let mut data = SessionData::default();
    if let Some(endpoint) = endpoint {
        data.dc_options.values_mut().for_each(|option| lead_to(option, endpoint));
    }
    data
}

fn lead_to(option: &mut DcOption, endpoint: SocketAddr) {
    match endpoint {
        SocketAddr::V4(address) => option.ipv4 = address,
        SocketAddr::V6(address) => option.ipv6 = address,
    }
}
