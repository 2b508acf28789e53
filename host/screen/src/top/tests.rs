//! What a terminal of some size shows, and what keys change in it.

use observe::overview::{Broker, Channel, Event, Overview, Severity};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::{Key, Model, Next, draw};
use crate::words::tests::{NOW, ago, trouble, well};

fn event(reason: &str) -> Event {
    Event {
        at: ago(30),
        channel: "cpu".to_owned(),
        fate: "rejected".to_owned(),
        code: Some("plugin".to_owned()),
        reason: Some(reason.to_owned()),
        id: Some("id-1".to_owned()),
        ..Event::default()
    }
}

fn model() -> Model {
    let mut model = Model::new(true);
    for second in 0..30 {
        let mut overview = Overview { at: NOW + second * 1000, ..well() };
        if let Some(channel) = overview.channels.first_mut() {
            channel.fates.insert("sent".to_owned(), second * second);
        }
        model.take(overview, vec![event("job.site: is unknown")]);
    }
    model
}

fn drawn(model: &Model, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::draw(frame, model, NOW + 30_000)).unwrap();
    terminal
}

fn screen(model: &Model, width: u16, height: u16) -> String {
    let terminal = drawn(model, width, height);
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(width).max(1));
    let rows = rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned());
    rows.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn shows(model: &Model, expected: &[&str]) {
    let screen = screen(model, 80, 24);
    for words in expected {
        assert!(screen.contains(words), "{words} in\n{screen}");
    }
}

#[test]
fn a_screen_of_80_columns_shows_the_way_of_each_channel() {
    let model = model();
    shows(
        &model,
        &[
            "Sesame 0.1.0  process 4711  up 3d 4h  all is well",
            "send.cpu  ready",
            "outgoing 3 (3m 31s) ─► 1 plugin ─► egi ●   reject 1 (1d 1h)",
            "█  841 sent  in flight 2  rejected 1",
            "receive.central  ready",
            "egi ● ─► 0 plugins ─► incoming 0",
            "q quit",
        ],
    );
}

#[test]
fn views_follow_each_other_and_enter_shows_one_channel() {
    let mut model = model();
    model.key(Key::Enter);
    shows(&model, &["destination  /queue/global", "step", "seal", "10 ms", "acknowledged awaited 4"]);
    model.key(Key::Back);
    model.key(Key::Down);
    model.key(Key::Enter);
    shows(&model, &["receive.central", "last heard", "/C=UK/CN=site.example.org"]);
    assert!(!screen(&model, 80, 24).contains("send.cpu"));
    model.key(Key::NextView);
    shows(&model, &["FATE", "rejected", "job.site: is unknown", "message id-1"]);
    model.key(Key::NextView);
    shows(&model, &["P99", "builtin:any-record", "ready"]);
    model.key(Key::NextView);
    shows(&model, &["2 sessions", "egi: opened 3, lost 1", "recipient", "in 39d 23h"]);
    model.key(Key::NextView);
    model.key(Key::LastView);
    shows(&model, &["2 sessions"]);
}

#[test]
fn keys_help_and_quit() {
    let mut model = model();
    assert_eq!(model.key(Key::Help), Next::Stay);
    shows(&model, &["these keys"]);
    assert_eq!(model.key(Key::Back), Next::Stay);
    assert!(!screen(&model, 80, 24).contains("these keys"));
    assert_eq!((model.key(Key::Quit), model.key(Key::Back)), (Next::Quit, Next::Quit));
}

#[test]
fn a_paused_display_stays_and_then_shows_what_is_new() {
    let mut model = model();
    model.key(Key::Pause);
    let mut later = Overview { at: NOW + 40_000, ..well() };
    later.troubles = vec![trouble(Severity::Critical, "broker egi", "away")];
    later.channels.clear();
    model.take(later, Vec::new());
    shows(&model, &["PAUSED", "all is well", "send.cpu"]);
    model.key(Key::Down);
    model.key(Key::Pause);
    shows(&model, &["1 critical", "critical broker egi: away", "no channel runs"]);
    assert_eq!(model.selected, 0);
}

