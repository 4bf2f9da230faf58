//! Records one a line, as CSV or NDJSON.

use std::fmt::Display;
use std::io::Write as _;

use super::RecordBody;
use crate::domain::Error;
use crate::domain::accounts::RecordView;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportForm {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a line of names.
    Csv,
}

/// The columns, in the order of a record's members.
const COLUMNS: &str = "id,customer_id,seq,transno,kind,user_id,llmid,model_name,pricing_id,pricing_version,\
    input_tokens,output_tokens,total_tokens,quantity,amount,delta,unrounded,arithmetic,currency,request_id,reverses,\
    hold_id,note,balance_after,held_after,available_after,status,reversed_amount,event_time,created_at,version";

impl ExportForm {
    /// Every form with its media type, the default first.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("application/x-ndjson", Self::Ndjson), ("text/csv", Self::Csv)];

    /// What stands before the first record.
    pub fn begin(self, out: &mut Vec<u8>) {
        if self == Self::Csv {
            out.extend_from_slice(COLUMNS.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// A record's line.
    pub fn record(self, view: &RecordView, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Ndjson => {
                serde_json::to_writer(&mut *out, &RecordBody::of(view))
                    .map_err(|error| Error::Internal(error.to_string()))?;
                out.push(b'\n');
            }
            Self::Csv => csv(view, out),
        }
        Ok(())
    }

    /// The last line: it proves that nothing is missing.
    pub fn end(self, count: u64, out: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _infallible = match self {
            Self::Ndjson => writeln!(out, "{{\"_end\":true,\"count\":{count}}}"),
            Self::Csv => write!(out, "#end,{count}\r\n"),
        };
    }
}

fn csv(view: &RecordView, out: &mut Vec<u8>) {
    let r = &view.record;
    let d = &r.details;
    let mut line = Line(out);
    line.0.extend_from_slice(r.id.to_string().as_bytes());
    line.text(Some(r.customer_id.as_str())).plain(Some(r.seq)).text(Some(r.transno.as_str()));
    line.plain(Some(r.kind)).text(d.user_id.as_deref()).text(d.llmid.as_deref());
    line.text(d.model_name.as_deref()).text(d.pricing_id.as_deref()).plain(r.pricing_version);
    line.plain(d.input_tokens).plain(d.output_tokens).plain(r.total_tokens()).text(d.usage.as_deref());
    line.plain(Some(r.amount)).plain(Some(r.delta)).plain(r.unrounded.as_deref());
    line.text(r.arithmetic.as_deref()).plain(Some(r.currency));
    line.text(d.request_id.as_deref()).plain(r.reverses).plain(r.hold_id).text(d.note.as_deref());
    line.plain(Some(r.balance_after)).plain(Some(r.held_after)).plain(Some(r.available_after));
    line.plain(Some(view.status())).plain(Some(view.reversed)).plain(Some(r.event_time));
    line.plain(Some(r.created_at)).plain(Some(view.version()));
    line.0.extend_from_slice(b"\r\n");
}

/// The cells after the first one of a line. What is absent is an empty cell.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    /// What we made ourselves: numbers, times, ids and names that need no quotes.
    fn plain(&mut self, value: Option<impl Display>) -> &mut Self {
        self.0.push(b',');
        if let Some(value) = value {
            // Writing to memory cannot fail.
            let _infallible = write!(self.0, "{value}");
        }
        self
    }

    /// A text of a caller's. A spreadsheet would run one that begins like a formula: it gets an apostrophe in
    /// front.
    fn text(&mut self, text: Option<&str>) -> &mut Self {
        self.0.push(b',');
        let Some(text) = text else { return self };
        let formula = begins_like_a_formula(text);
        let quoted = text.contains(['"', ',', '\r', '\n']);
        if quoted {
            self.0.push(b'"');
        }
        if formula {
            self.0.push(b'\'');
        }
        for byte in text.bytes() {
            if byte == b'"' {
                self.0.push(b'"');
            }
            self.0.push(byte);
        }
        if quoted {
            self.0.push(b'"');
        }
        self
    }
}

/// Whether a text begins with one of the characters that OWASP lists under CSV injection. Spreadsheets skip white
/// space and what cannot be seen, and in East Asian settings take full-width signs for the ASCII ones.
fn begins_like_a_formula(text: &str) -> bool {
    const SIGNS: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    let skipped = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}' | '\u{feff}');
    text.starts_with(['\t', '\r', '\n']) || text.trim_start_matches(skipped).starts_with(SIGNS)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::model::{Money, Record, Transno};

    fn view(change: impl FnOnce(&mut Record)) -> RecordView {
        let mut record = super::super::records::tests::record();
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
