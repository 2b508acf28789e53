//! Every format cut, rebuilt and edited.

use super::*;

const JOBS: &str = "APEL-individual-job-message: v0.3\nSite: A\nVO: x\n%%\nSite: B\n%%\nSite: C\n%%\n";
const CLOUD: &str = "APEL-cloud-message: v0.4\nSiteName: A\nVMUUID: 1\n%%\nSiteName: B\nVMUUID: 2";
const GPU: &str = r#"{"Type": "APEL-accelerator-message", "Version": "0.1", "UsageRecords": [
  {"SiteName": "A", "GlobalUserName": null, "Count": 1.5},
  {"SiteName": "B\"}]%%", "Nested": {"GlobalUserName": "\u00e4", "List": [{"Site": "x"}]}},
  {}
] }
"#;
const STAR: &str = r#"<?xml version="1.0" ?>
<!-- monthly -->
<sr:StorageUsageRecords xmlns:sr="http://eu-emi.eu/namespaces/2011/02/storagerecord">
  <sr:StorageUsageRecord>
    <sr:RecordIdentity sr:recordId="1" sr:createTime="2026-11-24T00:00:00Z"/>
    <sr:Site>A &amp; B</sr:Site><!-- <sr:StorageUsageRecord> -->
    <sr:SubjectIdentity><sr:LocalUser><![CDATA[</x>joe]]></sr:LocalUser></sr:SubjectIdentity>
  </sr:StorageUsageRecord>
  <!-- between -->
  <sr:StorageUsageRecord sr:note="a>b"><sr:Site/></sr:StorageUsageRecord>
</sr:StorageUsageRecords>
"#;

fn cut(payload: &str) -> Shape<'_> {
    Shape::cut(payload.as_bytes()).unwrap()
}

fn built(payload: &str, indices: &[usize]) -> String {
    String::from_utf8(cut(payload).build(indices)).unwrap()
}

fn records(payload: &str) -> Vec<&str> {
    cut(payload).records().map(|record| std::str::from_utf8(record).unwrap()).collect()
}

fn refusal(payload: &str) -> String {
    let finding = Shape::cut(payload.as_bytes()).unwrap_err().remove(0);
    format!("{}: {}", finding.code, finding.text)
}

