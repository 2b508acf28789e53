//! From the command line to a command, and from its outcome to an exit status.

use std::process::ExitCode;

use super::context::say;
use super::{Cli, Command, EXIT_CONFIGURATION, EXIT_DONE, EXIT_FAILED};
use message::cause;
use settings::ConfigErrors;

/// Runs the command of the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = super::parse();
    harden();
    crate::memory::keep_heap();
    if matches!(cli.command, Command::CompilePlugin) {
        return plugins::compile_child_main();
    }
    if matches!(cli.command, Command::OpenMessages) {
        return isolate::child_main();
    }
    let status = written(run(cli).unwrap_or_else(|error| report(&error)));
    crate::log::finish();
    ExitCode::from(status)
}

/// The exit status, if what the command printed was written; else that of a failure.
fn written(status: u8) -> u8 {
    match terminal::unwritten() {
        Some(error) if status == EXIT_DONE => {
            say(&format!("sesame: cannot write to standard output: {error}"));
            EXIT_FAILED
        }
        _ => status,
    }
}

/// No core dumps and no debugger: the process holds a private key. As many open files as the system allows: a channel has
/// about a dozen, and the usual limit of 1024 is meant for programs that use `select`.
fn harden() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    let context = cli.global.context();
    match cli.command {
        Command::Send(arguments) => super::send::run(&arguments, &context),
        Command::Receive(arguments) => super::receive::run(&arguments, &context),
        Command::Run(arguments) => super::run::run(&arguments, &context),
        Command::Publish(arguments) => super::publish::run(&arguments, &context),
        Command::Explain(arguments) => super::explain::run(&arguments, &context),
        Command::Demo(arguments) => super::demo::run(&arguments),
        Command::Check(arguments) => super::check::run(&arguments, &context),
        Command::Status(arguments) => super::status::run(&arguments, &context),
        Command::Top(arguments) => super::top::run(&arguments, &context),
        Command::Queue(arguments) => super::queue::run(&arguments, &context),
        Command::Plugin(arguments) => super::plugin::run(&arguments, &context),
        Command::Tap(arguments) => super::tap::run(&context.config_to_ask()?, &arguments),
        Command::Trace(arguments) => super::trace::run(&context.config()?, &arguments),
        Command::Gaps(arguments) => super::gaps::run(&context.config()?, &arguments),
        Command::Index(arguments) => super::index::run(&context.config()?, &arguments),
        Command::Proof(arguments) => super::proof::run(&context.config()?, &arguments),
        Command::Report(arguments) => super::report::run(&context, &arguments),
        Command::Version(arguments) => Ok(super::version::run(&arguments)),
        Command::WritePages(arguments) => super::pages::run(&arguments),
        Command::CompilePlugin | Command::OpenMessages => Ok(EXIT_DONE),
    }
}

/// Prints why a command failed; answers with the exit status.
fn report(error: &anyhow::Error) -> u8 {
    if let Some(mistakes) = error.downcast_ref::<ConfigErrors>() {
        say(&mistakes.to_string());
        return EXIT_CONFIGURATION;
    }
    say(&format!("sesame: {}", cause::chain(AsRef::<dyn std::error::Error>::as_ref(error))));
    EXIT_FAILED
}
