//! The terminal, the keys and the clock.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use observe::overview::{Event, Overview};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::{Key, Model, Next, draw};

/// How often Sesame is asked.
const REFRESH: Duration = Duration::from_secs(1);
/// The longest wait for a key: so late a signal is seen.
const KEYS: Duration = Duration::from_millis(100);

/// What Sesame answers to one question, or why it does not.
pub type Answer = Result<(Overview, Vec<Event>), String>;

/// Shows what `ask` answers until the user or a signal ends it. The terminal is as it was afterwards, also after a panic.
///
/// # Errors
/// Where the terminal cannot be read or written.
pub fn run(ask: impl FnMut() -> Answer + Send + 'static, colours: bool) -> io::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    // The panic hook that this sets puts the terminal back before the panic is printed.
    let mut terminal = ratatui::try_init()?;
    let _restored = Restored;
    std::thread::spawn(end_with_the_terminal);
    show(&mut terminal, &answers(ask), &stop, Model::new(colours))
}

/// Puts the terminal back.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = ratatui::try_restore();
    }
}

/// Ends the process once its terminal is gone. Waiting for a key would never end then: a read gives nothing, at once, and the
/// library reads again (crossterm 0.29).
fn end_with_the_terminal() {
    while io::stdout().is_terminal() {
        std::thread::sleep(REFRESH);
    }
    std::process::exit(i32::from(terminal::EXIT_FAILED));
}

/// Asks again and again, on a thread that ends with the receiver or the process.
fn answers(mut ask: impl FnMut() -> Answer + Send + 'static) -> Receiver<Answer> {
    let (to, answers) = sync_channel(1);
    std::thread::spawn(move || {
        loop {
            let began = Instant::now();
            if to.send(ask()).is_err() {
                return;
            }
            std::thread::sleep(REFRESH.saturating_sub(began.elapsed()));
        }
    });
    answers
}

fn show(
    terminal: &mut DefaultTerminal,
    answers: &Receiver<Answer>,
    stop: &AtomicBool,
    mut model: Model,
) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        match answers.try_recv() {
            Ok(Ok((overview, recent))) => model.take(overview, recent),
            Ok(Err(why)) => model.miss(now(), why),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Err(io::Error::other("the thread that asks Sesame has ended")),
        }
        terminal.draw(|frame| draw::draw(frame, &model, now()))?;
        // All keys that were typed meanwhile, before the next picture.
        let mut patience = KEYS;
        while event::poll(patience)? {
            if let Input::Key(typed) = event::read()?
                && let Some(key) = meaning(typed)
                && model.key(key) == Next::Quit
            {
                return Ok(());
            }
            patience = Duration::ZERO;
        }
    }
    Ok(())
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// What a key means, if anything.
fn meaning(typed: KeyEvent) -> Option<Key> {
    if typed.kind == KeyEventKind::Release {
        return None;
    }
    let control = typed.modifiers.contains(KeyModifiers::CONTROL);
    match typed.code {
        KeyCode::Char('c') if control => Some(Key::Quit),
        KeyCode::Char('q') => Some(Key::Quit),
        KeyCode::Esc => Some(Key::Back),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Tab | KeyCode::Right => Some(Key::NextView),
        KeyCode::BackTab | KeyCode::Left => Some(Key::LastView),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Char('p' | ' ') => Some(Key::Pause),
        KeyCode::Char('?' | 'h') => Some(Key::Help),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_meaning_and_others_have_none() {
        let typed = |code, modifiers| meaning(KeyEvent::new(code, modifiers));
        let plain = |code| typed(code, KeyModifiers::NONE);
        assert_eq!(typed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(plain(KeyCode::Char('c')), None);
        assert_eq!(plain(KeyCode::Esc), Some(Key::Back));
        assert_eq!(plain(KeyCode::Char('j')), plain(KeyCode::Down));
        assert_eq!(plain(KeyCode::F(1)), None);
        let released =
            KeyEvent { kind: KeyEventKind::Release, ..KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE) };
        assert_eq!(meaning(released), None);
    }

    #[test]
    fn answers_come_from_a_thread_that_ends_with_the_receiver() {
        let mut asked = 0;
        let answers = answers(move || {
            asked += 1;
            Err(asked.to_string())
        });
        assert_eq!(answers.recv().unwrap().unwrap_err(), "1");
        assert_eq!(answers.recv().unwrap().unwrap_err(), "2");
    }
}
