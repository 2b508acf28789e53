//! A report as a table and as CSV. Peers and sites are foreign text.

use std::collections::BTreeMap;

use super::file::{Amount, Report, Row, Side};
use super::output;
use message::text::escaped;

/// Prints a table for each side, without streams.
pub(super) fn table(report: &Report) {
    output::line(&format!("{}: records (messages)", report.month));
    let mut none = true;
    for side in [Side::Sender, Side::Receiver] {
        let lines = without_streams(report.rows.iter().filter(|row| row.side == side));
        if lines.is_empty() {
            continue;
        }
        none = false;
        let mut table = output::Table::new(match side {
            Side::Sender => {
                &["SENDER", "SITE", "FORMAT", "SENT", "ACKNOWLEDGED", "REJECTED", "MISSING", "OVERDUE", "DESTINATION"]
            }
            Side::Receiver => {
                &["RECEIVER", "SITE", "FORMAT", "RECEIVED", "ACCEPTED", "REJECTED", "MISSING", "DUPLICATES", "SIGNER"]
            }
        });
        for row in lines.values() {
            let last = if side == Side::Sender { row.overdue } else { row.duplicates };
            let amounts = [row.sent, row.acknowledged, row.rejected, row.missing, last].map(cell);
            let [sent, acknowledged, rejected, missing, last] = amounts;
            let [channel, site, format, peer] =
                [&row.channel, &row.site, &row.format, &row.peer].map(|text| shown(text));
            table.row([channel, site, format, sent, acknowledged, rejected, missing, last, peer]);
        }
        table.print();
    }
    if none {
        output::line("no message was counted");
    }
}

fn shown(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { escaped(text).into_owned() }
}

fn without_streams<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeMap<[&'a str; 4], Row> {
    let mut lines: BTreeMap<[&str; 4], Row> = BTreeMap::new();
    for row in rows {
        let key = [row.channel.as_str(), &row.peer, &row.site, &row.format];
        match lines.get_mut(&key) {
            None => {
                lines.insert(key, row.clone());
            }
            Some(line) => {
                line.sent.add(row.sent);
                line.acknowledged.add(row.acknowledged);
                line.rejected.add(row.rejected);
                line.missing.add(row.missing);
                line.overdue.add(row.overdue);
                line.duplicates.add(row.duplicates);
            }
        }
    }
    lines
}

/// `1000 (3)`: records and messages.
pub(super) fn cell(amount: Amount) -> String {
    match (amount.messages, amount.records) {
        (0, _) => "0".to_owned(),
        (messages, Some(records)) => format!("{records} ({messages})"),
        (messages, None) => format!("- ({messages})"),
    }
}

/// The report as CSV (RFC 4180) with a heading.
pub(super) fn csv(report: &Report) -> String {
    let mut text = "month,side,channel,peer,stream,site,format".to_owned();
    for name in ["sent", "acknowledged", "rejected", "missing", "overdue", "duplicates"] {
        text.push_str(&format!(",{name}_messages,{name}_records"));
    }
    text.push_str("\r\n");
    for row in &report.rows {
        let names = [&report.month, row.side.name(), &row.channel, &row.peer, &row.stream, &row.site, &row.format];
        text.push_str(&names.map(field).join(","));
        for amount in [row.sent, row.acknowledged, row.rejected, row.missing, row.overdue, row.duplicates] {
            let records = amount.records.map(|records| records.to_string()).unwrap_or_default();
            text.push_str(&format!(",{},{records}", amount.messages));
        }
        text.push_str("\r\n");
    }
    text
}

/// A field of CSV. A spreadsheet runs what begins as a formula, so such a text has an apostrophe before it.
fn field(text: &str) -> String {
    let mut text = escaped(text).into_owned();
    let starts = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    if text.trim_start().starts_with(starts) {
        text.insert(0, '\'');
    }
    if text.contains([',', '"', ';']) || text.starts_with(' ') || text.ends_with(' ') {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_field_and_no_formula() {
        for (text, expected) in [
            ("A-1", "A-1"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\r\nb", "a\\r\\nb"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            (" =1", "' =1"),
            (" x ", "\" x \""),
            ("\t=1", "\\t=1"),
            ("=a,\"b\"", "\"'=a,\"\"b\"\"\""),
            ("\u{202e}x", "\\u{202e}x"),
        ] {
            assert_eq!(field(text), expected);
        }
    }

    #[test]
    fn amounts_are_records_and_messages() {
        let cells = [(0, Some(0)), (2, Some(5)), (1, Some(0)), (3, None)];
        let shown = cells.map(|(messages, records)| cell(Amount { messages, records }));
        assert_eq!(shown, ["0", "5 (2)", "0 (1)", "- (3)"]);
    }
}
