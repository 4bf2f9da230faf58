//! Pages of lists.

/// The most rows of a page.
pub const MAX_LIMIT: u16 = 1000;
/// The rows of a page that does not say how many.
pub const DEFAULT_LIMIT: u16 = 100;
/// Where counting stops.
pub const TOTAL_CAP: i64 = 10_000;

/// Which page of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows at most: 1 to [`MAX_LIMIT`]; other values are clamped.
    pub limit: u16,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Whether to count all rows of the list too.
    pub count: bool,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, ascending: false, cursor: None, count: false }
    }
}

impl PageRequest {
    fn rows(&self) -> u16 {
        self.limit.clamp(1, MAX_LIMIT)
    }

    /// How many rows to read: one more than the page has tells whether another page follows.
    pub(super) fn read_limit(&self) -> i64 {
        i64::from(self.rows()) + 1
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<T> {
    /// Its rows, in the order asked for.
    pub rows: Vec<T>,
    /// Names the next page; `None` at the end.
    pub next_cursor: Option<String>,
    /// Rows of the whole list, counted up to [`TOTAL_CAP`]; `None` unless asked for.
    pub total: Option<i64>,
}

impl<T> ListPage<T> {
    /// Makes a page of rows that were read with [`PageRequest::read_limit`]; `cursor` names the page
    /// after a row.
    pub(super) fn cut(
        mut rows: Vec<T>,
        total: Option<i64>,
        request: &PageRequest,
        cursor: impl FnOnce(&T) -> String,
    ) -> Self {
        let limit = usize::from(request.rows());
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = if more { rows.last().map(cursor) } else { None };
        Self { rows, next_cursor, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(rows: u32, limit: u16) -> ListPage<u32> {
        let request = PageRequest { limit, ..PageRequest::default() };
        ListPage::cut((1..=rows).collect(), None, &request, u32::to_string)
    }

    #[test]
    fn a_page_names_the_next_one_only_if_there_is_one() {
        assert_eq!(cut(3, 2), ListPage { rows: vec![1, 2], next_cursor: Some("2".to_owned()), total: None });
        assert_eq!(cut(2, 2), ListPage { rows: vec![1, 2], next_cursor: None, total: None });
        assert_eq!(cut(0, 2), ListPage { rows: vec![], next_cursor: None, total: None });
    }

    #[test]
    fn a_limit_out_of_range_is_clamped() {
        for (limit, read) in [(0, 2), (1, 2), (1000, 1001), (u16::MAX, 1001)] {
            assert_eq!(PageRequest { limit, ..PageRequest::default() }.read_limit(), read, "{limit}");
        }
        assert_eq!(cut(2, 0).rows, [1]);
    }
}