fn edited(payload: &str, change: impl FnMut(&mut Record<'_>)) -> String {
    let payload = edit(payload.as_bytes(), change).unwrap().payload;
    String::from_utf8(payload.expect("something was edited")).unwrap()
}

/// Names and values of all fields of the first record.
fn fields(payload: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    edit(payload.as_bytes(), |record| {
        if record.number() == 1 {
            found = record.fields().iter().map(|field| (field.name.to_string(), field.value.to_string())).collect();
        }
    })
    .unwrap();
    found
}

fn set(name: &'static str, value: &'static str) -> impl FnMut(&mut Record<'_>) {
    move |record| {
        let at: Vec<usize> = (0..record.fields().len()).filter(|&at| record.fields()[at].name == name).collect();
        at.into_iter().for_each(|at| record.set(at, value));
    }
}

#[test]
fn every_kind_is_recognised() {
    let xml = |ns: &str, name: &str| format!("<x:{name} xmlns:x=\"http://eu-emi.eu/namespaces/{ns}\"/>");
    let cases: [(&str, Kind); 15] = [
        ("\n APEL-individual-job-message: v0.3\nSite: A", Kind::Job),
        ("APEL-individual-job-message:", Kind::Job),
        ("APEL-summary-job-message: v0.2", Kind::Summary),
        ("APEL-summary-job-message: v0.4\r\n", Kind::Summary),
        ("APEL-summary-job-message: v0.3", Kind::NormalisedSummary),
        ("APEL-normalised-summary-message: v0.4", Kind::NormalisedSummary),
        ("APEL-sync-message: v0.1\n", Kind::Sync),
        ("APEL-cloud-message: v0.2", Kind::Cloud),
        ("APEL-cloud-summary-message: v0.4", Kind::CloudSummary),
        (GPU, Kind::Accelerator),
        (r#"{"UsageRecords":[],"Type":"APEL-accelerator-summary-message"}"#, Kind::AcceleratorSummary),
        (r#"{"Type":"APEL Public \u0049P message","UsageRecords":[]}"#, Kind::PublicIp),
        (STAR, Kind::Storage),
        ("", Kind::Unknown),
        ("Site: A\n", Kind::Unknown),
    ];
    for (payload, kind) in cases {
        assert_eq!(Kind::of(payload.as_bytes()), kind, "{payload}");
    }
    assert_eq!(Kind::of(xml("2012/11/computerecord", "UsageRecords").as_bytes()), Kind::Usage);
    assert_eq!(Kind::of(xml("2012/11/aggregatedcomputerecord", "SummaryRecord").as_bytes()), Kind::AggregatedUsage);
    assert_eq!(Kind::of(xml("2011", "UsageRecord").as_bytes()), Kind::Unknown);
    assert_eq!(Kind::of(b"\xFF\xFE<"), Kind::Unknown);
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(kind));
    }
}

#[test]
fn a_message_of_all_its_records_is_the_message() {
    let crlf = JOBS.replace('\n', "\r\n");
    for payload in [JOBS, CLOUD, GPU, STAR, &crlf, "APEL-sync-message: v0.1\n%%\n\n%%Site: A%%%%\n"] {
        let all: Vec<usize> = (0..cut(payload).len()).collect();
        assert_eq!(built(payload, &all), payload);
        assert_eq!(built(&format!(" \u{a0}\n\x1c{payload}"), &all), payload);
    }
}

#[test]
fn text_is_cut_at_its_separators() {
    assert_eq!(records(JOBS), ["Site: A\nVO: x", "Site: B", "Site: C"]);
    assert_eq!(built(JOBS, &[1]), "APEL-individual-job-message: v0.3\nSite: B\n%%\n");
    assert_eq!(built(JOBS, &[0, 2]), "APEL-individual-job-message: v0.3\nSite: A\nVO: x\n%%\nSite: C\n%%\n");
    assert_eq!(built(CLOUD, &[0]), "APEL-cloud-message: v0.4\nSiteName: A\nVMUUID: 1");
    assert_eq!(records("APEL-a-message: v1\nQueue: a%%b\n%%\n"), ["Queue: a", "b"]);
    assert_eq!(records("APEL-a-message: v1%%\n \n%%\n\x0c"), [""; 0]);
    assert_eq!(records("APEL-a-message: v1\u{2028}Site: A"), ["Site: A"]);
    assert!(refusal("Site: A\n%%\nSite: B").contains("none of the headers"));
}

#[test]
fn json_is_cut_at_its_elements() {
    assert_eq!(cut(GPU).len(), 3);
    assert_eq!(cut(GPU).record(2), b"{}");
    let one = built(GPU, &[2]);
    assert!(one.starts_with(r#"{"Type": "APEL-accelerator-message", "Version": "0.1", "UsageRecords": ["#));
    assert!(one.ends_with("[\n  {}\n] }\n"), "{one}");
    assert_eq!(cut(&built(GPU, &[0, 2])).len(), 2);
    assert!(cut(r#"{"UsageRecords":[ ]}"#).is_empty());
    for (payload, reason) in [
        ("{", "json.malformed"),
        (r#"{"Type":"x"}"#, "no array UsageRecords"),
        (r#"{"UsageRecords":{}}"#, "no array UsageRecords"),
        (r#"{"UsageRecords":[],"UsageRecord\u0073":[]}"#, "twice"),
        (r#"{"UsageRecords":[]} x"#, "json.malformed"),
        (r#"{"UsageRecords":[{},]}"#, "json.malformed"),
        ("{\"UsageRecords\":[\"a\nb\"]}", "json.malformed"),
    ] {
        assert!(refusal(payload).contains(reason), "{payload}: {}", refusal(payload));
    }
    let deep = format!("{{\"UsageRecords\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refusal(&deep).contains("json.malformed"));
    assert!(Shape::cut(b"{\"UsageRecords\":[\"\xE4\"]}").unwrap_err()[0].code == "message.not-utf8");
    let numbers = r#"{"UsageRecords":[-0.5e+3, 0, NaN, -Infinity, true, "\ud800"]}"#;
    assert_eq!(cut(numbers).len(), 6);
}

#[test]
fn xml_is_cut_at_its_record_elements() {
    assert_eq!(cut(STAR).len(), 2);
    let one = built(STAR, &[1]);
    assert!(one.contains("<!-- monthly -->") && one.contains("sr:note=\"a>b\"") && !one.contains("joe"), "{one}");
    assert_eq!(cut(&one).len(), 1);
    let bare = "<!-- x --><UsageRecord xmlns='http://eu-emi.eu/namespaces/2012/11/computerecord'><Site>A</Site></UsageRecord>\n";
    assert_eq!(records(bare), [bare]);
    assert_eq!(built(bare, &[0]), bare);
    let none = "<UsageRecords xmlns='http://eu-emi.eu/namespaces/2012/11/computerecord'> </UsageRecords>";
    assert!(cut(none).is_empty());
    let wrapped = |inner: &str| none.replace("> <", &format!(">{inner}<"));
    for (payload, reason) in [
        (wrapped("<UsageRecord><UsageRecord/></UsageRecord>"), "inside another"),
        (wrapped("<UsageRecord/><Other/>"), "more than"),
        (wrapped("<UsageRecord/>text"), "more than"),
        (wrapped("<UsageRecord>"), "xml.malformed"),
        (wrapped("<p:UsageRecord/>"), "xml.malformed"),
        (format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{none}"), "xml.malformed"),
        ("<a/>".to_owned(), "no known record format"),
    ] {
        assert!(refusal(&payload).contains(reason), "{payload}: {}", refusal(&payload));
    }
    assert!(Shape::cut(b"<a>\xE4</a>").unwrap_err()[0].code == "message.not-utf8");
}

#[test]
fn deep_xml_is_no_danger() {
    let depth = 900;
    let open = "<UsageRecords xmlns='http://eu-emi.eu/namespaces/2012/11/computerecord'><UsageRecord>";
    let nested = format!("{open}{}{}</UsageRecord></UsageRecords>", "<a>x".repeat(depth), "</a>".repeat(depth));
    assert_eq!(cut(&nested).len(), 1);
    assert_eq!(fields(&nested).len(), depth);
}

#[test]
fn fields_are_what_the_loader_would_see() {
    let text =
        "APEL-individual-job-message: v0.3\r\n Site :\tA: b \r\nnothing\rVO:\x0bFQAN: \u{a0}/x\u{2029}Queue: None\n%%";
    let expected = [("Site", "A: b"), ("VO", ""), ("FQAN", "/x"), ("Queue", "None")];
    assert_eq!(fields(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let escaped = r#"{"UsageRecords":[{"Global\u0055serName":"\ud83d\ude00\n","A":{"B":[{"C":1}]},"D":"None"}]}"#;
    let found = fields(escaped);
    assert_eq!(found[0], ("GlobalUserName".to_owned(), "\u{1f600}\n".to_owned()));
    assert!(found.contains(&("A.B.C".to_owned(), "1".to_owned())) && found.len() == 5, "{found:?}");
    let found = fields(STAR);
    assert!(found.contains(&("Site".to_owned(), "A & B".to_owned())));
    assert!(found.contains(&("LocalUser".to_owned(), "<![CDATA[</x>joe]]>".to_owned())));
    assert!(found.contains(&("RecordIdentity@recordId".to_owned(), "1".to_owned())));
}

#[test]
fn values_change_and_nothing_else() {
    assert_eq!(edited(JOBS, set("VO", "y")), JOBS.replace("VO: x", "VO: y"));
    let empty = "APEL-a-message: v1\nVO:\nSite: A";
    assert_eq!(edited(empty, set("VO", "y")), empty.replace("VO:", "VO: y"));
    assert_eq!(edited(GPU, set("SiteName", "\"\u{1}\\")).matches(r#""SiteName": "\"\u0001\\""#).count(), 2);
    assert_eq!(edited(GPU, set("GlobalUserName", "joe")), GPU.replace("null", "\"joe\""));
    let nested = edited(GPU, set("Nested", "gone"));
    assert!(nested.contains(r#""Nested": "gone"},"#), "{nested}");
    assert_eq!(
        edited(STAR, set("LocalUser", "<&\"'>")),
        STAR.replace("<![CDATA[</x>joe]]>", "&lt;&amp;&quot;&apos;&gt;")
    );
    assert_eq!(edited(STAR, set("RecordIdentity@recordId", "\"2\"")), STAR.replace("\"1\"", "\"&quot;2&quot;\""));
    let sites = edited(STAR, set("Site", "C"));
    assert_eq!(sites, STAR.replace("A &amp; B", "C").replace("<sr:Site/>", "<sr:Site>C</sr:Site>"));
    assert_eq!(edit(JOBS.as_bytes(), set("VO", "x")).unwrap().payload, None);
}

#[test]
fn names_change_and_nothing_else() {
    let rename = |record: &mut Record<'_>| {
        let names: Vec<String> = record.fields().iter().map(|field| field.name.to_string()).collect();
        for (at, name) in names.iter().enumerate() {
            match name.as_str() {
                "Site" | "SiteName" => record.rename(at, "Place"),
                "RecordIdentity@recordId" => record.rename(at, "RecordIdentity@id"),
                _ => {}
            }
        }
    };
    assert_eq!(edited(JOBS, rename), JOBS.replace("Site:", "Place:"));
    assert_eq!(edited(GPU, rename), GPU.replace("SiteName", "Place"));
    let renamed = STAR.replace("sr:Site>", "sr:Place>").replace("sr:Site/", "sr:Place/").replace("recordId", "id");
    assert_eq!(edited(STAR, rename), renamed);
}

#[test]
fn fields_are_added_at_the_end_of_each_record() {
    let add = |record: &mut Record<'_>| record.add("VO", "a<b");
    assert_eq!(edited(CLOUD, add), CLOUD.replace("VMUUID: 1", "VMUUID: 1\nVO: a<b").to_owned() + "\nVO: a<b");
    let crlf = JOBS.replace('\n', "\r\n");
    assert!(edited(&crlf, add).contains("VO: x\r\nVO: a<b\r\n%%\r\nSite: B\r\nVO: a<b\r\n"));
    let gpu = edited(GPU, |record| {
        record.add("VO", "\"");
        record.add_number("Count", "2");
    });
    assert!(
        gpu.contains(r#""Count": 1.5, "VO": "\"", "Count": 2},"#) && gpu.contains(r#"{"VO": "\"", "Count": 2}"#),
        "{gpu}"
    );
    let star = edited(STAR, |record| {
        record.add("Site", "<");
        record.add("RecordIdentity@note", "\"");
    });
    assert!(
        star.contains(
            "<sr:Site/><sr:Site>&lt;</sr:Site><sr:RecordIdentity sr:note=\"&quot;\"/></sr:StorageUsageRecord>"
        )
    );
    assert!(star.contains("createTime=\"2026-11-24T00:00:00Z\" sr:note=\"&quot;\"/>"), "{star}");
    assert_eq!(cut(&star).len(), 2);
}

#[test]
fn what_a_format_cannot_hold_is_refused() {
    for value in ["a\nb", "a%%b", "\u{85}"] {
        let finding = edit(JOBS.as_bytes(), |record| record.add("VO", value)).unwrap_err().remove(0);
        assert_eq!((finding.code.as_str(), finding.record_number), ("shape.not-written", Some(1)));
        assert!(edit(JOBS.as_bytes(), |record| record.set(0, value)).is_err());
    }
    for name in ["a:b", "a\nb"] {
        assert!(edit(JOBS.as_bytes(), |record| record.add(name, "x")).is_err());
        assert!(edit(JOBS.as_bytes(), |record| record.rename(0, name)).is_err());
    }
    for (name, value) in [("a b", "x"), ("a", "\u{1}"), ("a@b@c", "x"), ("1", "x")] {
        assert!(edit(STAR.as_bytes(), |record| record.add(name, value)).is_err(), "{name}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut seed = 7_u32;
    for base in [JOBS, GPU, STAR, CLOUD] {
        for at in 0..base.len() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut bytes = base.as_bytes().to_vec();
            bytes[at] = (seed >> 24) as u8;
            for payload in [&bytes[..], &bytes[..at], &bytes[at..]] {
                let _ = Kind::of(payload);
                if let Ok(shape) = Shape::cut(payload) {
                    assert_eq!(shape.build(&(0..shape.len()).collect::<Vec<_>>()), from_first(payload));
                }
                let _ = edit(payload, |record| {
                    (0..record.fields().len()).for_each(|at| record.set(at, "v"));
                    record.add("F", "v");
                });
            }
        }
    }
}
