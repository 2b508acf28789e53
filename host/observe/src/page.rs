//! The metrics of one moment, and how they are written: OpenMetrics 1.0, or the text format 0.0.4 for what reads no other.

use std::fmt;
use std::sync::Mutex;

use message::locked;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit as Written};

use crate::instruments::Distribution;

/// Series of one metric at most. More are left out, and [`Page::left_out`] says how many.
const MOST_SERIES: usize = 10_000;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and starts at zero again after a restart.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many were at most how long.
    Histogram,
    /// Always 1; the labels say it.
    Info,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Number,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A metric: one name with its labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The name, without the unit and without the end that its kind gives it.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub help: &'static str,
    /// What kind of metric it is.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter or gauge.
    Whole(u64),
    /// Of a counter or gauge.
    Real(f64),
    /// Of a histogram.
    Times(Distribution),
    /// Of an info.
    Fact,
}

type Labels = Vec<(&'static str, String)>;

/// The values of all metrics at one moment.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<(&'static Family, Vec<(Labels, Value)>)>,
    left_out: u64,
}

/// A form of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own text format.
    Text,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }

    fn of_the_library(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
            Self::Info => MetricType::Info,
        }
    }
}

impl Unit {
    fn written(self) -> Option<Written> {
        match self {
            Self::Number => None,
            Self::Seconds => Some(Written::Seconds),
            Self::Bytes => Some(Written::Bytes),
        }
    }
}

impl Family {
    /// The name by which a query finds it.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = self.unit.written().map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
        let end = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{unit}{end}", self.name)
    }
}

impl Page {
    /// Adds a value; `labels` are the values of the family's labels, in their order.
    pub fn add(&mut self, family: &'static Family, labels: &[&str], value: Value) {
        let at = self.families.iter().position(|(known, _)| std::ptr::eq(*known, family));
        let at = at.unwrap_or_else(|| {
            self.families.push((family, Vec::new()));
            self.families.len() - 1
        });
        let Some((_, series)) = self.families.get_mut(at) else { return };
        if series.len() == MOST_SERIES {
            self.left_out += 1;
            return;
        }
        let named = family.labels.iter().zip(labels).map(|(name, value)| (*name, (*value).to_owned()));
        series.push((named.collect(), value));
    }

    /// How many values found no room.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Writes the page.
    #[must_use]
    pub fn write(self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Once(Mutex::new(self))));
        let mut written = String::with_capacity(64 << 10);
        let done = match format {
            Format::OpenMetrics => text::encode(&mut written, &registry),
            Format::Text => prometheus_text::encode(&mut written, &registry),
        };
        // A string takes whatever is written to it.
        debug_assert!(done.is_ok());
        written
    }
}

/// Hands a page to the encoder.
#[derive(Debug)]
struct Once(Mutex<Page>);

impl Collector for Once {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (family, series) in &locked(&self.0).families {
            let unit = family.unit.written();
            let kind = family.kind.of_the_library();
            let mut metric = encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
            for (labels, value) in series {
                match (family.kind, labels.is_empty()) {
                    (Kind::Info, _) => metric.encode_info(labels)?,
                    (_, true) => encode(&mut metric, family.kind, value)?,
                    (_, false) => encode(&mut metric.encode_family(labels)?, family.kind, value)?,
                }
            }
        }
        Ok(())
    }
}

fn encode(metric: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    const NONE: Option<&Exemplar<NoLabelSet, f64>> = None;
    match (kind, value) {
        (Kind::Counter, Value::Whole(value)) => metric.encode_counter(value, NONE),
        (Kind::Counter, Value::Real(value)) => metric.encode_counter(value, NONE),
        (_, Value::Whole(value)) => metric.encode_gauge(value),
        (_, Value::Real(value)) => metric.encode_gauge(value),
        (_, Value::Times(times)) => {
            let mut buckets = times.buckets.clone();
            let within: u64 = buckets.iter().map(|(_, count)| count).sum();
            buckets.push((f64::INFINITY, times.count.saturating_sub(within)));
            metric.encode_histogram::<NoLabelSet>(times.sum, times.count, &buckets, None)
        }
        (_, Value::Fact) => Ok(()),
    }
}

