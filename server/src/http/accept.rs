//! Content negotiation: which form of an answer the client wants (RFC 9110 section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

/// The form that `Accept` prefers among `offers`, each with a media type such as `text/csv`; the earlier of two with
/// equal weight, the first if there is no such header. `None` if it accepts none of them.
pub fn choose<T: Copy>(headers: &HeaderMap, offers: &[(&str, T)]) -> Option<T> {
    let lines: Vec<_> =
        headers.get_all(ACCEPT).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    if lines.iter().all(|line| line.trim().is_empty()) {
        return offers.first().map(|(_, value)| *value);
    }
    let mut best: Option<(u16, T)> = None;
    for (name, value) in offers {
        let weight = weight_of(name, lines.iter().flat_map(|line| line.split(',')));
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, *value));
        }
    }
    best.map(|(_, value)| value)
}

/// The weight, in thousandths, that the most specific matching range gives to a media type.
fn weight_of<'a>(name: &str, ranges: impl Iterator<Item = &'a str>) -> u16 {
    let (mut closest, mut weight) = (0, 0);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let pattern = parts.next().unwrap_or_default();
        let specific = closeness(pattern, name);
        if specific > closest {
            closest = specific;
            weight = parts.find_map(quality).unwrap_or(1000);
        }
    }
    weight
}

/// 3 for the type itself, 2 for `type/*`, 1 for `*/*`, 0 for no match.
fn closeness(pattern: &str, name: &str) -> u8 {
    if pattern.eq_ignore_ascii_case(name) {
        return 3;
    }
    match pattern.split_once('/') {
        Some(("*", "*")) => 1,
        Some((main, "*")) if name.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(main)) => 2,
        _ => 0,
    }
}

/// `q=0.5` as 500. Anything but a number counts as 0.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within 0 to 1000")]
    let thousandths = (value.clamp(0.0, 1.0) * 1000.0).round() as u16;
    Some(thousandths)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chosen(lines: &[&str]) -> Option<char> {
        let headers = lines.iter().map(|line| (ACCEPT, HeaderValue::from_str(line).unwrap()));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        choose(&map, &[("application/x-ndjson", 'n'), ("text/csv", 'c')])
    }

    #[test]
    fn the_client_gets_the_form_it_prefers() {
        for (lines, wanted) in [
            (&[][..], Some('n')),
            (&[""], Some('n')),
            (&["*/*"], Some('n')),
            (&["text/csv"], Some('c')),
            (&["Text/CSV; charset=utf-8"], Some('c')),
            (&["text/*"], Some('c')),
            (&["text/csv, application/x-ndjson"], Some('n')),
            (&["text/csv, application/x-ndjson;q=0.9"], Some('c')),
            (&["text/csv;q=0.2, */*;q=0.1"], Some('c')),
            (&["text/html, */*;q=0.8"], Some('n')),
            (&["*/*, application/x-ndjson;q=0"], Some('c')),
            (&["text/html", "text/csv"], Some('c')),
            (&["application/json"], None),
            (&["text/csv;q=0"], None),
            (&["text/csv;q=x"], None),
            (&["text/csvx, csv"], None),
        ] {
            assert_eq!(chosen(lines), wanted, "{lines:?}");
        }
    }
}
