use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderName, PRAGMA};

use super::super::call::Call;
use super::super::respond::{Answer, Tag};
use super::super::wire::BalanceBody;
use crate::domain::Error;

/// A customer's balance, now or at an instant.
pub async fn get(mut call: Call<'_>) -> Result<Answer, Error> {
    let (named, at) = (call.params.customer(), call.params.time("at"));
    std::mem::take(&mut call.params).finish()?;
    let customer = call.one_customer(named.as_ref())?;
    let view = call.env.balances().get(&customer, wants_fresh(call.headers)).await?;
    if let Some(at) = at {
        let past = Box::pin(call.env.get_balance_at(&customer, at)).await?;
        return Answer::ok(&BalanceBody::at(&view, &past.of(&view.customer), past.at));
    }
    Ok(Answer::ok(&BalanceBody::of(&view))?.tagged(Tag::Version(view.customer.version)))
}

/// Whether the client asks for what is true now: `Cache-Control` with `no-cache`, `no-store` or `max-age=0`
/// (RFC 9111 section 5.2.1), or without any such header `Pragma: no-cache` (section 5.4).
fn wants_fresh(headers: &HeaderMap) -> bool {
    let asks = |name: HeaderName, fresh: fn(&str, &str) -> bool| {
        let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|directive| {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            fresh(&name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'))
        })
    };
    if headers.contains_key(CACHE_CONTROL) {
        return asks(CACHE_CONTROL, |name, value| match name {
            "no-cache" | "no-store" => true,
            "max-age" => value.parse() == Ok(0_u64),
            _ => false,
        });
    }
    asks(PRAGMA, |name, _| name == "no-cache")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_directive_that_forbids_a_stored_answer_is_found_among_others() {
        let line = |line: &str| HeaderValue::from_str(line).unwrap();
        let asked = |given: &str| wants_fresh(&HeaderMap::from_iter([(CACHE_CONTROL, line(given))]));
        for fresh in [
            "no-cache",
            "No-Cache",
            "no-store",
            "max-age=0",
            "MAX-AGE=00",
            "max-age = \"0\"",
            "max-stale=5, max-age=0",
            "no-transform,no-store",
            "no-cache=\"x\"",
        ] {
            assert!(asked(fresh), "{fresh}");
        }
        for any in
            ["", "max-age=60", "max-age=01", "max-age", "max-age=", "max-age=-0", "x-no-cache", "min-fresh=0"]
        {
            assert!(!asked(any), "{any}");
        }
        assert!(!wants_fresh(&HeaderMap::new()));
    }

    #[test]
    fn pragma_counts_where_cache_control_says_nothing() {
        let mut headers = HeaderMap::from_iter([(PRAGMA, HeaderValue::from_static("x=1, No-Cache"))]);
        assert!(wants_fresh(&headers));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        assert!(!wants_fresh(&headers));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
        assert!(wants_fresh(&headers));
    }
}
