//! Sessions as the database keeps them: encrypted by a key that is made of a credential.

use std::num::NonZeroU32;

use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    pbkdf2,
};

use super::session::AccountSession;
use crate::domain::channel::Secret;

/// A passphrase that was thought up by a person is not tried out in an afternoon; a connection is made rarely.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(200_000).expect("it is not zero");
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// The form of what follows, so that another may come.
const VERSION: u8 = 1;

/// What was kept cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsealable {
    #[error("the stored session was encrypted with another `session` (or `apiHash`) credential")]
    AnotherKey,
    #[error("the stored session was written by another version of this program")]
    AnotherForm,
    #[error("this machine gives no random numbers")]
    NoRandomness,
}

/// `[version, salt, nonce, text and tag]`.
pub(super) fn seal(session: &AccountSession, credential: &Secret) -> Result<Vec<u8>, Unsealable> {
    let mut random = [0; SALT_BYTES + NONCE_LEN];
    getrandom::fill(&mut random).map_err(|_| Unsealable::NoRandomness)?;
    let (salt, nonce) = random.split_at(SALT_BYTES);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable::AnotherForm)?;
    let mut text = serde_json::to_vec(session).map_err(|_| Unsealable::AnotherForm)?;
    key(credential, salt)?
        .seal_in_place_append_tag(nonce, Aad::from([VERSION]), &mut text)
        .map_err(|_| Unsealable::AnotherForm)?;
    Ok([&[VERSION], random.as_slice(), &text].concat())
}

pub(super) fn unseal(sealed: &[u8], credential: &Secret) -> Result<AccountSession, Unsealable> {
    let rest = sealed.strip_prefix(&[VERSION]).ok_or(Unsealable::AnotherForm)?;
    let (salt, rest) = rest.split_at_checked(SALT_BYTES).ok_or(Unsealable::AnotherForm)?;
    let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(Unsealable::AnotherForm)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable::AnotherForm)?;
    let mut text = text.to_vec();
    let text = key(credential, salt)?
        .open_in_place(nonce, Aad::from([VERSION]), &mut text)
        .map_err(|_| Unsealable::AnotherKey)?;
    serde_json::from_slice(text).map_err(|_| Unsealable::AnotherForm)
}

fn key(credential: &Secret, salt: &[u8]) -> Result<LessSafeKey, Unsealable> {
    let mut key = [0; KEY_BYTES];
    // A file with a secret mostly ends with a line feed.
    let passphrase = credential.reveal().trim().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, passphrase, &mut key);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key).map_err(|_| Unsealable::AnotherForm)?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_read_with_its_credential_only() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let session = AccountSession {
            data_centre: 2,
            ipv4: "149.154.167.41:443".parse().unwrap(),
            ipv6: "[2001:67c:4e8:f002::a]:443".parse().unwrap(),
            key: std::array::from_fn(|place| u8::try_from(place).unwrap()),
            user_id: 5_000_000_001,
        };
        let sealed = seal(&session, &secret("a good passphrase")).unwrap();
        assert_eq!(unseal(&sealed, &secret("a good passphrase\n")), Ok(session.clone()));
        assert_eq!(unseal(&sealed, &secret("another")), Err(Unsealable::AnotherKey));
        // Neither the key nor whose it is can be seen, and no two seals are alike.
        let shown = hex::encode(&sealed);
        assert!(!shown.contains(&hex::encode(&session.key[..16])));
        assert!(!sealed.windows(10).any(|bytes| bytes == b"5000000001"));
        assert_ne!(sealed, seal(&session, &secret("a good passphrase")).unwrap());
        for place in [1, SALT_BYTES + 1, sealed.len() - 1] {
            let mut touched = sealed.clone();
            touched[place] ^= 1;
            assert_eq!(unseal(&touched, &secret("a good passphrase")), Err(Unsealable::AnotherKey));
        }
        for cut in [&[][..], &[VERSION], &[9; 100], &sealed[..20]] {
            assert_eq!(unseal(cut, &secret("a good passphrase")), Err(Unsealable::AnotherForm));
        }
    }
}
