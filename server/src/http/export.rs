//! Exports: rows as CSV or NDJSON, one per line, page after page. A page is read once the client has taken the one
//! before.

mod csv;

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;

use super::accept;
use super::call::Call;
use super::respond::Answer;
use super::{AnswerBody, BrokenOff};
use crate::domain::Error;

pub use csv::Line;

/// What is exported, page by page.
pub trait Exported: Send + 'static {
    /// What a line shows.
    type Row: Send;

    /// The columns of CSV, which are the members of the JSON.
    const COLUMNS: &'static str;

    /// The next rows; none at the end.
    fn next_page(&mut self) -> impl Future<Output = Result<Vec<Self::Row>, Error>> + Send;

    /// Writes a row as JSON.
    fn json(row: &Self::Row, out: &mut Vec<u8>) -> Result<(), serde_json::Error>;

    /// Writes a row as a line of CSV.
    fn csv(row: &Self::Row, out: &mut Vec<u8>);
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// One JSON object per line.
    Ndjson,
    /// RFC 4180 with a line of names.
    Csv,
}

impl ExportForm {
    /// Every form with its media type, the default first.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("application/x-ndjson", Self::Ndjson), ("text/csv", Self::Csv)];

    /// Writes the header, if there is one.
    pub fn begin<E: Exported>(self, out: &mut Vec<u8>) {
        if self == Self::Csv {
            out.extend_from_slice(E::COLUMNS.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the line of a row.
    pub fn row<E: Exported>(self, row: &E::Row, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Ndjson => {
                E::json(row, out).map_err(|error| Error::Internal(error.to_string()))?;
                out.push(b'\n');
            }
            Self::Csv => E::csv(row, out),
        }
        Ok(())
    }

    /// The content type, and how the name of the file ends.
    const fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::Ndjson => ("application/x-ndjson", ".ndjson"),
            Self::Csv => ("text/csv; charset=utf-8; header=present", ".csv"),
        }
    }

    /// Writes the last line, which shows that nothing is missing.
    pub fn end(self, count: u64, out: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _infallible = match self {
            Self::Ndjson => writeln!(out, "{{\"_end\":true,\"count\":{count}}}"),
            Self::Csv => write!(out, "#end,{count}\r\n"),
        };
    }
}

/// The format that the client accepts. One that it does not get is refused with the parameters.
pub fn accepted(call: &mut Call<'_>) -> Option<ExportForm> {
    let form = accept::choose(call.headers, ExportForm::ALL);
    if form.is_none() {
        call.params.refuse("accept", "must accept application/x-ndjson or text/csv");
    }
    form
}

/// The answer with an export. The first page is read before it begins, so that most failures still have a status of their
/// own.
pub async fn answer<E: Exported>(
    call: &Call<'_>,
    export: E,
    form: Option<ExportForm>,
    name: &str,
) -> Result<Answer, Error> {
    let Some(form) = form else { return Err(Error::Internal("an export has no format".to_owned())) };
    let page_timeout = call.env.config().server.request_timeout;
    let lines = ExportLines::start(export, form, page_timeout, call.request_id).await?;
    let (content_type, ending) = form.file();
    Ok(Answer::download(lines.into_body(), content_type, format!("{name}{ending}")))
}

/// The lines of an export. It holds one page at most. It ends with the last row, a page that cannot be read, or
/// the connection.
struct ExportLines<E> {
    export: E,
    form: ExportForm,
    /// For one page. The whole has no limit: the listener deals with clients that stop reading.
    page_timeout: Duration,
    /// Names the request in the log, if the export breaks off.
    request_id: String,
    count: u64,
    /// Lines that the client has not taken yet.
    ready: Vec<u8>,
    over: bool,
}

impl<E: Exported> ExportLines<E> {
    /// Reads the first page.
    async fn start(
        export: E,
        form: ExportForm,
        page_timeout: Duration,
        request_id: &str,
    ) -> Result<Self, Error> {
        let mut ready = Vec::new();
        form.begin::<E>(&mut ready);
        let request_id = request_id.to_owned();
        let mut lines = Self { export, form, page_timeout, request_id, count: 0, ready, over: false };
        lines.read_page().await?;
        Ok(lines)
    }

    /// The body of the answer.
    fn into_body(self) -> AnswerBody {
        AnswerBody::stream(stream::try_unfold(self, |mut lines| async move {
            match lines.next().await {
                Ok(part) => Ok(part.map(|part| (part, lines))),
                Err(error) => {
                    let cause = match &error {
                        Error::StoreUnavailable(cause) | Error::Internal(cause) => cause.clone(),
                        other => other.to_string(),
                    };
                    tracing::warn!(
                        request_id = lines.request_id,
                        lines = lines.count,
                        cause,
                        "an export broke off"
                    );
                    Err(BrokenOff)
                }
            }
        }))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.ready.is_empty() && !self.over {
            let late =
                || Error::StoreUnavailable("a page took longer than server.request_timeout".to_owned());
            tokio::time::timeout(self.page_timeout, self.read_page()).await.map_err(|_| late())??;
        }
        Ok((!self.ready.is_empty()).then(|| std::mem::take(&mut self.ready).into()))
    }

    async fn read_page(&mut self) -> Result<(), Error> {
        let page = self.export.next_page().await?;
        for row in &page {
            self.form.row::<E>(row, &mut self.ready)?;
            self.count += 1;
        }
        if page.is_empty() {
            self.form.end(self.count, &mut self.ready);
            self.over = true;
        }
        Ok(())
    }
}
