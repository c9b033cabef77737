//! One connection of a client: frames in and out, each call answered beside the others, and news pushed.

use std::sync::Arc;

use grammers_crypto::DequeBuffer;
use grammers_mtproto::transport::{Error, Full, Transport as _};
use grammers_tl_types::{Serializable as _, enums, types};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp::OwnedWriteHalf},
    sync::mpsc,
};

use super::{
    super::world::World,
    answers::{Answer, answer, read},
    envelope::{close, open, result},
    keys::{ID_BYTES, KEY_BYTES, account_of},
    stream,
};

/// The largest frame of a client, and some.
const FRAME_BYTES_MAX: usize = (1 << 20) + 1024;
/// Answers that wait to be written.
const ANSWERS_MAX: usize = 1_000;
/// The status of a key that nobody knows.
const UNKNOWN_KEY: i32 = -404;

struct Client {
    world: Arc<World>,
    transport: Full,
    writer: OwnedWriteHalf,
    account: Option<Known>,
    /// Of the messages of this server, which rise.
    number: i64,
    place: i32,
    /// Up to where the news of the stream was pushed; nothing is, before the account was asked something.
    told: Option<usize>,
}

#[derive(Clone)]
struct Known {
    id: [u8; ID_BYTES],
    key: [u8; KEY_BYTES],
    channel: String,
    session: i64,
}

pub(super) async fn attend(world: Arc<World>, socket: TcpStream) {
    let (mut reader, writer) = socket.into_split();
    let (answers, mut answered) = mpsc::channel(ANSWERS_MAX);
    let number = world.now().timestamp() << 32;
    let mut client = Client {
        world: Arc::clone(&world),
        transport: Full::new(),
        writer,
        account: None,
        number,
        place: 0,
        told: None,
    };
    let mut buffer = Vec::new();
    loop {
        // Before the look at the stream, so that nothing is missed between the two.
        let next = world.next_message();
        if client.push().await.is_none() {
            return;
        }
        tokio::select! {
            () = world.shutdown() => return,
            read = reader.read_buf(&mut buffer) => {
                if read.is_err() || matches!(read, Ok(0)) {
                    return;
                }
                if client.take(&mut buffer, &answers).await.is_none() {
                    return;
                }
            }
            answer = answered.recv() => {
                let Some((number, answer)) = answer else { return };
                let written = match answer {
                    Answer::Body(body) => client.write(&result(number, &body)).await,
                    // In the middle of a frame.
                    Answer::BreakOff => None,
                };
                if written.is_none() {
                    return;
                }
            }
            () = next => {}
        }
    }
}

impl Client {
    /// Takes whole frames off the buffer; `None` ends the connection.
    async fn take(
        &mut self,
        buffer: &mut Vec<u8>,
        answers: &mpsc::Sender<(i64, Answer)>,
    ) -> Option<()> {
        loop {
            let (packet, used) = match self.transport.unpack(buffer) {
                Ok(found) => (buffer[found.data_range].to_vec(), found.next_offset),
                Err(Error::MissingBytes) if buffer.len() < FRAME_BYTES_MAX => return Some(()),
                Err(_) => return None,
            };
            buffer.drain(..used);
            let id = *packet.first_chunk::<ID_BYTES>()?;
            let Some((channel, key)) = account_of(id) else {
                // It stands alone in its frame, without a checksum.
                self.writer.write_all(&UNKNOWN_KEY.to_le_bytes()).await.ok()?;
                return None;
            };
            let opened = open(&packet, &key)?;
            let account = Known { id, key, channel, session: opened.session };
            self.account = Some(account.clone());
            for (number, body) in opened.asked {
                if let Some(pong) = read::<grammers_tl_types::functions::PingDelayDisconnect>(&body)
                {
                    let pong = types::Pong { msg_id: number, ping_id: pong.ping_id };
                    self.write(&enums::Pong::from(pong).to_bytes()).await?;
                    continue;
                }
                let (world, answers) = (Arc::clone(&self.world), answers.clone());
                if self.told.is_none() && stream::is_receiving(&body) {
                    self.told = Some(world.with_stream(&account.channel, |stream| stream.end()));
                }
                let channel = account.channel.clone();
                self.world.tracker().spawn(async move {
                    let answer = tokio::select! {
                        answer = answer(&world, &channel, &body) => answer,
                        () = world.shutdown() => return,
                    };
                    // Whoever hung up wants no answer.
                    drop(answers.send((number, answer)).await);
                });
            }
        }
    }

    /// What the stream has got since.
    async fn push(&mut self) -> Option<()> {
        let (Some(told), Some(Known { channel, .. })) = (self.told, &self.account) else {
            return Some(());
        };
        let channel = channel.clone();
        let (since, end) = self.world.with_stream(&channel, |stream| {
            (stream.page(i64::try_from(told).unwrap_or(i64::MAX), usize::MAX), stream.end())
        });
        self.told = Some(end);
        for entry in since.into_iter().flat_map(|page| page.entries) {
            let news = stream::news(&self.world, &channel, &entry);
            self.write(&news.to_bytes()).await?;
        }
        Some(())
    }

    async fn write(&mut self, body: &[u8]) -> Option<()> {
        let Known { id, key, session, .. } = self.account.as_ref()?;
        // A message of a server has an odd number.
        let number = self.number + i64::from(self.place) * 4 + 1;
        let packet = close(*id, key, *session, (number, self.place), body);
        self.place += 1;
        let mut frame = DequeBuffer::with_capacity(packet.len() + 16, 16);
        frame.extend(packet);
        self.transport.pack(&mut frame);
        self.writer.write_all(frame.as_ref()).await.ok()
    }
}
