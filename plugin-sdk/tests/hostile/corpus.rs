//! Messages that a reader is likely to stumble over, the same at every run: kept ones, and mutations of them by a seed.

/// What the mutations are made from; printed by every test that uses them.
pub(crate) const SEED: u64 = 22;

/// A message and a name for what is odd about it.
pub(crate) type Hostile = (String, Vec<u8>);

/// Random numbers that are the same at every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// The kept messages, and so many mutations of the small ones.
pub(crate) fn corpus(mutations: usize) -> Vec<Hostile> {
    let mut all = kept();
    let small: Vec<Vec<u8>> =
        all.iter().map(|(_, payload)| payload).filter(|payload| payload.len() < 2000).cloned().collect();
    let mut dice = Dice(SEED.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for number in 0..mutations {
        let mut payload = dice.one_of(&small).clone();
        for _ in 0..=dice.below(4) {
            mutate(&mut payload, &mut dice, &small);
        }
        all.push((format!("mutation-{number}"), payload));
    }
    all
}

fn mutate(payload: &mut Vec<u8>, dice: &mut Dice, others: &[Vec<u8>]) {
    const PIECES: [&[u8]; 24] = [
        b"\\ud800",
        b"\\udfff\\ud83d",
        b"\xed\xa0\x80",
        b"\xff",
        b"\xc3",
        b"\xf4\x90\x80\x80",
        b"\0",
        b"\x1b[2J",
        b"\r\n",
        b"\xe2\x80\xa8",
        b"[[[[[[",
        b"{\"\":",
        b"\"",
        b"\\",
        b"<a>",
        b"</a>",
        b"/>",
        b"<![CDATA[",
        b"]]>",
        b"&#xD800;",
        b"%%",
        b": ",
        b"9999999999999999999999",
        b"\xef\xbb\xbf",
    ];
    let at = dice.below(payload.len() + 1);
    match dice.below(7) {
        0 => payload.truncate(at),
        1 if at < payload.len() => payload[at] = dice.below(256) as u8,
        2 if at < payload.len() => drop(payload.remove(at)),
        3 => {
            let other = dice.one_of(others).clone();
            payload.truncate(at);
            payload.extend(&other[dice.below(other.len() + 1)..]);
        }
        4 => {
            let piece = dice.one_of(&PIECES).repeat(1 + dice.below(300));
            payload.splice(at..at, piece);
        }
        _ => drop(payload.splice(at..at, dice.one_of(&PIECES).iter().copied())),
    }
}

fn kept() -> Vec<Hostile> {
    let mut all = Vec::new();
    let mut add = |name: &str, payload: Vec<u8>| all.push((name.to_owned(), payload));
    json(&mut add);
    xml(&mut add);
    text(&mut add);
    all
}

fn json(add: &mut dyn FnMut(&str, Vec<u8>)) {
    for (name, payload) in [
        ("surrogate", r#"{"Site":"bad\ud800"}"#),
        ("surrogates-the-wrong-way", r#"{"Site":"\udc00\ud800","\ud800":"\udfff"}"#),
        ("surrogate-type", r#"{"Type":"\ud800","Version":"0.1","UsageRecords":[{"SiteName":"\udbff"}]}"#),
        ("pair", r#"{"Site":"\ud83d\ude00"}"#),
        ("methods", r#"{"Site":{"toString":1,"valueOf":{},"toJSON":2,"__proto__":{"a":1}},"__proto__":null}"#),
        ("constructor", r#"{"Site":["constructor",{"constructor":{"prototype":[]}}],"length":-1}"#),
        ("odd-numbers", r#"{"Site":[NaN,Infinity,-Infinity,-0,1e999,-1e-999,0.1e+400],"Month":1.0}"#),
        ("control", r#"{"Site":"\u0000\u001b[2J\r\n\u2028\u202e\u0085","":""}"#),
        ("twice", r#"{"Site":1,"Site":null,"S\u0069te":[true]}"#),
        ("scalar", "null"),
        ("nothing-but-space", " \n\t"),
        ("other-kind", r#"{"header": {"a": "b"}, "body": "text"}"#),
        ("not-closed", r#"{"Site":"#),
        ("comma", r#"{"Site":1,}"#),
        ("marks", "\u{feff}{\"Site\":\"x\"}"),
        (
            "accelerator",
            r#"{"Type":"APEL-accelerator-message","Version":"0.1","UsageRecords":[{"SiteName":"S","Count":1}]}"#,
        ),
    ] {
        add(&format!("json-{name}"), payload.as_bytes().to_vec());
    }
    add("json-utf-16", "{\"Site\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect());
    add("json-latin-1", b"{\"Site\":\"\xe9\xff\"}".to_vec());
    for depth in [150, 199, 200, 201, 900, 979, 985, 100_000] {
        for (name, open, close) in [("lists", "[", "]"), ("objects", "{\"Site\":", "}")] {
            let opened = open.repeat(depth);
            add(&format!("json-{depth}-{name}"), format!("{opened}1{}", close.repeat(depth)).into_bytes());
            add(&format!("json-{depth}-{name}-open"), opened.into_bytes());
        }
        add(
            &format!("json-{depth}-in-value"),
            format!("{{\"Site\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into(),
        );
    }
    add("json-brackets-in-a-string", format!("{{\"Site\":\"{}\\\"{}\"}}", "[".repeat(5000), "{".repeat(5000)).into());
    add("json-digits", format!("{{\"Site\":{}}}", "9".repeat(5000)).into());
    add("json-exponent", format!("{{\"Site\":1e{}}}", "9".repeat(5000)).into());
    add("json-wide", format!("{{\"Site\":[{}1]}}", "[],".repeat(60_000)).into());
    add("json-escapes", format!("{{\"Site\":\"{}\"}}", "\\ud800\\n".repeat(40_000)).into());
    add("json-backslashes", format!("{{\"Site\":\"{}", "\\".repeat(200_001)).into());
    let names: String = (0..30_000).map(|number| format!("\"a{number}\":{number},")).collect();
    add("json-names", format!("{{{names}\"Site\":1}}").into());
    add("json-one-name", format!("{{{}\"Site\":1}}", "\"Site\":2,".repeat(50_000)).into());
    let record = "{\"SiteName\":\"\\ud800\"},".repeat(20_000);
    let kind = r#""Type":"APEL-accelerator-message","Version":"0.1""#;
    add("json-records", format!("{{{kind},\"UsageRecords\":[{record}{{}}]}}").into());
    let tower = format!("{}{},", "[".repeat(198), "]".repeat(198));
    add("json-towers", format!("[{}0]", tower.repeat(500)).into());
    let fields: String = (0..30_000).map(|number| format!("\"VO\":{number},")).collect();
    add("json-fields", format!("{{{kind},\"UsageRecords\":[{{{fields}\"SiteName\":\"S\"}}]}}").into());
}

fn xml(add: &mut dyn FnMut(&str, Vec<u8>)) {
    const STAR: &str = "http://eu-emi.eu/namespaces/2011/02/storagerecord";
    const CAR: &str = "http://eu-emi.eu/namespaces/2012/11/computerecord";
    let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;\">\
                <!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;\"><!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;\">]><a>&e;&e;&e;</a>";
    for (name, payload) in [
        ("empty", "<a/>"),
        ("cut", "<a b=\"c"),
        ("entities", bomb),
        ("surrogate", "<a>&#xD800;</a>"),
        ("undeclared", "<a:b c:d='e'/>"),
        ("sections", "<a><![CDATA[<a><a><a>]]><!-- <a> --><?p <a>?>text</a>"),
        ("encoding", "<?xml version=\"1.0\" encoding=\"utf-16\"?><a>\u{e9}</a>"),
        ("no-such-encoding", "<?xml version=\"1.0\" encoding=\"x-none\"?><a/>"),
        ("zero", "<a>\0</a>"),
        ("two-roots", "<a/><a/>"),
        ("nothing", "<"),
    ] {
        add(&format!("xml-{name}"), payload.as_bytes().to_vec());
    }
    add("xml-latin-1", b"<a>\xe9</a>".to_vec());
    // Beginnings without an end, which take quadratic time where the end is looked for at each.
    for (name, begin) in [("comments", "<!--"), ("sections", "<![CDATA["), ("instructions", "<?")] {
        add(&format!("xml-unended-{name}"), begin.repeat(30_000).into_bytes());
    }
    add("xml-after-blanks", [" ".repeat(2_000), "<a>".repeat(5_000)].concat().into_bytes());
    for depth in [150, 199, 200, 201, 979, 985, 100_000] {
        add(&format!("xml-{depth}-deep"), format!("{}1{}", "<a>".repeat(depth), "</a>".repeat(depth)).into());
        add(&format!("xml-{depth}-open"), "<a>".repeat(depth).into());
        let hidden = format!("{}{}", "<a b='\"'>/>".repeat(depth), "</a>".repeat(depth));
        add(&format!("xml-{depth}-hidden"), hidden.into());
        let inside = format!("<r xmlns='{STAR}'>{}{}</r>", "<Site>".repeat(depth), "</Site>".repeat(depth));
        add(&format!("xml-{depth}-in-a-record"), inside.into());
    }
    let many = |count, each: &dyn Fn(usize) -> String| (0..count).map(each).collect::<String>();
    add("xml-attributes", format!("<a {}/>", many(20_000, &|number| format!(" b{number}='c'"))).into());
    add("xml-namespaces", format!("<a {}/>", many(20_000, &|number| format!(" xmlns:b{number}='c'"))).into());
    let declared = many(900, &|number| format!("<a xmlns:b{number}='c'>"));
    add("xml-namespaces-within", format!("{declared}{}", "<b/>".repeat(20_000)).into());
    add("xml-siblings", format!("<a>{}</a>", "<b/>".repeat(60_000)).into());
    let same = "<StorageUsageRecord><RecordIdentity recordId='x'/></StorageUsageRecord>".repeat(5_000);
    add("xml-records", format!("<StorageUsageRecords xmlns='{STAR}'>{same}</StorageUsageRecords>").into());
    let nested = "<UsageRecord>".repeat(500) + &"</UsageRecord>".repeat(500);
    add("xml-records-in-records", format!("<UsageRecords xmlns='{CAR}'>{nested}</UsageRecords>").into());
}

fn text(add: &mut dyn FnMut(&str, Vec<u8>)) {
    let header = "APEL-individual-job-message: v0.4\n";
    for (name, payload) in [
        ("good", "Site: A\nLocalJobId: 1\n%%\nSite: \u{1f600}\n%%\n"),
        ("no-header", "hello"),
        ("header", "APEL-sync-message: v0.1"),
        ("lines", "Site: a\rSite: b\u{2028}Site: c\u{85}Site: d\x0cSite: e\x1cSite: f\n\n\n"),
        ("control", "Site: \0\u{1b}[2J\u{7f}\u{202e}\t\u{9b}x\nSite:\n:\n:::\n"),
        ("percent", "%%%%\n%%%\nSite: a%%b\n%"),
    ] {
        add(&format!("text-{name}"), payload.as_bytes().to_vec());
        add(&format!("text-{name}-job"), format!("{header}{payload}").into_bytes());
    }
    for (name, bytes) in [
        ("no-utf-8", &b"Site: \xff\xfe\xc3\nSite: \xed\xa0\x80\xed\xb0\x80\nSite: \xf4\x90\x80\x80\xc0\xaf"[..]),
        ("half-a-character", b"Site: \xf0\x9f\x98"),
        ("continued", b"Site: \x80\x80\xbf\xe2\x28\xa1"),
    ] {
        add(&format!("text-{name}"), bytes.to_vec());
        add(&format!("text-{name}-job"), [header.as_bytes(), bytes].concat());
    }
    add("text-many-lines", [header, &"Site: x\n".repeat(100_000)].concat().into());
    add("text-many-bad-lines", [header, &"Site x\n".repeat(100_000)].concat().into());
    add("text-many-records", [header, &"Site: \u{2028}\n%%\n".repeat(40_000)].concat().into());
    add("text-one-line", ["Site: ", &"\u{e9}x".repeat(300_000)].concat().into());
    add("text-one-bad-line", [b"Site: ".to_vec(), b"\xed\xa0\x80".repeat(200_000)].concat());
    let table: String = (0..50_000).map(|number| format!("b{number}: 1, ")).collect();
    add("text-table", format!("{header}Site: x\nServiceLevel: {{{table}hepspec: 1}}\n%%\n").into());
    add("text-digits", format!("{header}Site: x\nWallDuration: {}\n", "9".repeat(5000)).into());
}
