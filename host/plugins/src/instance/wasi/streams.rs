//! Standard streams, environment and exit: standard input is empty; standard output and error go to the plugin's log, line by
//! line and within its limit; the environment is empty; `exit` ends the call.

use wasmtime::component::Resource;

use super::bindings::wasi::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use super::bindings::wasi::io::error::{self, Error};
use super::bindings::wasi::io::streams::{self, StreamError};
use super::clocks::Pollable;
use crate::component::bindings::log::Level;
use crate::instance::state::HostState;

/// Bytes that a guest may write at once.
const CHUNK: u64 = 64 << 10;

/// The most bytes of one line that are kept; a line of the log is shorter.
const LINE: usize = 8 << 10;

type Answer<T> = wasmtime::Result<Result<T, StreamError>>;

/// Standard input, which is always at its end.
#[derive(Debug)]
pub struct Input;

/// Where a guest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Stdout,
    Stderr,
    /// Discarded, such as the body of a request that is never sent.
    Nowhere,
}

/// The guest called `exit` with this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exit({0})")]
pub(crate) struct Exit(pub(crate) i32);

/// The unfinished line of a guest.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<u8>);

impl Line {
    /// Adds bytes, and passes on each line that they complete.
    fn push(&mut self, bytes: &[u8], mut whole: impl FnMut(&str)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(self.0.len());
            self.0.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if piece.ends_with(b"\n") {
                self.end(&mut whole);
            }
        }
    }

    /// Passes on the line as it is, unless it is blank.
    pub(super) fn end(&mut self, mut whole: impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.0);
        let text = text.trim_end();
        if !text.is_empty() {
            whole(text);
        }
        self.0.clear();
    }
}

impl HostState {
    fn print(&mut self, output: Output, bytes: &[u8]) {
        let Self { log, wasi, stderr, .. } = self;
        match output {
            Output::Stdout => wasi.stdout.push(bytes, |line| log.write(Level::Info, line)),
            Output::Stderr => {
                stderr.keep(bytes);
                wasi.stderr.push(bytes, |line| log.write(Level::Warn, line));
            }
            Output::Nowhere => {}
        }
    }

    fn output(&mut self, stream: &Resource<Output>) -> wasmtime::Result<Output> {
        Ok(*self.wasi.table.get(stream)?)
    }
}

impl streams::HostInputStream for HostState {
    fn read(&mut self, _: Resource<Input>, _: u64) -> Answer<Vec<u8>> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_read(&mut self, _: Resource<Input>, _: u64) -> Answer<Vec<u8>> {
        Ok(Err(StreamError::Closed))
    }

    fn skip(&mut self, _: Resource<Input>, _: u64) -> Answer<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_skip(&mut self, _: Resource<Input>, _: u64) -> Answer<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn subscribe(&mut self, _: Resource<Input>) -> wasmtime::Result<Resource<Pollable>> {
        self.wasi.push(Pollable::Ready)
    }

    fn drop(&mut self, stream: Resource<Input>) -> wasmtime::Result<()> {
        self.wasi.table.delete(stream)?;
        Ok(())
    }
}

impl streams::HostOutputStream for HostState {
    fn check_write(&mut self, _: Resource<Output>) -> Answer<u64> {
        Ok(Ok(CHUNK))
    }

    fn write(&mut self, stream: Resource<Output>, bytes: Vec<u8>) -> Answer<()> {
        let output = self.output(&stream)?;
        self.print(output, &bytes);
        Ok(Ok(()))
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<Output>, bytes: Vec<u8>) -> Answer<()> {
        self.write(stream, bytes)
    }

    fn flush(&mut self, _: Resource<Output>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn blocking_flush(&mut self, _: Resource<Output>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn subscribe(&mut self, _: Resource<Output>) -> wasmtime::Result<Resource<Pollable>> {
        self.wasi.push(Pollable::Ready)
    }

    /// Zeros are not shown in a log.
    fn write_zeroes(&mut self, _: Resource<Output>, _: u64) -> Answer<()> {
        Ok(Ok(()))
    }

    fn blocking_write_zeroes_and_flush(&mut self, _: Resource<Output>, _: u64) -> Answer<()> {
        Ok(Ok(()))
    }

    /// The source can only be standard input.
    fn splice(&mut self, _: Resource<Output>, _: Resource<Input>, _: u64) -> Answer<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_splice(&mut self, _: Resource<Output>, _: Resource<Input>, _: u64) -> Answer<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn drop(&mut self, stream: Resource<Output>) -> wasmtime::Result<()> {
        self.wasi.table.delete(stream)?;
        Ok(())
    }
}

impl streams::Host for HostState {}

impl error::HostError for HostState {
    fn to_debug_string(&mut self, error: Resource<Error>) -> wasmtime::Result<String> {
        match *self.wasi.table.get(&error)? {}
    }

    fn drop(&mut self, error: Resource<Error>) -> wasmtime::Result<()> {
        match self.wasi.table.delete(error)? {}
    }
}

impl error::Host for HostState {}

impl environment::Host for HostState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for HostState {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(Exit(i32::from(status.is_err())).into())
    }

    fn exit_with_code(&mut self, status: u8) -> wasmtime::Result<()> {
        Err(Exit(status.into()).into())
    }
}

impl stdin::Host for HostState {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<Input>> {
        self.wasi.push(Input)
    }
}

impl stdout::Host for HostState {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<Output>> {
        self.wasi.push(Output::Stdout)
    }
}

impl stderr::Host for HostState {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<Output>> {
        self.wasi.push(Output::Stderr)
    }
}

impl terminal_input::HostTerminalInput for HostState {
    fn drop(&mut self, terminal: Resource<terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        match self.wasi.table.delete(terminal)? {}
    }
}

impl terminal_output::HostTerminalOutput for HostState {
    fn drop(&mut self, terminal: Resource<terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        match self.wasi.table.delete(terminal)? {}
    }
}

impl terminal_input::Host for HostState {}

impl terminal_output::Host for HostState {}

impl terminal_stdin::Host for HostState {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for HostState {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for HostState {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_passed_on_when_it_ends_and_cut_at_its_limit() {
        let (mut line, mut lines) = (Line::default(), Vec::new());
        line.push(b"one\n\n  \ntw", |text| lines.push(text.to_owned()));
        line.push(b"o\nthree", |text| lines.push(text.to_owned()));
        assert_eq!(lines, ["one", "two"]);
        (0..100).for_each(|_| line.push(&[b'x'; 1000], |_| panic!("it has not ended")));
        assert_eq!(line.0.len(), LINE);
        line.end(|text| lines.push(text.to_owned()));
        assert_eq!((lines[2].len(), line.0.len()), (LINE, 0));
    }
}
