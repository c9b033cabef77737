#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nuncio::domain::kind::ChannelKind;
use nuncio_fuzz::Reader;

static READER: LazyLock<Reader> = LazyLock::new(|| {
    Reader::of(ChannelKind::WhatsappWeb, &[("gateway", "wuzapi"), ("session", "default")])
});

fuzz_target!(|body: &[u8]| READER.read(body));
