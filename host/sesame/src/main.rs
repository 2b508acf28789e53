//! The program `sesame`: everything is in the library, see `sesame::commands`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    sesame::commands::main(sesame::commands::Cli::parse())
}