#[test]
fn a_daemon_that_is_gone_and_comes_back() {
    let mut model = Model::new(true);
    shows(&model, &["asking Sesame"]);
    model.miss(NOW, "no Sesame runs".to_owned());
    model.miss(NOW + 5000, "no Sesame runs".to_owned());
    shows(&model, &["not reachable since 2027-01-15T08:00:00Z (30s): no Sesame runs"]);
    model.take(well(), Vec::new());
    model.miss(NOW + 20_000, "no Sesame runs".to_owned());
    shows(&model, &["send.cpu", "not reachable since 2027-01-15T08:00:20Z (10s)"]);
    model.take(well(), Vec::new());
    assert!(!screen(&model, 80, 24).contains("not reachable"));
}

#[test]
fn many_troubles_take_at_most_a_third() {
    let mut overview = well();
    overview.troubles = (0..9).map(|n| trouble(Severity::Warning, &format!("file {n}"), "ends")).collect();
    let mut model = Model::new(true);
    model.take(overview, Vec::new());
    shows(&model, &["warning file 2: ends", "6 more: see sesame status", "send.cpu"]);
    assert!(screen(&model, 80, 6).contains("8 more"));
}

#[test]
fn any_size_is_drawn_in_every_view() {
    let mut model = model();
    for view in 0..10 {
        for (width, height) in [(0, 0), (1, 1), (2, 40), (200, 1), (13, 5), (79, 23), (300, 90)] {
            drawn(&model, width, height);
        }
        if view == 4 {
            model.key(Key::Enter);
        }
        model.key(if view % 5 == 3 { Key::Help } else { Key::NextView });
    }
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let mut model = model();
    let colours = |model: &Model| {
        let terminal = drawn(model, 80, 24);
        terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(colours(&model));
    model.colours = false;
    assert!(!colours(&model));
}

#[test]
fn hostile_text_never_reaches_the_terminal_as_it_is() {
    const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}[2J\r\n\u{9b}31m\u{202e}\u{200f}evil\u{0}";
    let text = || HOSTILE.to_owned();
    let mut overview = well();
    overview.version = text();
    overview.troubles = vec![trouble(Severity::Warning, HOSTILE, HOSTILE)];
    overview.brokers = vec![Broker { name: text(), ..Broker::default() }];
    overview.expiries.iter_mut().for_each(|expiry| (expiry.file, expiry.purpose) = (text(), text()));
    for channel in &mut overview.channels {
        (channel.name, channel.broker, channel.destination, channel.directory) = (text(), text(), text(), text());
        channel.paused = Some(text());
        channel.rejections.insert(text(), 3);
        channel.queues.iter_mut().for_each(|queue| queue.name = text());
        channel.steps.iter_mut().for_each(|step| step.name = text());
        channel.signers.iter_mut().for_each(|signer| signer.name = text());
        for plugin in &mut channel.plugins {
            (plugin.name, plugin.state, plugin.fault) = (text(), text(), Some(text()));
        }
    }
    let recent =
        Event { fate: text(), code: Some(text()), signer: Some(text()), plugin: Some(text()), ..event(HOSTILE) };
    let mut model = Model::new(true);
    model.take(overview, vec![Event { id: Some(text()), channel: text(), ..recent }]);
    model.miss(NOW, text());
    let mut seen = 0;
    for key in [Key::Enter, Key::Down, Key::NextView, Key::NextView, Key::NextView, Key::NextView] {
        let terminal = drawn(&model, 400, 60);
        for cell in terminal.backend().buffer().content() {
            assert!(!cell.symbol().chars().any(message::text::is_unsafe), "{:?}", cell.symbol());
        }
        seen += screen(&model, 400, 60).matches("evil").count();
        model.key(key);
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn a_thousand_channels_scroll() {
    let mut overview = well();
    let channel = overview.channels.first().cloned().unwrap_or_default();
    overview.channels = (0..1000).map(|n| Channel { name: format!("c{n}"), ..channel.clone() }).collect();
    let mut model = Model::new(true);
    model.take(overview, Vec::new());
    (0..500).for_each(|_| assert_eq!(model.key(Key::Down), Next::Stay));
    shows(&model, &["send.c500  ready"]);
    (0..5000).for_each(|_| assert_eq!(model.key(Key::Down), Next::Stay));
    shows(&model, &["send.c999  ready"]);
}
