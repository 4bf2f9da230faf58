//! Headers that are read in place, and those that are not.

use super::*;

#[test]
fn what_is_not_plain_is_left_to_the_structured_field_library() {
    let many: Vec<_> = (0..33).map(|n| format!("\"x-{n}\"")).collect();
    let long = "k".repeat(1024);
    for lines in [
        vec!["s=(\"@path\");created=1", "t=(\"@path\");created=1"],
        vec!["s=(\"@path\");created=1, t=(\"@path\")"],
        vec![&format!("s=({});created=1", many.join(" "))],
        vec![&format!("s=(\"@path\");keyid=\"{long}\"")],
        vec!["s=(\"@path\" );created=1"],
        vec!["s=(\"@path\"); created=1"],
        vec!["s=(\"@path\");created=01"],
        vec!["s=(\"@path\");created=1.0"],
        vec!["s=(\"@path\");created=1;created=2"],
        vec!["s=(\"@path\" \"@path\");created=1"],
        vec!["s=(\"@query-param\";name=\"a\");created=1"],
        vec!["s=(\"@path\");keyid=\"a\\\"b\""],
        vec!["s=(\"@path\");tag=\"other\""],
        vec!["s=(\"@path\");alg=\"none\""],
        vec!["S=(\"@path\")"],
        vec!["s=()"],
        vec!["s"],
        vec![],
    ] {
        let mut headers = HeaderMap::new();
        for line in &lines {
            headers.append(SIGNATURE_INPUT, HeaderValue::from_str(line).unwrap());
        }
        assert_eq!(plain::announced(&headers), None, "{lines:?}");
    }
    let bytes = "A".repeat(43);
    let plain = format!("s=:{bytes}=:");
    for (lines, is_plain) in [
        (vec![plain.clone()], true),
        (vec![plain.clone(), plain.clone()], false),
        (vec![format!("{plain}, t=:{bytes}=:")], false),
        (vec![format!("t=:{bytes}=:")], false),
        (vec![format!("s=:{bytes}A:")], true),
        (vec![format!("s=:{}B=:", &bytes[1..])], false),
        (vec![format!("s=:{bytes}=:;a")], false),
        (vec![format!("s=:{bytes}:")], false),
        (vec![format!("s=\"{bytes}=\"")], false),
    ] {
        let mut headers = HeaderMap::new();
        for line in &lines {
            headers.append(SIGNATURE, HeaderValue::from_str(line).unwrap());
        }
        assert_eq!(plain::signature(&headers, "s").is_some(), is_plain, "{lines:?}");
    }
}
