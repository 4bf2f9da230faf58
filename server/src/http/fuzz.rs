//! What the fuzz targets of fuzz/ and the replay of their corpora call: each panics when a property does not hold.

use serde_json::value::RawValue;

use super::body::Object;
use super::endpoints::{BatchForm, MAX_ITEMS, batch_items, fingerprint};

/// Batches: whatever comes as JSON array or NDJSON is read or refused, item by item. What is JSON is read the same in the
/// other form of a batch, with other white space, and with its members in another order.
pub fn batches(data: &[u8]) {
    for form in [BatchForm::Array, BatchForm::Lines] {
        let Ok(items) = batch_items(data, form) else { continue };
        assert!((1..=MAX_ITEMS).contains(&items.len()));
        let json: Vec<&str> = items.iter().copied().filter_map(as_json).collect();
        assert!(
            form == BatchForm::Lines || json == items,
            "{items:?} are of an array, {json:?} of them JSON"
        );
        for item in items.iter().filter(|item| as_json(item).is_none()) {
            assert_eq!(reading(item), (false, None), "{item}");
        }
        if !json.is_empty() {
            are_read_the_same_however_they_are_written(&json);
        }
    }
}

fn are_read_the_same_however_they_are_written(items: &[&str]) {
    let readings: Vec<_> = items.iter().map(|item| reading(item)).collect();
    let written = |write: fn(&[&str]) -> String| -> Vec<String> {
        items.iter().map(|item| write(&tokens(item))).collect()
    };
    let (compact, spaced, turned) = (written(compact), written(spaced), written(turned));
    // A line cannot hold white space that is a line's end.
    let batches = [
        (BatchForm::Array, format!("[{}]", compact.join(","))),
        (BatchForm::Array, format!(" [\n{} ]\r\n", spaced.join(" ,\r\n\t"))),
        (BatchForm::Array, format!("[{}]", turned.join(", "))),
        (BatchForm::Lines, compact.join("\n")),
        (BatchForm::Lines, format!("\n{}\r\n", turned.join("\r\n \r\n"))),
    ];
    for (form, batch) in batches {
        let again = batch_items(batch.as_bytes(), form).unwrap_or_default();
        let again: Vec<_> = again.into_iter().map(reading).collect();
        assert_eq!(again, readings, "{items:?} as {form:?}: {batch}");
    }
}

/// Whether an item has the form of a body, and what the booking in it is recognised by if it can be read.
fn reading(item: &str) -> (bool, Option<[u8; 32]>) {
    (Object::parse(item.as_bytes()).is_ok(), fingerprint(item.as_bytes()))
}

/// The text of a JSON value without the white space around it; `None` for anything else.
fn as_json(text: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
}

/// The tokens of a JSON value, without the white space between them.
fn tokens(json: &str) -> Vec<&str> {
    let (mut tokens, mut rest) = (Vec::new(), json.trim_ascii_start());
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => text_length(rest),
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            _ => rest.find(|c: char| c.is_ascii_whitespace() || "{}[],:\"".contains(c)).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_ascii_start();
    }
    tokens
}

/// How long the JSON string is that begins here, its quotes included.
fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    let ends = |byte: u8| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    };
    rest.bytes().skip(1).position(ends).map_or(rest.len(), |at| at + 2)
}

fn compact(tokens: &[&str]) -> String {
    tokens.concat()
}

fn spaced(tokens: &[&str]) -> String {
    tokens.join(" \n\t")
}

/// An object with its members the other way round, and theirs; anything else as it is.
fn turned(tokens: &[&str]) -> String {
    let ["{", inner @ .., "}"] = tokens else { return compact(tokens) };
    let mut depth = 0;
    let between = |token: &&str| {
        match *token {
            "{" | "[" => depth += 1,
            "}" | "]" => depth -= 1,
            _ => {}
        }
        depth == 0 && *token == ","
    };
    let member = |member: &[&str]| match member {
        [name, ":", value @ ..] => format!("{name}:{}", turned(value)),
        _ => compact(member),
    };
    let mut members: Vec<_> = inner.split(between).map(member).collect();
    members.reverse();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str =
        "{ \"a\" : [1, {\"b\":-2.5e3,\"c\":null}] ,\r\n\"d\":\"}, \\\"\\\\\",\t\"e\":{\"f\":true,\"g\":{}} }";

    #[test]
    fn an_item_is_the_same_in_other_spellings() {
        let tokens = tokens(ITEM);
        assert_eq!(
            compact(&tokens),
            r#"{"a":[1,{"b":-2.5e3,"c":null}],"d":"}, \"\\","e":{"f":true,"g":{}}}"#
        );
        assert_eq!(turned(&tokens), r#"{"e":{"g":{},"f":true},"d":"}, \"\\","a":[1,{"b":-2.5e3,"c":null}]}"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        for other in [compact(&tokens), spaced(&tokens), turned(&tokens)] {
            assert_eq!(value(&other), value(ITEM), "{other}");
        }
        assert!(spaced(&tokens).contains('\n') && !compact(&tokens).contains('\n'));
    }

    #[test]
    fn what_is_no_object_is_left_as_it_is() {
        for json in ["1", "[1,{\"a\":2,\"b\":3}]", "\"{\"", "{}", "null"] {
            assert_eq!(turned(&tokens(json)), json);
        }
    }
}
