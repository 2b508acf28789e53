//! CSV by RFC 4180.

use csv::{ByteRecord, ReaderBuilder};

use crate::memory::{Builder, Table};
use crate::{Found, Mistake};

/// What some programs write before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(crate) fn read(bytes: &[u8], key: Option<&str>) -> Result<Table, Found> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut builder: Option<Builder> = None;
    loop {
        // Reading from memory fails only for lengths that flexible records may have.
        let more = reader.read_byte_record(&mut record).map_err(|error| unreadable(&error))?;
        if !more {
            return builder.map(Builder::finish).ok_or_else(|| Mistake::NoColumns.into());
        }
        let line = record.position().map(csv::Position::line);
        let at = |mistake| Found { line, mistake };
        let text = |field| std::str::from_utf8(field).map_err(|_| at(Mistake::NotUtf8));
        match &mut builder {
            None => {
                let columns: Vec<String> =
                    record.iter().map(|field| text(field).map(str::to_owned)).collect::<Result<_, _>>()?;
                let mut new = Builder::new(columns, key).map_err(at)?;
                new.reserve(bytes.len());
                builder = Some(new);
            }
            Some(builder) => {
                for field in &record {
                    builder.field(text(field)?);
                }
                builder.end_row().map_err(at)?;
            }
        }
    }
}

fn unreadable(error: &csv::Error) -> Found {
    let line = error.position().map(csv::Position::line);
    Found { line, mistake: Mistake::Syntax { format: "CSV", why: error.to_string() } }
}
