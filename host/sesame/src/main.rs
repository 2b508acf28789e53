//! The program `sesame`: everything is in the library, see `sesame::cli`.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    sesame::cli::main(sesame::cli::Cli::parse())
}
