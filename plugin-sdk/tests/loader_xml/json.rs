//! Accelerator messages.

use crate::random::Random;

const FIELDS: [(&str, &str); 17] = [
    ("MeasurementMonth", "5"),
    ("MeasurementYear", "2026"),
    ("AssociatedRecordType", "\"cloud\""),
    ("AssociatedRecord", "\"a-vmuuid\""),
    ("GlobalUserName", "\"/DC=x/CN=y\""),
    ("FQAN", "\"/atlas/Role=NULL\""),
    ("SiteName", "\"UKI-TEST\""),
    ("Count", "0.5"),
    ("Cores", "128"),
    ("ActiveDuration", "400"),
    ("AvailableDuration", "4000"),
    ("BenchmarkType", "\"HEPSPEC\""),
    ("Benchmark", "9000.01"),
    ("Type", "\"GPU\""),
    ("Model", "\"A-B\""),
    ("CloudType", "\"caso/5.2.2 (OpenStack)\""),
    ("CloudComputeService", "\"service\""),
];

const VALUES: [&str; 48] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "12",
    "13",
    "1.0",
    "12.0",
    "1.5",
    "2000",
    "1999",
    "2026",
    "2027",
    "2.026e3",
    "1e400",
    "-1e400",
    "1E-400",
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "-0.0",
    "01",
    "1.",
    ".5",
    "+1",
    "0x1",
    "1_0",
    "123456789012345678901234567890",
    "\"\"",
    "\"None\"",
    "\"null\"",
    "\"NULL\"",
    "\" \"",
    "\"cloud\"",
    "\"job\"",
    "\"GPU\"",
    "\"FPGA\"",
    "\"Other\"",
    "\"gpu\"",
    "\"\\ud800\"",
    "\"\\u0047PU\"",
    "[]",
    "{}",
    "[1]",
    "\"a\\tb\"",
];

const SNIPPETS: [&str; 18] =
    ["\"", "{", "}", "[", "]", ",", ":", "\\", " ", "\n", "\u{a0}", "\t", "0", "-", "é", "\u{1}", "null", "//"];

/// A message with changes.
pub fn case(random: &mut Random) -> Vec<u8> {
    let mut records: Vec<String> = (0..=random.below(2)).map(|_| record(random)).collect();
    if random.once_in(60) {
        records.clear();
    }
    if random.once_in(60) {
        records.push(random.pick(&VALUES).to_owned());
    }
    let mut outer = vec![
        ("Type".to_owned(), "\"APEL-accelerator-message\"".to_owned()),
        ("Version".to_owned(), "\"0.1\"".to_owned()),
        ("UsageRecords".to_owned(), format!("[{}]", records.join(", "))),
    ];
    if random.once_in(6) {
        change_outer(&mut outer, random);
    }
    let mut text = object(&outer);
    if random.once_in(8) {
        text = format!(
            "{}{text}{}",
            random.pick(&["", "\n", "\u{feff}", "\u{3000}"]),
            random.pick(&["", " ", "\u{85}", "x"])
        );
    }
    if random.once_in(4) {
        text = random.garble(&text, &SNIPPETS);
    }
    text.into_bytes()
}

fn record(random: &mut Random) -> String {
    let mut fields: Vec<(String, String)> =
        FIELDS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for _ in 0..random.below(4) {
        let at = random.below(fields.len());
        match random.below(8) {
            0 => drop(fields.remove(at)),
            1 => {
                let twin = (fields[at].0.clone(), random.pick(&VALUES).to_owned());
                let to = random.below(fields.len() + 1);
                fields.insert(to, twin);
            }
            2 if random.once_in(3) => fields[at].0 = random.pick(&["benchmark_value", "", "site", "Cores"]).to_owned(),
            3 => fields[at].0 = escaped(&fields[at].0),
            _ => fields[at].1 = random.pick(&VALUES).to_owned(),
        }
    }
    object(&fields)
}

/// The same name, written with an escape.
fn escaped(name: &str) -> String {
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => format!("\\u{:04x}{}", u32::from(first), &name[1..]),
        _ => name.to_owned(),
    }
}

fn change_outer(outer: &mut Vec<(String, String)>, random: &mut Random) {
    let at = random.below(outer.len());
    match random.below(5) {
        0 => drop(outer.remove(at)),
        1 => outer[at].1 = random.pick(&VALUES).to_owned(),
        2 => outer.push((outer[at].0.clone(), random.pick(&VALUES).to_owned())),
        3 => outer.push((random.pick(&["More", "", "Type2"]).to_owned(), random.pick(&VALUES).to_owned())),
        _ => outer.rotate_left(1),
    }
}

fn object(fields: &[(String, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

/// A good message of so many records.
pub fn of_size(count: usize) -> Vec<u8> {
    let fields: Vec<(String, String)> =
        FIELDS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let records = vec![object(&fields); count].join(",");
    format!("{{\"Type\": \"APEL-accelerator-message\", \"Version\": \"0.1\", \"UsageRecords\": [{records}]}}")
        .into_bytes()
}

/// A good message, with a deep list beside its records.
pub fn nested(depth: usize) -> Vec<u8> {
    let deep = format!("{{\"More\": {}{}, ", "[".repeat(depth), "]".repeat(depth));
    String::from_utf8(of_size(1)).expect("text").replacen('{', &deep, 1).into_bytes()
}
