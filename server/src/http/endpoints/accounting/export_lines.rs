//! The lines of an export of records.

use super::record::RecordBody;
use crate::domain::Error;
use crate::domain::accounts::{Export, RecordView};
use crate::http::export::Exported;

impl Exported for Export {
    type Row = RecordView;

    const COLUMNS: &'static str = RecordBody::CSV_COLUMNS;

    async fn next_page(&mut self) -> Result<Vec<RecordView>, Error> {
        Self::next_page(self).await
    }

    fn json(view: &RecordView, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(out, &RecordBody::of(view))
    }

    fn csv(view: &RecordView, out: &mut Vec<u8>) {
        RecordBody::csv(view, out);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::http::export::ExportForm;

    const COLUMNS: &str = Export::COLUMNS;
    use crate::model::{Money, Record, Transno};

    fn view(change: impl FnOnce(&mut Record)) -> RecordView {
        let mut record = super::super::record::tests::record();
        change(&mut record);
        RecordView { record, reversed: Money::parse("0.5").unwrap(), reversals: 1 }
    }

    fn written(form: ExportForm, view: &RecordView) -> String {
        let mut out = Vec::new();
        form.row::<Export>(view, &mut out).unwrap();
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
            form.begin::<Export>(&mut out);
            form.end(12, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(whole(ExportForm::Ndjson), "{\"_end\":true,\"count\":12}\n");
        assert_eq!(whole(ExportForm::Csv), format!("{COLUMNS}\r\n#end,12\r\n"));
    }
}
