#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nuncio::domain::kind::ChannelKind;
use nuncio_fuzz::Reader;

static READER: LazyLock<Reader> = LazyLock::new(|| {
    Reader::of(ChannelKind::Avito, &[("userId", "94235311"), ("receive", "webhook")])
});

fuzz_target!(|body: &[u8]| READER.read(body));
