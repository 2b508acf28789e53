//! Configuration files: `sesame.toml`, and SSM's `sender.cfg` and `receiver.cfg`.

use std::path::Path;

use sesame::config::{Config, ConfigErrors, Files};

/// Input: a `sesame.toml`. What is accepted and printed reads back the same.
pub(crate) fn sesame(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    read_back(Config::parse(text, Path::new("sesame.toml"), Files::Ignore))
}

/// Input: a `sender.cfg` or `receiver.cfg`. What is accepted and printed reads back the same, apart from its notes.
pub(crate) fn ssm(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    read_back(Config::parse_ssm(text, Path::new("sender.cfg"), Files::Ignore))
}

fn read_back(read: Result<Config, ConfigErrors>) -> bool {
    match read {
        Ok(config) => {
            let printed = config.effective_toml();
            let again = Config::parse(&printed, Path::new("printed.toml"), Files::Ignore);
            let config = Config { notes: Vec::new(), ..config };
            assert_eq!(again.as_ref(), Ok(&config), "{printed}");
            true
        }
        Err(errors) => {
            assert!(!errors.mistakes().is_empty());
            false
        }
    }
}
