use crate::model::{Entity, MirrorRow, TextId};

/// A program that a model is offered under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The row that says so.
    pub row: TextId,
    /// The program. Only of a row that cannot be read it may be unknown.
    pub ppid: Option<String>,
    /// The name by which the model is called there.
    pub model: Option<String>,
    /// Whether the row's newest version cannot be read.
    pub unreadable: bool,
    published: bool,
    standard: bool,
    enabled: Option<String>,
    expired: Option<String>,
}

/// The programs that a model is offered under: what is published first, of that the default first, then in the order of
/// the rows. So who may see all of them pays by the same one as who sees what is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers(Vec<Offer>);

impl Offers {
    /// Of the model's rows.
    pub fn of(rows: &[MirrorRow]) -> Self {
        let offer = |row: &MirrorRow| {
            let cell = |name| row.text(Entity::Llmage, name).map(str::to_owned);
            let ppid = cell("ppid");
            (ppid.is_some() || row.unreadable).then(|| Offer {
                row: row.id.clone(),
                ppid,
                unreadable: row.unreadable,
                model: cell("model").filter(|model| !model.is_empty()),
                published: cell("status").as_deref() == Some("published"),
                standard: cell("isdefaultcatelog").as_deref() == Some("1"),
                enabled: cell("enabled_date"),
                expired: cell("expired_date"),
            })
        };
        let mut offers: Vec<_> = rows.iter().filter_map(offer).collect();
        // Stable, so that equal ones stay as they are.
        offers.sort_by_key(|offer| (!offer.published, !offer.standard));
        Self(offers)
    }

    /// Those of a day.
    pub fn on(&self, day: &str, published_only: bool) -> impl Iterator<Item = &Offer> {
        self.0.iter().filter(move |offer| {
            let begun = offer.enabled.as_deref().is_none_or(|enabled| enabled <= day);
            let ended = offer.expired.as_deref().is_some_and(|expired| expired <= day);
            begun && !ended && (offer.published || !published_only)
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The model's offer under a program on a day.
    pub fn under(&self, ppid: &str, day: &str, published_only: bool) -> Option<&Offer> {
        self.on(day, published_only).find(|offer| offer.ppid.as_deref() == Some(ppid))
    }

    /// Bytes that they take, roughly.
    pub fn size(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = |offer: &Offer| length(&offer.ppid) + length(&offer.model) + 100;
        self.0.iter().map(|offer| size_of::<Offer>() + texts(offer)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cell, TextId, Timestamp};

    fn row(cells: &[(&str, &str)]) -> MirrorRow {
        let cell = |name| {
            cells.iter().find(|(n, _)| *n == name).map_or(Cell::Null, |(_, t)| Cell::Text((*t).into()))
        };
        MirrorRow {
            id: TextId::parse("r").unwrap(),
            created_at: Timestamp::default(),
            version: 1,
            cached_at: Timestamp::default(),
            cells: Entity::Llmage.columns().iter().map(|column| cell(column.name)).collect(),
            unreadable: false,
        }
    }

    #[test]
    fn what_is_published_comes_first_then_the_default_and_a_row_without_a_program_offers_nothing() {
        let offers = Offers::of(&[
            row(&[("model", "m")]),
            row(&[("ppid", "a"), ("status", "published"), ("model", "")]),
            row(&[("ppid", "b"), ("isdefaultcatelog", "0")]),
            row(&[("ppid", "c"), ("isdefaultcatelog", "1"), ("status", "draft"), ("model", "m")]),
        ]);
        let on = |published| {
            offers.on("2026-01-01", published).map(|o| o.ppid.as_deref().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((on(false), on(true)), (vec!["a", "c", "b"], vec!["a"]));
        let name = |ppid| offers.under(ppid, "2026-01-01", false).and_then(|offer| offer.model.clone());
        assert_eq!((name("c").as_deref(), name("a")), (Some("m"), None));
        assert_eq!(offers.under("c", "2026-01-01", true), None, "it is a draft");
    }

    #[test]
    fn a_model_is_called_what_it_is_called_on_that_day() {
        let named = |name, from, to| {
            row(&[("ppid", "p"), ("model", name), ("enabled_date", from), ("expired_date", to)])
        };
        let offers =
            Offers::of(&[named("old", "2025-01-01", "2026-01-01"), named("new", "2026-01-01", "2027-01-01")]);
        let name = |day| offers.under("p", day, false).and_then(|offer| offer.model.clone());
        assert_eq!(name("2025-12-31").as_deref(), Some("old"));
        assert_eq!(name("2026-01-01").as_deref(), Some("new"));
        assert_eq!(name("2027-01-01"), None);
    }

    #[test]
    fn an_offer_begins_and_ends() {
        let offers = Offers::of(&[row(&[
            ("ppid", "a"),
            ("enabled_date", "2026-01-02"),
            ("expired_date", "2026-01-04"),
        ])]);
        let days = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"];
        assert_eq!(days.map(|day| offers.on(day, false).count()), [0, 1, 1, 0]);
    }
}
