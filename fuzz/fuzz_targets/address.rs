#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| nuncio_fuzz::read_addresses(text));
