//! The records of a message by site, counted without looking at anything else in them.
//!
//! A record is what the parsers take for one, and its site is the value they read. Of a message that the consumer would
//! refuse it is what stands there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::python::{is_null, is_space, line_end, strip};
use super::shape::{self, Kind, Shape};
use super::{json, usage_json, xml};

/// The most sites of one message that are distinguished. The records of further ones count as "(other sites)".
pub const MOST_SITES: usize = 256;
/// The longest name of a site, in bytes; what follows is cut off.
const LONGEST_SITE: usize = 255;
/// What the records of further sites count as.
const OTHER_SITES: &str = "(other sites)";

/// What a message holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Its format.
    pub kind: Kind,
    /// For each site, by name, how many records it has; empty for the records that name none. `None` if the message cannot
    /// be read or is of no known format.
    pub sites: Option<Vec<(String, u64)>>,
}

/// Counts the records of a message.
#[must_use]
pub fn count(payload: &[u8]) -> Count {
    let mut sites = Sites::default();
    let kind = match shape::Form::of(payload) {
        shape::Form::Text => of_text(payload, &mut sites),
        shape::Form::Json => of_json(payload, &mut sites),
        shape::Form::Xml => of_xml(payload, &mut sites),
    };
    match kind {
        Ok(Kind::Unknown) | Err(Kind::Unknown) => Count { kind: Kind::Unknown, sites: None },
        Ok(kind) => Count { kind, sites: Some(sites.finish()) },
        Err(kind) => Count { kind, sites: None },
    }
}

/// Adds records up. Those of one site mostly follow each other.
#[derive(Default)]
struct Sites {
    all: BTreeMap<String, u64>,
    last: String,
    run: u64,
}

impl Sites {
    fn add(&mut self, site: &str) {
        let site = if is_null(site) { "" } else { site };
        if self.run > 0 && self.last == site {
            self.run += 1;
            return;
        }
        self.flush();
        self.last.clear();
        self.last.push_str(site);
        self.run = 1;
    }

    fn flush(&mut self) {
        if self.run == 0 {
            return;
        }
        let name = cut(&self.last);
        if let Some(count) = self.all.get_mut(name) {
            *count += self.run;
        } else if self.all.len() < MOST_SITES {
            self.all.insert(name.to_owned(), self.run);
        } else {
            *self.all.entry(OTHER_SITES.to_owned()).or_default() += self.run;
        }
    }

    fn finish(mut self) -> Vec<(String, u64)> {
        self.flush();
        self.all.into_iter().collect()
    }
}

fn cut(site: &str) -> &str {
    let mut end = site.len().min(LONGEST_SITE);
    while !site.is_char_boundary(end) {
        end -= 1;
    }
    site.get(..end).unwrap_or_default()
}

/// The format, which is an error if the records cannot be counted.
type Found = Result<Kind, Kind>;

fn of_text(payload: &[u8], sites: &mut Sites) -> Found {
    let kind = Kind::of(payload);
    let name: &[u8] = match kind {
        Kind::Unknown => return Err(kind),
        Kind::Cloud | Kind::CloudSummary => b"SiteName",
        _ => b"Site",
    };
    let Ok(text) = std::str::from_utf8(payload) else { return Err(kind) };
    let shape = Shape::cut(text.as_bytes()).map_err(|_| kind)?;
    let finder = memchr::memmem::Finder::new(name);
    for record in shape.records() {
        sites.add(&site_of_lines(record, name.len(), &finder));
    }
    Ok(kind)
}

/// The value of the last line with this key: of several the last counts. Reads each byte a bounded number of times.
fn site_of_lines<'a>(record: &'a [u8], width: usize, finder: &memchr::memmem::Finder<'_>) -> Cow<'a, str> {
    let mut site = Cow::Borrowed("");
    let Ok(text) = std::str::from_utf8(record) else { return site };
    for at in finder.find_iter(record) {
        if begins_line(text.get(..at).unwrap_or_default())
            && let Some(value) = value_after(text.get(at + width..).unwrap_or_default())
        {
            site = Cow::Borrowed(value);
        }
    }
    site
}

/// Whether there is nothing but white space between the beginning of the line and the end of `before`.
fn begins_line(before: &str) -> bool {
    for (at, c) in before.char_indices().rev() {
        if line_end(before.as_bytes().get(at..at + c.len_utf8()).unwrap_or_default()).1 > 0 {
            return true;
        }
        if !is_space(c) {
            return false;
        }
    }
    true
}

/// The value in the rest of a line behind a key.
fn value_after(rest: &str) -> Option<&str> {
    // Mostly there is no white space; a long line without a colon is not read to its end for each key in it.
    let spaces = rest.find(|c| !is_space(c))?;
    if rest.as_bytes().get(spaces) != Some(&b':') {
        return None;
    }
    let line = rest.get(..line_end(rest.as_bytes()).0)?;
    line.get(spaces + 1..).map(strip)
}

fn of_json(payload: &[u8], sites: &mut Sites) -> Found {
    let document = usage_json::document(payload).map_err(|_| Kind::Unknown)?;
    let kind = shape::json_kind(&document);
    for record in shape::json_records(&document).map_err(|_| kind)? {
        let site = record.get("SiteName").filter(|site| site.kind() == json::Kind::Text);
        sites.add(&site.map(|site| site.text()).unwrap_or_default());
    }
    Ok(kind)
}

