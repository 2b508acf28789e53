//! The program `sesame`: see `sesame::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sesame::cli::main()
}
