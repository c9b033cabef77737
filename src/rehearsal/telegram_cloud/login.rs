//! Signing in to an account of the fake Telegram: each code of the table goes its own way.

use grammers_tl_types::{Serializable as _, enums, functions, types};
use sha2::{Digest as _, Sha256};

use super::{
    super::{account, world::World},
    answers::{Given, read},
    people::own,
};

/// The code that signs in.
const GOOD: &str = "11111";
/// It is good, and the owner has a password: [`PASSWORD_B`] belongs to `rehearsal`.
const WITH_PASSWORD: &str = "22222";
const CODES: &[(&str, (i32, &str))] = &[
    (WITH_PASSWORD, (401, "SESSION_PASSWORD_NEEDED")),
    ("33333", (400, "PHONE_CODE_EXPIRED")),
    ("55555", (420, "FLOOD_WAIT_600")),
];
/// Nobody has this number yet.
const SIGN_UP: &str = "44444";

const SALT_1: &[u8] = b"first salt";
const SALT_2: &[u8] = b"second salt";
const GENERATOR: i32 = 3;
const SRP_ID: i64 = 7;

/// The prime of Telegram's own servers.
const PRIME: &str = "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c3720fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f642477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b";
/// `k·v + g^b` for the password and a `b` of 0, by <https://core.telegram.org/api/srp>: the shared secret is 1 then,
/// and only for whoever knows the password.
const PASSWORD_B: &str = "bf7874eb75fb6d7f2055ba1f17d4e0668c3a1889a2c063993779e87a8ac1d4abbd538449957c6ba9f433df68bf6f18f345f51e829adefc0bd4c74b5f736ac28a5a26a12f997f6ea59992d20ddf7b88af9238e854c019d1644ab2aa0c75718053ef616c09ed7bcfa405bfe33bd5b3f3b27800958f0770a9fe9b9a648eca8dd5b7f92721b2070a25e550855cf23e2ad15772eb9d6dff1cdb35114b4f1dcc9af52090c856584e7375f594944095d2e8eac0070d4a0eb9f14a35083602dbff6ae1c8c466e82d17dcd6655e6cad806def69a7523a328cb87177427d79ad7d79bd5e782fbadc4f64ee9c8a06e92fd5e6f291c4318edbb41fe079d999d9c0199563117c";

/// `None` where it is no method of signing in.
pub(super) fn given(world: &World, channel: &str, body: &[u8]) -> Option<Given> {
    if let Some(request) = read::<functions::auth::SendCode>(body) {
        return Some(send_code(channel, &request));
    }
    if let Some(request) = read::<functions::auth::SignIn>(body) {
        return Some(sign_in(world, channel, &request));
    }
    if read::<functions::account::GetPassword>(body).is_some() {
        return Some(Ok(enums::account::Password::from(password()).to_bytes()));
    }
    if let Some(request) = read::<functions::auth::CheckPassword>(body) {
        return Some(check_password(world, channel, &request));
    }
    if read::<functions::auth::LogOut>(body).is_some() {
        world.sign_out(channel);
        let out = types::auth::LoggedOut { future_auth_token: None };
        return Some(Ok(enums::auth::LoggedOut::from(out).to_bytes()));
    }
    None
}

fn send_code(channel: &str, request: &functions::auth::SendCode) -> Given {
    if account::channel_of(&request.api_hash, "apiHash") != Some(channel) {
        return Err((400, "API_ID_INVALID"));
    }
    if account::channel_of(&request.phone_number, "phone") != Some(channel) {
        return Err((400, "PHONE_NUMBER_INVALID"));
    }
    let sent = types::auth::SentCode {
        r#type: types::auth::SentCodeTypeApp { length: 5 }.into(),
        phone_code_hash: hash(channel),
        next_type: None,
        timeout: None,
    };
    Ok(enums::auth::SentCode::from(sent).to_bytes())
}

fn hash(channel: &str) -> String {
    format!("code of {channel}")
}

fn sign_in(world: &World, channel: &str, request: &functions::auth::SignIn) -> Given {
    if request.phone_code_hash != hash(channel) {
        return Err((400, "PHONE_CODE_EXPIRED"));
    }
    let code = request.phone_code.as_deref().unwrap_or_default();
    if code == SIGN_UP {
        let wanted = types::auth::AuthorizationSignUpRequired { terms_of_service: None };
        return Ok(enums::auth::Authorization::from(wanted).to_bytes());
    }
    match CODES.iter().find(|(known, _)| *known == code) {
        Some((_, refused)) => Err(*refused),
        None if code == GOOD => Ok(signed_in(world, channel)),
        None => Err((400, "PHONE_CODE_INVALID")),
    }
}

fn signed_in(world: &World, channel: &str) -> Vec<u8> {
    world.sign_in(channel);
    let signed_in = types::auth::Authorization {
        setup_password_required: false,
        otherwise_relogin_days: None,
        tmp_sessions: None,
        future_auth_token: None,
        user: own(channel),
    };
    enums::auth::Authorization::from(signed_in).to_bytes()
}

fn algorithm() -> types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow {
    types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow {
        salt1: SALT_1.to_vec(),
        salt2: SALT_2.to_vec(),
        g: GENERATOR,
        p: bytes(PRIME),
    }
}

fn password() -> types::account::Password {
    types::account::Password {
        has_recovery: false,
        has_secure_values: false,
        has_password: true,
        current_algo: Some(algorithm().into()),
        srp_b: Some(bytes(PASSWORD_B)),
        srp_id: Some(SRP_ID),
        hint: Some("as always".to_owned()),
        email_unconfirmed_pattern: None,
        new_algo: algorithm().into(),
        new_secure_algo: enums::SecurePasswordKdfAlgo::Unknown,
        // The client's secret number; a real server gives some randomness to it.
        secure_random: vec![5; 256],
        pending_reset_date: None,
        login_email_pattern: None,
    }
}

fn check_password(world: &World, channel: &str, request: &functions::auth::CheckPassword) -> Given {
    let enums::InputCheckPasswordSrp::Srp(proof) = &request.password else {
        return Err((400, "PASSWORD_HASH_INVALID"));
    };
    if proof.srp_id != SRP_ID || proof.m1 != proof_of(&proof.a) {
        return Err((400, "PASSWORD_HASH_INVALID"));
    }
    Ok(signed_in(world, channel))
}

/// What whoever knows the password makes of their public number.
fn proof_of(a: &[u8]) -> Vec<u8> {
    let of_prime = Sha256::digest(bytes(PRIME));
    let of_generator = Sha256::digest(padded(&[3]));
    let mixed: Vec<u8> = of_prime.iter().zip(of_generator).map(|(p, g)| p ^ g).collect();
    Sha256::new()
        .chain_update(mixed)
        .chain_update(Sha256::digest(SALT_1))
        .chain_update(Sha256::digest(SALT_2))
        .chain_update(padded(a))
        .chain_update(bytes(PASSWORD_B))
        .chain_update(Sha256::digest(padded(&[1])))
        .finalize()
        .to_vec()
}

fn padded(number: &[u8]) -> Vec<u8> {
    let mut padded = vec![0; 256_usize.saturating_sub(number.len())];
    padded.extend_from_slice(number);
    padded
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).unwrap_or_default()
}