fn of_xml(payload: &[u8], sites: &mut Sites) -> Found {
    let document = xml::document(payload).map_err(|_| Kind::Unknown)?;
    let Some((kind, record)) = shape::xml_format(&document) else { return Err(Kind::Unknown) };
    let namespace = document.root_namespace();
    for record in document.elements().filter(|element| element.is(namespace, record)) {
        let site = record.descendants().find(|element| element.is(namespace, "Site"));
        sites.add(&site.map(|site| site.text()).unwrap_or_default());
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(payload: &str) -> (Kind, Vec<(String, u64)>) {
        let count = count(payload.as_bytes());
        (count.kind, count.sites.unwrap())
    }

    fn sites(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
        expected.iter().map(|(site, records)| ((*site).to_owned(), *records)).collect()
    }

    #[test]
    fn records_of_text_are_counted_by_the_last_site_of_each() {
        let job = "\n APEL-individual-job-message: v0.3\nSite: A\nQueue: Site: B\n%%\nLocalSite: C\nSite : B \n%%\n%%\n\
                   Site: A\rSite: B%%Site: none\n%%\nQueue: x\n%%\n";
        assert_eq!(counted(job), (Kind::Job, sites(&[("", 2), ("A", 1), ("B", 2)])));
        let cloud = "APEL-cloud-message: v0.4\nSite: X\nSiteName: A\u{2028}SiteName: Z\u{e4}\n%%";
        assert_eq!(counted(cloud), (Kind::Cloud, sites(&[("Z\u{e4}", 1)])));
        assert_eq!(counted("APEL-sync-message: v0.1\n"), (Kind::Sync, vec![]));
        let spaced = "APEL-sync-message: v0.1\nMonth: 1\n\u{3000}Site\u{a0}:\u{a0}A\n%%\nMonth: x Site: B\n";
        assert_eq!(counted(spaced), (Kind::Sync, sites(&[("", 1), ("A", 1)])));
    }

    #[test]
    fn records_of_json_and_xml_are_counted() {
        let gpu = r#"{"Type": "APEL-accelerator-message", "Version": "0.1",
            "UsageRecords": [{"SiteName": "A"}, {"SiteName": "B"}, {"SiteName": "\u0041"}, {"SiteName": 1}]}"#;
        assert_eq!(counted(gpu), (Kind::Accelerator, sites(&[("", 1), ("A", 2), ("B", 1)])));
        let star = format!(
            "<s:StorageUsageRecords xmlns:s='{0}'><s:StorageUsageRecord><s:Site>A&amp;B</s:Site><s:Site>C</s:Site>\
             </s:StorageUsageRecord><s:StorageUsageRecord/></s:StorageUsageRecords>",
            crate::records::star::NAMESPACE
        );
        assert_eq!(counted(&star), (Kind::Storage, sites(&[("", 1), ("A&B", 1)])));
        let car = format!("<UsageRecord xmlns='{}'><Site>A</Site></UsageRecord>", crate::records::car::NAMESPACE);
        assert_eq!(counted(&car), (Kind::Usage, sites(&[("A", 1)])));
    }

    #[test]
    fn what_cannot_be_read_has_no_count() {
        for (payload, kind) in [
            (b"hello".as_slice(), Kind::Unknown),
            (b"", Kind::Unknown),
            (b"{", Kind::Unknown),
            (b"<a/>", Kind::Unknown),
            (b"APEL-sync-message: v0.1\nSite: \xff", Kind::Sync),
            (br#"{"Type": "APEL-accelerator-message", "Version": "0.1"}"#, Kind::Accelerator),
            (br#"{"Type": "other", "UsageRecords": [{}]}"#, Kind::Unknown),
        ] {
            assert_eq!(count(payload), Count { kind, sites: None }, "{}", String::from_utf8_lossy(payload));
        }
    }

    /// Seconds each, where a record is read again for each key in it.
    #[test]
    fn keys_that_name_no_site_take_no_time() {
        let start = std::time::Instant::now();
        let many = |text: &str| text.repeat((4 << 20) / text.len());
        for (text, records) in [
            (format!("x: {}", many("Site ")), 1),
            (many("Site \n"), 1),
            (many("\u{e4}Site"), 1),
            (format!("{}Site", many(" ")), 1),
            (format!("Site{}", many(" ")), 1),
            (many("Site: \n"), 1),
        ] {
            assert_eq!(counted(&format!("APEL-sync-message: v0.1\n{text}")).1, sites(&[("", records)]));
        }
        let spent = start.elapsed();
        assert!(spent < std::time::Duration::from_secs(5), "{spent:?}");
    }

    #[test]
    fn hostile_sites_take_a_bounded_room() {
        let records: String = (0..2 * MOST_SITES).map(|n| format!("Site: {}{n}\n%%\n", "\u{e4}".repeat(400))).collect();
        let one = counted(&format!("APEL-sync-message: v0.1\n{records}")).1;
        assert_eq!(one, sites(&[("\u{e4}".repeat(127).as_str(), 2 * MOST_SITES as u64)]));
        let records: String = (0..2 * MOST_SITES).map(|n| format!("Site: {n}\n%%\n")).collect();
        let many = counted(&format!("APEL-sync-message: v0.1\n{records}")).1;
        assert_eq!((many.len(), many.first()), (MOST_SITES + 1, Some(&(OTHER_SITES.to_owned(), MOST_SITES as u64))));
    }
}
