#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sageapi_server::http::fuzz::batches(data));
