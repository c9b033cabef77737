//! The envelope of MTProto 2.0 as a server opens and closes it, and the messages inside.
//!
//! <https://core.telegram.org/mtproto/description>; the library has the client's direction only.

use std::io::Read as _;

use flate2::read::GzDecoder;
use grammers_crypto::aes::{ige_decrypt, ige_encrypt};
use grammers_tl_types::{Cursor, Deserializable as _, Identifiable, Serializable as _, types};
use sha2::{Digest as _, Sha256};

use super::keys::{ID_BYTES, KEY_BYTES};

const MESSAGE_KEY_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;
/// Salt, session, number, sequence and length.
const HEAD_BYTES: usize = 32;
const CONTAINER: u32 = 0x73f1_f8dc;
const GZIP_PACKED: u32 = 0x3072_cfa1;
const RPC_RESULT: u32 = 0xf35c_6d01;
/// A client's largest message; a bomb is larger.
const UNPACKED_BYTES_MAX: u64 = 1 << 20;
/// Containers hold messages, and no containers.
const DEPTH_MAX: u8 = 2;

/// From whom an envelope comes decides which part of the key closes it.
#[derive(Clone, Copy)]
enum Side {
    Client = 0,
    Server = 8,
}

/// What a client asks in one envelope.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) session: i64,
    /// Each with its number, by which it is answered.
    pub(super) asked: Vec<(i64, Vec<u8>)>,
}

/// Opens an envelope of a client; `None` where it was closed with another key, or is none.
pub(super) fn open(packet: &[u8], key: &[u8; KEY_BYTES]) -> Option<Opened> {
    let (message_key, text) = packet.get(ID_BYTES..)?.split_first_chunk::<MESSAGE_KEY_BYTES>()?;
    (text.len() >= HEAD_BYTES && text.len().is_multiple_of(BLOCK_BYTES)).then_some(())?;
    let mut text = text.to_vec();
    let (aes_key, iv) = cipher(key, message_key, Side::Client);
    ige_decrypt(&mut text, &aes_key, &iv);
    (message_key_of(key, &text, Side::Client) == *message_key).then_some(())?;
    let mut opened = Opened { session: integer(text.get(8..16)?)?, asked: Vec::new() };
    let length = usize::try_from(i32::from_le_bytes(text.get(28..32)?.try_into().ok()?)).ok()?;
    let body = text.get(HEAD_BYTES..HEAD_BYTES.checked_add(length)?)?;
    unpack(integer(text.get(16..24)?)?, body, DEPTH_MAX, &mut opened.asked)?;
    Some(opened)
}

fn integer(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_le_bytes(bytes.try_into().ok()?))
}

fn unpack(number: i64, body: &[u8], depth: u8, into: &mut Vec<(i64, Vec<u8>)>) -> Option<()> {
    let (id, rest) = body.split_first_chunk::<4>()?;
    match u32::from_le_bytes(*id) {
        CONTAINER if depth > 0 => {
            let mut cursor = Cursor::from_slice(rest);
            let count = i32::deserialize(&mut cursor).ok()?;
            for _ in 0..count {
                let number = i64::deserialize(&mut cursor).ok()?;
                let _sequence = i32::deserialize(&mut cursor).ok()?;
                let length = usize::try_from(i32::deserialize(&mut cursor).ok()?).ok()?;
                let from = cursor.pos();
                let message = rest.get(from..from.checked_add(length)?)?;
                unpack(number, message, depth - 1, into)?;
                cursor = Cursor::from_slice(rest);
                cursor.read_exact(&mut vec![0; from + length]).ok()?;
            }
        }
        GZIP_PACKED => {
            let packed = Vec::<u8>::from_bytes(rest).ok()?;
            let mut unpacked = Vec::new();
            let mut reader = GzDecoder::new(packed.as_slice()).take(UNPACKED_BYTES_MAX);
            reader.read_to_end(&mut unpacked).ok()?;
            into.push((number, unpacked));
        }
        types::MsgsAck::CONSTRUCTOR_ID => {}
        _ => into.push((number, body.to_vec())),
    }
    Some(())
}

/// The answer to the message with this number.
pub(super) fn result(number: i64, answer: &[u8]) -> Vec<u8> {
    let mut body = RPC_RESULT.to_bytes();
    number.serialize(&mut body);
    body.extend_from_slice(answer);
    body
}

/// Closes an envelope of the server; `place` is how many it has sent in this session before.
pub(super) fn close(
    id: [u8; ID_BYTES],
    key: &[u8; KEY_BYTES],
    session: i64,
    (number, place): (i64, i32),
    body: &[u8],
) -> Vec<u8> {
    let mut text = 0_i64.to_bytes();
    session.serialize(&mut text);
    number.serialize(&mut text);
    (place * 2 + 1).serialize(&mut text);
    i32::try_from(body.len()).unwrap_or(i32::MAX).serialize(&mut text);
    text.extend_from_slice(body);
    // 12 bytes at least. They are nobody's secret here.
    let padding = BLOCK_BYTES * 2 - text.len() % BLOCK_BYTES;
    text.resize(text.len() + padding, 0);
    let message_key = message_key_of(key, &text, Side::Server);
    let (aes_key, iv) = cipher(key, &message_key, Side::Server);
    ige_encrypt(&mut text, &aes_key, &iv);
    [&id[..], &message_key, &text].concat()
}

fn message_key_of(key: &[u8; KEY_BYTES], text: &[u8], side: Side) -> [u8; MESSAGE_KEY_BYTES] {
    let x = side as usize;
    let digest = Sha256::new_with_prefix(&key[88 + x..120 + x]).chain_update(text).finalize();
    std::array::from_fn(|place| digest[8 + place])
}

fn cipher(
    key: &[u8; KEY_BYTES],
    message_key: &[u8; MESSAGE_KEY_BYTES],
    side: Side,
) -> ([u8; 32], [u8; 32]) {
    let x = side as usize;
    let a = Sha256::new_with_prefix(message_key).chain_update(&key[x..36 + x]).finalize();
    let b = Sha256::new_with_prefix(&key[40 + x..76 + x]).chain_update(message_key).finalize();
    let woven = |outer: &[u8], inner: &[u8]| {
        std::array::from_fn(
            |place| if (8..24).contains(&place) { inner[place] } else { outer[place] },
        )
    };
    (woven(&a, &b), woven(&b, &a))
}
