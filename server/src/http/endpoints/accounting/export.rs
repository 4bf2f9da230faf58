//! Exports: records as CSV or NDJSON, one per line, page after page. A page is read once the client has taken the one
//! before.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;

use super::record::RecordBody;
use crate::domain::Error;
use crate::domain::accounts::{Export, RecordView};
use crate::http::{AnswerBody, BrokenOff};

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
    pub fn begin(self, out: &mut Vec<u8>) {
        if self == Self::Csv {
            out.extend_from_slice(RecordBody::CSV_COLUMNS.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the line of a record.
    pub fn record(self, view: &RecordView, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Ndjson => {
                serde_json::to_writer(&mut *out, &RecordBody::of(view))
                    .map_err(|error| Error::Internal(error.to_string()))?;
                out.push(b'\n');
            }
            Self::Csv => RecordBody::csv(view, out),
        }
        Ok(())
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

/// The lines of an export. It holds one page at most. It ends with the last record, a page that cannot be read, or
/// the connection.
pub struct ExportLines {
    export: Export,
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const COLUMNS: &str = RecordBody::CSV_COLUMNS;
    use crate::model::{Money, Record, Transno};

    fn view(change: impl FnOnce(&mut Record)) -> RecordView {
        let mut record = super::super::record::tests::record();
        change(&mut record);
        RecordView { record, reversed: Money::parse("0.5").unwrap(), reversals: 1 }
    }

    fn written(form: ExportForm, view: &RecordView) -> String {
        let mut out = Vec::new();
        form.record(view, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_of_csv_has_the_members_of_the_json_in_their_order() {
        let view = view(|record| (record.details.note, record.details.usage) = (None, None));
        let json: Value = serde_json::to_value(RecordBody::of(&view)).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(COLUMNS.split(',').collect::<Vec<_>>(), names);
        let line = written(ExportForm::Csv, &view);
        let cells: Vec<_> = line.strip_suffix("\r\n").unwrap().split(',').collect();
        assert_eq!(cells.len(), names.len());
        for (cell, (name, value)) in cells.iter().zip(json.as_object().unwrap()) {
            let text = match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            assert_eq!(*cell, text, "{name}");
        }
    }

    #[test]
    fn no_text_of_a_caller_breaks_out_of_its_cell_or_begins_a_formula() {
        for (note, cell) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1,B1)", "\"'@SUM(A1,B1)\""),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("\nx", "\"'\nx\""),
            ("＝1+1", "'＝1+1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠SUM(A1)", "'＠SUM(A1)"),
            (" =1", "' =1"),
            ("\t=1", "'\t=1"),
            ("\r\n＝1", "\"'\r\n＝1\""),
            ("\u{3000}＋1", "'\u{3000}＋1"),
            ("\u{a0}@A1", "'\u{a0}@A1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("\u{0}-1", "'\u{0}-1"),
            (" x", " x"),
            ("x＝1", "x＝1"),
            ("a=1", "a=1"),
            ("余额", "余额"),
        ] {
            let line = written(ExportForm::Csv, &view(|record| record.details.note = Some(note.to_owned())));
            assert!(line.contains(&format!(",{cell},8.5,")), "{note:?}: {line}");
        }
        let line = written(ExportForm::Csv, &view(|r| r.transno = Transno::parse("=cmd").unwrap()));
        assert!(line.contains(",3,'=cmd,charge,"), "{line}");
        assert!(line.contains("\"{\"\"tokens\"\":0.10}\""), "JSON keeps its digits: {line}");
        assert!(line.contains(",1.5,-1.5,"), "a number below zero is a number: {line}");
    }

    #[test]
    fn both_forms_end_with_a_count() {
        let whole = |form: ExportForm| {
            let mut out = Vec::new();
            form.begin(&mut out);
            form.end(12, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(whole(ExportForm::Ndjson), "{\"_end\":true,\"count\":12}\n");
        assert_eq!(whole(ExportForm::Csv), format!("{COLUMNS}\r\n#end,12\r\n"));
    }
}
