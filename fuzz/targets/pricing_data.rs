#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sageapi_fuzz::pricing_data(data));
