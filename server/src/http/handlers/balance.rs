use http::HeaderMap;
use http::header::CACHE_CONTROL;

use super::super::call::Call;
use super::super::respond::{Answer, Tag};
use super::super::wire::BalanceBody;
use crate::domain::Error;

/// A customer's balance, now or at an instant.
pub async fn get(mut call: Call<'_>) -> Result<Answer, Error> {
    let (named, at) = (call.params.customer(), call.params.time("at"));
    std::mem::take(&mut call.params).finish()?;
    let customer = call.one_customer(named.as_ref())?;
    let view = call.env.get_balance(&customer, wants_fresh(call.headers)).await?;
    if let Some(at) = at {
        let past = Box::pin(call.env.get_balance_at(&customer, at)).await?;
        return Answer::ok(&BalanceBody::at(&view, &past.of(&view.customer), past.at));
    }
    Ok(Answer::ok(&BalanceBody::of(&view))?.tagged(Tag::Version(view.customer.version)))
}

/// Whether the client asks for what is true now: `Cache-Control: no-cache`.
fn wants_fresh(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn no_cache_is_found_among_other_directives() {
        let asked = |line: &str| {
            wants_fresh(&HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_str(line).unwrap())]))
        };
        assert!(asked("no-cache") && asked("max-age=0, No-Cache"));
        assert!(!asked("max-age=60") && !asked("x-no-cache") && !wants_fresh(&HeaderMap::new()));
    }
}
