//! StAR and CAR messages.

use crate::random::Random;
use crate::values::{self, BENCHMARKS, NUMBERS, TEXTS, TIMES};

/// What a good message of one format is made of.
pub struct Format {
    namespace: &'static str,
    list: &'static str,
    record: &'static str,
    elements: &'static [Part],
}

/// Name, attributes and text of an element.
type Part = (&'static str, &'static [(&'static str, &'static str)], &'static str);

pub const STAR: Format = Format {
    namespace: "http://eu-emi.eu/namespaces/2011/02/storagerecord",
    list: "StorageUsageRecords",
    record: "StorageUsageRecord",
    elements: &[
        ("RecordIdentity", &[("recordId", "host-1"), ("createTime", "2012-05-21T00:00:00Z")], ""),
        ("StorageSystem", &[], "host"),
        ("Site", &[], "UKI-TEST"),
        ("StorageMedia", &[], "disk"),
        ("FileCount", &[], "42"),
        ("SubjectIdentity", &[], "Group"),
        ("GroupAttribute", &[("attributeType", "subgroup")], "ukusers"),
        ("GroupAttribute", &[("attributeType", "authority")], "/O=TEST"),
        ("StartTime", &[], "2012-05-20T23:59:47Z"),
        ("EndTime", &[], "2012-05-21T23:59:47Z"),
        ("ResourceCapacityUsed", &[], "14728"),
        ("LogicalCapacityUsed", &[], "13617"),
        ("ResourceCapacityAllocated", &[], "14624"),
    ],
};

pub const CAR: Format = Format {
    namespace: "http://eu-emi.eu/namespaces/2012/11/computerecord",
    list: "UsageRecords",
    record: "UsageRecord",
    elements: &[
        ("RecordIdentity", &[("recordId", "host-1"), ("createTime", "2012-05-21T00:00:00Z")], ""),
        ("JobIdentity", &[], "LocalJobId"),
        ("LocalJobId", &[], "4711"),
        ("UserIdentity", &[], "LocalUserId"),
        ("GroupAttribute", &[("type", "FQAN")], "/atlas/Role=production"),
        ("GroupAttribute", &[("type", "role")], "production"),
        ("Infrastructure", &[("type", "grid"), ("description", "JURA-ARC-SLURM")], ""),
        ("WallDuration", &[], "PT3600S"),
        ("CpuDuration", &[("usageType", "user")], "PT1S"),
        ("CpuDuration", &[("usageType", "all")], "PT3599.5S"),
        ("ServiceLevel", &[("type", "hepspec")], "12.5"),
        ("NodeCount", &[], "1"),
        ("Processors", &[], "8"),
        ("EndTime", &[], "2012-05-20T23:59:47Z"),
        ("StartTime", &[], "2012-05-20T22:59:47Z"),
        ("MachineName", &[], "host"),
        ("Site", &[], "UKI-TEST"),
    ],
};

const SNIPPETS: [&str; 44] = [
    "<",
    ">",
    "/",
    "&",
    ";",
    "\"",
    "'",
    "=",
    ":",
    "]]>",
    "--",
    "?",
    "!",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\u{1}",
    "\u{b}",
    "\0",
    "é",
    "\u{a0}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10000}",
    "&amp;",
    "&lt;",
    "&#49;",
    "&#x31;",
    "&#0;",
    "&#xD800;",
    "&nbsp;",
    "&#X31;",
    "<!-- c -->",
    "<!---->",
    "<!-- a -- b -->",
    "<![CDATA[1]]>",
    "<![CDATA[",
    "<?pi x?>",
    "<?xml version=\"1.0\"?>",
    "<x/>",
    "xmlns:q=\"\"",
    " q:a=\"1\"",
    "</x>",
];

const DECLARATIONS: [&str; 22] = [
    "<?xml version=\"1.0\" ?>\n",
    "<?xml version='1.0' encoding='UTF-8' standalone='no'?>",
    "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>",
    "<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
    "<?xml version=\"1.0\" encoding=\"nonsense\"?>",
    "<?xml version=\"1.0\" encoding=\"8bit\"?>",
    "<?xml version=\"1.0\" encoding=\"\"?>",
    "<?xml version=\"1.1\"?>",
    "<?xml version=\"\"?>",
    "<?xml version=\"1 0\"?>",
    "<?xml version = \"1.0\"\n?>",
    "<?xml encoding=\"UTF-8\"?>",
    "<?xml version=\"1.0\" standalone=\"maybe\"?>",
    "<?xml version=\"1.0\" standalone=\"yes\" encoding=\"UTF-8\"?>",
    "<?xml version=\"1.0\"encoding=\"UTF-8\"?>",
    "<?xml?>",
    "<?XML version=\"1.0\"?>",
    "<?xml-stylesheet href=\"a\"?>",
    "<!-- before -->",
    "<!DOCTYPE a>",
    "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]>",
    "\u{feff}",
];

/// An element that can be changed.
#[derive(Clone)]
struct Element {
    prefix: &'static str,
    name: String,
    attributes: Vec<(&'static str, String, String)>,
    /// As it is written.
    inside: String,
}

fn good(format: &Format) -> Vec<Element> {
    let element = |(name, attributes, text): &Part| Element {
        prefix: "r:",
        name: (*name).to_owned(),
        attributes: attributes.iter().map(|(name, value)| ("r:", (*name).to_owned(), (*value).to_owned())).collect(),
        inside: (*text).to_owned(),
    };
    format.elements.iter().map(element).collect()
}

/// A message with changes.
pub fn case(format: &Format, random: &mut Random) -> Vec<u8> {
    let mut records = Vec::new();
    for _ in 0..=random.below(2) {
        let mut elements = good(format);
        for _ in 0..random.below(3) {
            change(&mut elements, random);
        }
        records.push(written(format, &elements, random));
    }
    let mut text = document(format, records, random);
    if random.once_in(4) {
        text = random.garble(&text, &SNIPPETS);
    }
    text.into_bytes()
}

fn change(elements: &mut Vec<Element>, random: &mut Random) {
    let at = random.below(elements.len());
    let odd = odd_value(&elements[at].name, random);
    match random.below(16) {
        0 => drop(elements.remove(at)),
        1 => {
            let twin = Element { inside: odd, ..elements[at].clone() };
            let to = random.below(elements.len() + 1);
            elements.insert(to, twin);
        }
        2 => elements[at].prefix = random.pick(&["", "o:", "s:", "u:"]),
        3 => change_attributes(&mut elements[at], random),
        4 => {
            let with = random.pick(&[
                "<!-- c -->",
                "<![CDATA[7]]>",
                "<?p?>",
                "<r:Site>none</r:Site>",
                "<x/>",
                "&#32;",
                "&#x9;",
            ]);
            let to = random.below(elements[at].inside.chars().count() + 1);
            let split =
                elements[at].inside.char_indices().nth(to).map_or(elements[at].inside.len(), |(index, _)| index);
            elements[at].inside.insert_str(split, with);
        }
        5 => elements[at].inside = format!("<r:Wrap>{}</r:Wrap>", elements[at].inside),
        6 => elements[at].inside = format!("<![CDATA[{}]]>", elements[at].inside),
        7 => elements[at].inside = references(&elements[at].inside),
        8 => elements[at].inside.clear(),
        9 => elements.rotate_left(at),
        _ => elements[at].inside = odd,
    }
}

fn change_attributes(element: &mut Element, random: &mut Random) {
    if element.attributes.is_empty() {
        let name = random.pick(&["type", "usageType", "attributeType", "xmlns", "xml:lang", "recordId"]).to_owned();
        return element.attributes.push((
            random.pick(&["", "r:", "s:"]),
            name,
            random.pick(&["all", "FQAN", ""]).to_owned(),
        ));
    }
    let at = random.below(element.attributes.len());
    match random.below(6) {
        0 => drop(element.attributes.remove(at)),
        1 => element.attributes[at].0 = random.pick(&["", "s:", "o:", "u:", "xml:"]),
        2 => {
            let mut twin = element.attributes[at].clone();
            twin.0 = random.pick(&["r:", "s:", ""]);
            element.attributes.push(twin);
        }
        _ => {
            let name = element.attributes[at].1.clone();
            element.attributes[at].2 = odd_value(&name, random);
        }
    }
}

fn odd_value(name: &str, random: &mut Random) -> String {
    match name {
        "createTime" | "StartTime" | "EndTime" if random.once_in(2) => random.pick(&TIMES).to_owned(),
        "createTime" | "StartTime" | "EndTime" => values::time(random),
        "WallDuration" | "CpuDuration" => values::duration(random),
        "type" | "usageType" | "attributeType" if random.once_in(2) => {
            random.pick(&["FQAN", "all", "group", "role", "subgroup", ""]).to_owned()
        }
        "type" => random.pick(&BENCHMARKS).to_owned(),
        "FileCount" | "Processors" | "NodeCount" | "ServiceLevel" => random.pick(&NUMBERS).to_owned(),
        _ if name.contains("Capacity") => random.pick(&NUMBERS).to_owned(),
        _ => random.pick(&TEXTS).to_owned(),
    }
}

/// Each character as a reference.
fn references(text: &str) -> String {
    text.chars().map(|c| format!("&#x{:x};", u32::from(c))).collect()
}

fn written(format: &Format, elements: &[Element], random: &mut Random) -> String {
    let inside: String = elements.iter().map(Element::to_string).collect();
    let record = format.record;
    match random.below(40) {
        0 => format!("<r:{record}/>"),
        1 => format!("<r:{record}>{inside}<r:{record}>{inside}</r:{record}></r:{record}>"),
        2 => format!("<o:{record}>{inside}</o:{record}>"),
        3 => format!("<{record} xmlns=\"{}\">{inside}</{record}>", format.namespace),
        4 => format!("<r:{record} xmlns:r=\"other\">{inside}</r:{record}>"),
        5 => format!("<q:{record} xmlns:q=\"{}\">{inside}</q:{record}>", format.namespace),
        _ => format!("<r:{record}>{inside}</r:{record}>"),
    }
}

fn document(format: &Format, records: Vec<String>, random: &mut Random) -> String {
    let other = if format.list == STAR.list { CAR.namespace } else { STAR.namespace };
    let declared = format!("xmlns:r=\"{0}\" xmlns:s='{0}' xmlns:o=\"{other}\"", format.namespace);
    let list = format.list;
    let mut text = match random.below(30) {
        0 => format!("<r:{list} {declared}></r:{list}>"),
        1 => format!("<o:{list} {declared}>{}</o:{list}>", records.concat()),
        2 => format!("<{list} {declared}>{}</{list}>", records.concat()),
        3 => format!("<x xmlns='{}' {declared}>{}</x>", format.namespace, records.concat()),
        4 => records[0].replacen('>', &format!(" {declared}>"), 1).replacen("/ ", " ", 1),
        5 => {
            let more = [
                "xmlns:xml='x'",
                "xmlns:a=''",
                "xmlns='a b'",
                "xmlns:a='&#32;'",
                "xmlns:xmlns='a'",
                "xmlns=''",
                "xmlns:xml='http://www.w3.org/XML/1998/namespace'",
                "xmlns:a='http://www.w3.org/2000/xmlns/'",
                "xmlns:r=''",
            ];
            format!("<r:{list} {declared} {}>{}</r:{list}>", random.pick(&more), records.concat())
        }
        _ => format!("<r:{list} {declared}>\n{}</r:{list}>", records.concat()),
    };
    if random.once_in(3) {
        text.insert_str(0, random.pick(&DECLARATIONS));
    }
    if random.once_in(8) {
        text += random.pick(&["\n", "<!-- after -->", "<?after?>", "\u{a0}", "x", "<x/>", "&#32;", "\0"]);
        text.insert_str(0, random.pick(&["", "\n ", "\u{85}", "\u{2028}"]));
    }
    text
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { prefix, name, attributes, inside } = self;
        write!(f, "<{prefix}{name}")?;
        for (prefix, name, value) in attributes {
            write!(f, " {prefix}{name}=\"{value}\"")?;
        }
        if inside.is_empty() { writeln!(f, "/>") } else { writeln!(f, ">{inside}</{prefix}{name}>") }
    }
}

/// A good message but for the text of one element.
pub fn with_value(format: &Format, name: &str, value: &str) -> Vec<u8> {
    let mut elements = good(format);
    for element in elements.iter_mut().filter(|element| element.name == name) {
        element.inside = value.to_owned();
    }
    whole(format, &elements)
}

/// A good message with one more element in each record.
pub fn with_name(format: &Format, name: &str) -> Vec<u8> {
    let mut elements = good(format);
    elements.push(Element { prefix: "r:", name: name.to_owned(), attributes: Vec::new(), inside: String::new() });
    whole(format, &elements)
}

/// A good message with elements nested so deep.
pub fn nested(depth: usize) -> Vec<u8> {
    let mut elements = good(&STAR);
    let (open, close) = ("<r:x>".repeat(depth), "</r:x>".repeat(depth));
    elements[1].inside += &format!("{open}{close}");
    whole(&STAR, &elements)
}

fn whole(format: &Format, elements: &[Element]) -> Vec<u8> {
    let inside: String = elements.iter().map(Element::to_string).collect();
    let Format { namespace, list, record, .. } = format;
    format!("<r:{list} xmlns:r=\"{namespace}\"><r:{record}>{inside}</r:{record}></r:{list}>").into_bytes()
}
