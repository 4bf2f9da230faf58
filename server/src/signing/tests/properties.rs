//! What holds for any request and any header bytes.

use proptest::prelude::*;

use super::*;

/// Parameters of every structured type, with and without values.
const EXTRA_PARAMETERS: &str = concat!(
    r"[a-z*][a-z0-9_.*-]{0,6}|flag=\?[01]|d=-?[0-9]{1,9}\.[0-9]{1,3}",
    r#"|t=[a-z*]+/x|b=:aGk=:|a=@7|s=%"f%c3%bc""#
);

/// Ours, nearly ours, and others.
const PLAIN_PARAMETER: &str = concat!(
    r#"(created|expires|tag)=(-?[0-9]{0,3}|[0-9]{14,17}|"[ -~]{0,3}")|tag="sageapi"|alg="hmac-sha256"|"#,
    r#"(nonce|keyid|alg)="([a-z]{0,4}|[ -~]{0,3})"|[a-z]{1,3}(=[0-9])?"#
);

proptest! {
    #[test]
    fn whatever_is_signed_verifies_until_a_byte_changes(
        write in any::<bool>(),
        path in "/[!-~&&[^?#]]{0,40}",
        query in proptest::option::of("[!-~&&[^#]]{0,40}"),
        header in "[ -~\t]{0,30}",
        body in proptest::collection::vec(any::<u8>(), 0..60),
        flip in any::<proptest::sample::Index>(),
    ) {
        let method = if write { Method::POST } else { Method::GET };
        let request = Request { method, path, query, headers: HeaderMap::new(), body }.header("x-any", &header);
        let signed = sign(&request, write.then_some(NONCE), &["x-any"]).unwrap();
        prop_assert_eq!(signed.check(), Ok(()));
        prop_assert!(plain::announced(&signed.headers).is_some(), "what we make is read in place");
        prop_assert!(plain::signature(&signed.headers, sign::LABEL).is_some());

        let mut changed = signed.clone();
        let at = flip.index(changed.path.len());
        let other = if changed.path.as_bytes()[at] == b'z' { "y" } else { "z" };
        changed.path.replace_range(at..=at, other);
        prop_assert_eq!(changed.check(), Err(AuthError::Failed));
        if !signed.body.is_empty() {
            let mut changed = signed.clone();
            let at = flip.index(changed.body.len());
            changed.body[at] ^= 0x20;
            prop_assert_eq!(changed.check(), Err(AuthError::Failed));
        }
    }

    #[test]
    fn our_serialization_is_that_of_the_structured_field_library(
        ids in proptest::collection::hash_set("@method|@path|@query|x-[a-z]{1,8}", 0..6),
        gap in " {1,3}",
        text in "[ -~]{0,12}",
        number in -999_999_999_999_999i64..=999_999_999_999_999,
        extra in EXTRA_PARAMETERS,
    ) {
        let mut request = get("/");
        let ids: Vec<_> = ids.into_iter().map(|id| {
            if id.starts_with('x') { request = request.clone().header(&id, "v"); }
            format!("\"{id}\"")
        }).collect();
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        let input = format!(
            "sig1=({});created=1; keyid=\"{escaped}\";zz={number};  {extra}", ids.join(&gap)
        );
        let request = request.header(SIGNATURE_INPUT, &input).header(SIGNATURE, "sig1=:AAAA:");
        let dictionary: sfv::Dictionary = sfv::Parser::new(&input).parse().unwrap();
        let strict = sfv::FieldType::serialize(&dictionary).unwrap();
        match ParsedSignature::parse(&request.headers) {
            Ok(parsed) => {
                let parsed = parsed.unwrap();
                prop_assert_eq!(format!("sig1={}", parsed.params()), strict);
                prop_assert_eq!(parsed.key_id(), text);
            }
            Err(error) => prop_assert!(
                ["created", "keyid", "zz", "nonce", "alg", "tag"].contains(&&*extra), "{error}: {input}"
            ),
        }
    }

    #[test]
    fn what_is_read_in_place_is_what_the_structured_field_library_reads(
        ids in proptest::collection::vec("@method|@path|@query|@nothing|x-[a-z]{1,2}|X|[ -~]{0,3}", 0..5),
        parameters in proptest::collection::vec(PLAIN_PARAMETER, 0..5),
        spoilt in proptest::option::of((any::<proptest::sample::Index>(), "[ -~\t]{0,2}")),
        signature in "(sig1|s2)=:([A-Za-z0-9+/]{43}=|[A-Za-z0-9+/=]{0,46}):",
    ) {
        let ids: Vec<_> = ids.iter().map(|id| format!("\"{id}\"")).collect();
        let mut input = format!("sig1=({})", ids.join(" "));
        for parameter in parameters {
            input = format!("{input};{parameter}");
        }
        if let Some((index, text)) = spoilt {
            let at = index.index(input.len());
            input.replace_range(at..=at, &text);
        }
        let request = get("/").header(SIGNATURE_INPUT, &input).header(SIGNATURE, &signature);
        if let Some(announced) = plain::announced(&request.headers) {
            prop_assert_eq!(announced, input::choose(&request.headers).unwrap());
        }
        if let Some(bytes) = plain::signature(&request.headers, "sig1") {
            let [parsed] = fields::byte_sequences(&request.headers, SIGNATURE, ["sig1"]).unwrap();
            prop_assert_eq!(Some(bytes), parsed);
        }
    }

    #[test]
    fn arbitrary_header_bytes_never_panic(
        input in proptest::collection::vec(any::<u8>(), 0..200),
        shaped in "[a-z0-9=()\"@;:,. \\\\?%*-]{0,200}",
        signature in "([a-z0-9]{1,4}=)?:?[A-Za-z0-9+/=]{0,50}:?",
    ) {
        for bytes in [input.as_slice(), shaped.as_bytes(), format!("sig1={shaped}").as_bytes()] {
            let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
            let mut request = get("/a?b").header(SIGNATURE, &signature);
            request.headers.insert(SIGNATURE_INPUT, value.clone());
            for name in [CONTENT_DIGEST, webhook::ID, webhook::TIMESTAMP, webhook::SIGNATURE] {
                request.headers.insert(name, value.clone());
            }
            prop_assert!(request.check().is_err());
            let _ = check_content_digest(&request.headers, b"");
            prop_assert!(webhook::verify(&[], &request.headers, b"", 0, 300).is_err());
        }
    }
}
