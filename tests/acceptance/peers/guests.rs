//! The plugins of `tests/guests`, built from source at the first call.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::broker::succeed;
use crate::harness::Folder;

/// The component `NAME.wasm`.
#[track_caller]
pub(crate) fn component(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Folder::for_the_run("guests");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/build");
        let mut command = Command::new(script);
        if std::env::var_os("SESAME_GUEST_TARGET_DIR").is_none() {
            command.env("SESAME_GUEST_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("guests"));
        }
        succeed(command.arg(&folder).env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS"));
        folder
    });
    let file = folder.join(format!("{name}.wasm"));
    assert!(file.exists(), "tests/guests/build made no {name}.wasm");
    file
}
