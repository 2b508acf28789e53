//! `sesame version`.

use clap::Args;

use super::EXIT_DONE;
use trust::Library;

/// `sesame version`.
#[derive(Args, Debug)]
pub struct Version {
    /// Also print which OpenSSL it runs with, and for how long that is maintained.
    #[arg(long)]
    pub verbose: bool,
}

pub(super) fn run(arguments: &Version) -> u8 {
    terminal::line(concat!("sesame ", env!("CARGO_PKG_VERSION")));
    if arguments.verbose {
        let library = Library::loaded();
        terminal::line(&library.to_string());
        if let Some(warning) = library.warning(jiff::Timestamp::now()) {
            terminal::line(&warning);
        }
    }
    EXIT_DONE
}
