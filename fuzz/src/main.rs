//! libFuzzer's loop over the target that the environment names: `SESAME_FUZZ_TARGET=frames fuzz CORPUS…`. See `fuzz/run`.

#![no_main]

use std::sync::LazyLock;

use sesame_fuzz::Target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("SESAME_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = sesame_fuzz::TARGETS.iter().map(|target| target.name).collect();
    sesame_fuzz::target(&name)
        .unwrap_or_else(|| panic!("SESAME_FUZZ_TARGET={name:?} is no target; there are: {}", names.join(", ")))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    (TARGET.parse)(input.get(..TARGET.max_len).unwrap_or(input));
});
