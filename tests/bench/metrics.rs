//! A scrape of `/metrics` with 1,000 signers and 20 plugins: the time from the request to the end of the answer, and what a
//! page costs.
//!
//! The page is that of a receiver as the service makes it, without what is on the disk, which a scrape does not wait for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::message::Direction;
use ::plugins::{CompileSettings, Pipeline, PipelineSettings, Plugins, StageSource, TOTAL_TIME, stock_component};
use ::sesame::channel::{Channel, Meters};
use ::sesame::service::show_channel;
use observe::overview::Overview;
use observe::{Control, Events, Page, Source};

use crate::harness::Folder;
use crate::program;
use crate::report::{Goal, Report, median};

const SIGNERS: usize = 1_000;
const PLUGINS: usize = 20;
const ROUNDS: usize = 15;

/// Measures and prints.
pub(crate) fn measure(report: &mut Report) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let port = crate::harness::ports::free();
    let address = observe::Address::parse(&format!("127.0.0.1:{port}")).unwrap();
    let source = Arc::new(Crowd::new());
    let _entered = runtime.enter();
    let listener = observe::Listener::bind(&address).unwrap();
    runtime.spawn(observe::serve(listener, source, observe::Limits::default(), std::future::pending()));
    for (name, accept) in [("text", "*/*"), ("OpenMetrics", "application/openmetrics-text;version=1.0.0")] {
        let mut bytes = 0;
        let times = (0..ROUNDS).map(|_| {
            // A page is shown again for a quarter of a second; each of these is made.
            std::thread::sleep(Duration::from_millis(300));
            let began = Instant::now();
            bytes = scrape(port, accept);
            began.elapsed().as_secs_f64() * 1e3
        });
        let time = median(times.collect());
        let name = format!("scrape as {name}, {SIGNERS} signers, {PLUGINS} plugins");
        report.goal(&name, time, "ms", Goal::AtMost(10.0));
        report.figure(&format!("{name}: size"), bytes as f64 / 1e3, "kB");
    }
}

/// A channel with many signers and plugins.
struct Crowd {
    channel: Channel,
    meters: Meters,
    pipeline: Pipeline,
    events: Arc<Events>,
    _folder: Folder,
}

impl Crowd {
    fn new() -> Self {
        let folder = Folder::new("figures-metrics");
        let settings = CompileSettings { program: Some(program()), ..CompileSettings::default() };
        let plugins = Plugins::start(settings).unwrap();
        let component = stock_component("builtin:passthrough").flatten().unwrap();
        let stages = (0..PLUGINS).map(|number| {
            let file = folder.join(format!("plugin-{number:02}.wasm"));
            std::fs::write(&file, component).unwrap();
            StageSource::named(&file.to_string_lossy(), None)
        });
        let settings = PipelineSettings {
            stages: stages.collect(),
            channel: "central".to_owned(),
            around: ::plugins::Surroundings::of_channels(vec!["central".to_owned()]),
            direction: Direction::Inbound,
            routes: Vec::new(),
            max_payload: 16 << 20,
            total_time: TOTAL_TIME,
        };
        let pipeline = Pipeline::load(&plugins, settings).unwrap_or_else(|errors| panic!("{errors:?}"));
        let meters = Meters::default();
        for number in 0..SIGNERS {
            let signer = format!("/DC=org/DC=example/O=Site {number}/OU=Hosts/CN=ce{number}.example.org");
            meters.heard(&signer, SystemTime::now());
        }
        Self { channel: Channel::receiver("central"), meters, pipeline, events: Arc::default(), _folder: folder }
    }
}

impl Control for Crowd {}

impl Source for Crowd {
    fn page(&self) -> Page {
        let mut page = Page::default();
        show_channel(&mut page, (&self.channel, &self.meters), &self.pipeline, None);
        page
    }

    fn overview(&self) -> Overview {
        Overview::default()
    }

    fn events(&self) -> &Arc<Events> {
        &self.events
    }

    fn trace(&self, _id: &str) -> Result<Vec<serde_json::Value>, String> {
        Ok(Vec::new())
    }

    fn out_of_service(&self) -> Vec<String> {
        Vec::new()
    }
}

fn scrape(port: u16, accept: &str) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let signers = page.matches("sesame_signer_last_message_age_seconds{").count();
    let plugins = page.matches("sesame_plugin_call_seconds_count{").count();
    assert_eq!((signers, plugins), (SIGNERS, PLUGINS), "{page}");
    page.len()
}
