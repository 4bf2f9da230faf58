//! An export on its way to the client: page after page, each read when the client has taken the one before.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;

use super::answer_body::{AnswerBody, BrokenOff};
use super::wire::ExportForm;
use crate::domain::Error;
use crate::domain::accounts::Export;

/// The lines of an export. What it holds at most is one page; what ends it is its end, a page that cannot be
/// read, or the connection.
pub struct ExportLines {
    export: Export,
    form: ExportForm,
    /// For one page. There is no limit to the whole: a client that does not read is the listener's business.
    page_timeout: Duration,
    /// Under which the log tells that it broke off.
    request_id: String,
    count: u64,
    /// The lines made last, not taken yet.
    ready: Vec<u8>,
    over: bool,
}

impl ExportLines {
    /// Reads the first page.
    pub async fn start(
        export: Export,
        form: ExportForm,
        page_timeout: Duration,
        request_id: &str,
    ) -> Result<Self, Error> {
        let mut ready = Vec::new();
        form.begin(&mut ready);
        let request_id = request_id.to_owned();
        let mut lines = Self { export, form, page_timeout, request_id, count: 0, ready, over: false };
        lines.read_page().await?;
        Ok(lines)
    }

    /// The body of the answer.
    pub fn into_body(self) -> AnswerBody {
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
        for view in &page {
            self.form.record(view, &mut self.ready)?;
            self.count += 1;
        }
        if page.is_empty() {
            self.form.end(self.count, &mut self.ready);
            self.over = true;
        }
        Ok(())
    }
}