impl Format {
    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_text::CONTENT_TYPE,
        }
    }

    /// The form that a client with this header `Accept` wants. OpenMetrics only where it is named: a browser or `curl` gets
    /// text that they show.
    #[must_use]
    pub fn wanted(accept: Option<&str>) -> Self {
        let (mut open, mut plain) = (0.0_f32, 0.0_f32);
        for range in accept.unwrap_or("*/*").split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut weight, mut version) = (1.0_f32, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => weight = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match media.as_str() {
                "application/openmetrics-text" if version.is_none_or(|version| version == "1.0.0") => {
                    open = weight.max(open)
                }
                "text/plain" if version.is_none_or(|version| version == "0.0.4") => plain = weight.max(plain),
                "text/*" | "*/*" => plain = weight.max(plain),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static SENT: Family = Family {
        name: "test_sent",
        help: "Messages sent.",
        kind: Kind::Counter,
        unit: Unit::Number,
        labels: &["channel", "text"],
    };
    static TIME: Family =
        Family { name: "test_time", help: "Time.", kind: Kind::Histogram, unit: Unit::Seconds, labels: &[] };
    static BUILD: Family =
        Family { name: "test_build", help: "Build.", kind: Kind::Info, unit: Unit::Number, labels: &["version"] };

    fn page() -> Page {
        let mut page = Page::default();
        page.add(&SENT, &["cpu", "a \"b\" \\ c\nd"], Value::Whole(3));
        let times = Distribution { sum: 1.5, count: 3, buckets: vec![(0.5, 2)] };
        page.add(&TIME, &[], Value::Times(times));
        page.add(&BUILD, &["1.0"], Value::Fact);
        page.add(&SENT, &["gpu", ""], Value::Real(0.5));
        page
    }

    #[test]
    fn open_metrics_ends_with_eof_and_names_units() {
        let text = page().write(Format::OpenMetrics);
        let expected = r#"# HELP test_sent Messages sent.
# TYPE test_sent counter
test_sent_total{channel="cpu",text="a \"b\" \\ c\nd"} 3
test_sent_total{channel="gpu",text=""} 0.5
# HELP test_time_seconds Time.
# TYPE test_time_seconds histogram
# UNIT test_time_seconds seconds
test_time_seconds_sum 1.5
test_time_seconds_count 3
test_time_seconds_bucket{le="0.5"} 2
test_time_seconds_bucket{le="+Inf"} 3
# HELP test_build Build.
# TYPE test_build info
test_build_info{version="1.0"} 1
# EOF
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn the_text_format_has_the_whole_name_in_its_comments() {
        let text = page().write(Format::Text);
        for family in [&SENT, &TIME, &BUILD] {
            assert!(text.contains(&format!("# TYPE {} ", family.full_name())), "{text}");
        }
        assert!(!text.contains("EOF") && !text.contains("UNIT"), "{text}");
    }

    #[test]
    fn the_series_of_a_metric_are_bounded() {
        let mut page = Page::default();
        for number in 0..MOST_SERIES + 5 {
            page.add(&SENT, &[&number.to_string(), ""], Value::Whole(1));
        }
        assert_eq!(page.left_out(), 5);
        assert_eq!(page.write(Format::Text).lines().count(), MOST_SERIES + 2);
    }

    #[test]
    fn the_format_is_what_the_client_asks_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;\
                          q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in
            [prometheus, "application/openmetrics-text", "text/plain;q=0.5, Application/OpenMetrics-Text; q=0.5"]
        {
            assert_eq!(Format::wanted(Some(accept)), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.2,text/plain;q=0.9",
            "application/json",
            "",
            ";;,=,;q=,",
        ] {
            assert_eq!(Format::wanted(Some(accept)), Format::Text, "{accept}");
        }
        assert_eq!(Format::wanted(None), Format::Text);
    }
}
