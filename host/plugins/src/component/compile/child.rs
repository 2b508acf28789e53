//! Compilation in a child process with limits.
//!
//! A component can be built so that compiling it takes hours or all memory, and wasmtime does not treat that as a bug. So
//! the program runs itself with the hidden subcommand `compile-plugin`, which limits itself before it reads the first
//! byte. It reads the component from standard input and writes the compiled code to standard output, and opens no file. The
//! functions of a component are compiled on all processors; CPU time and memory are limited for all threads together.

use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::artefact::Artefact;
use super::progress::{self, Progress};
use crate::component::engine::engine;
use crate::component::surface::{Surface, check_form};
use crate::component::{ComponentError, MAX_COMPONENT_BYTES, one_line};
use crate::text::clean_lines;

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "compile-plugin";

/// CPU time of one compilation, in seconds.
const CPU_SECONDS: u64 = 120;

/// Memory of one compilation.
const MEMORY: u64 = 2 << 30;

/// The niceness of the compiler: messages have priority.
const NICE: i32 = 10;

/// The child is killed after this time, however little CPU time it used.
const WALL: Duration = Duration::from_secs(600);

/// Exit status of the child when the component is invalid (`EX_DATAERR`).
const BAD_COMPONENT: u8 = 65;

/// The subcommand: reads a component from standard input and writes its compiled form to standard output. It prints the
/// reason to standard error and ends with 65 if the component is invalid, with 1 otherwise.
#[must_use]
#[expect(clippy::print_stderr, reason = "the child reports its error to the parent on standard error")]
pub fn child_main() -> ExitCode {
    match compile_here() {
        Ok(()) => ExitCode::SUCCESS,
        Err(ChildError::Component(error)) => {
            eprintln!("{error}");
            ExitCode::from(BAD_COMPONENT)
        }
        Err(ChildError::Io(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

enum ChildError {
    Component(String),
    Io(io::Error),
}

impl From<io::Error> for ChildError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn compile_here() -> Result<(), ChildError> {
    limit_myself()?;
    let mut component = Vec::new();
    io::stdin().lock().take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut component)?;
    check_form(&component).map_err(|error| ChildError::Component(error.to_string()))?;
    if let Ok(surface) = Surface::read(&component) {
        progress::count(surface.functions);
    }
    let engine = engine().map_err(|error| io::Error::other(one_line(&error)))?;
    let artefact = Artefact::compile(&engine, &component).map_err(|error| ChildError::Component(one_line(&error)))?;
    Ok(io::stdout().lock().write_all(artefact.bytes())?)
}

/// `RLIMIT_DATA` and not `RLIMIT_AS`: what the compiler's threads reserve without using it does not count.
fn limit_myself() -> io::Result<()> {
    // Where this is not allowed, the compiler only has a higher priority.
    let _ = rustix::process::nice(NICE);
    // Nothing waits for the result once the calling thread is gone.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let limits = [(Resource::Cpu, CPU_SECONDS), (Resource::Data, MEMORY), (Resource::Core, 0), (Resource::Fsize, 0)];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

/// Has `program` compile `component`, the one of `plugin`.
pub(super) fn compile_in_child(program: &Path, component: &[u8], plugin: &str) -> Result<Artefact, ComponentError> {
    let failed = |error: io::Error| ComponentError::Compile(format!("cannot run {}: {error}", program.display()));
    let mut command = Command::new(program);
    command.arg(SUBCOMMAND).env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let (status, code, said) = exchange(&mut child, component, plugin).map_err(failed)?;
    if status.success() {
        return Ok(Artefact::from_child(code));
    }
    Err(refusal(status, &clean_lines(&String::from_utf8_lossy(&said), 400)))
}

/// The error for how the child ended.
fn refusal(status: ExitStatus, said: &str) -> ComponentError {
    const KILLED: i32 = 9;
    const CPU_TIME_EXCEEDED: i32 = 24;
    match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(BAD_COMPONENT) => ComponentError::Malformed(said.to_owned()),
        (Some(code), _) => ComponentError::Compile(format!("the compiler exited with status {code}: {said:?}")),
        (None, Some(KILLED | CPU_TIME_EXCEEDED)) => {
            ComponentError::Malformed(format!("compiling it took more than {CPU_SECONDS} s of CPU time"))
        }
        (None, _) => ComponentError::Malformed(format!(
            "the compiler aborted, most likely because it needed more than {} GB of memory",
            MEMORY >> 30
        )),
    }
}

/// Writes to the child, reads its output, and kills it after [`WALL`].
fn exchange(child: &mut Child, component: &[u8], plugin: &str) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        // A child that has failed stops reading; its error matters, not the broken pipe.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(component)));
        let code = scope.spawn(move || read_all(stdout));
        let said = scope.spawn(move || stderr.map_or(Ok(Vec::new()), |pipe| Progress::new(plugin).read(pipe)));
        let status = wait(child);
        let code = code.join().unwrap_or_else(|_| Err(io::Error::other("reading failed")));
        let said = said.join().unwrap_or_else(|_| Err(io::Error::other("reading failed")));
        Ok((status?, code?, said?))
    })
}

fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let end = Instant::now() + WALL;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > end {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_all(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_an_invalid_component_from_a_failed_compiler() {
        let text = |raw: i32, said: &str| refusal(ExitStatus::from_raw(raw), said).to_string();
        assert!(
            text(65 << 8, "bad type")
                .contains("it is damaged or uses a feature that this host does not support: bad type")
        );
        assert_eq!(text(1 << 8, "x"), "could not be compiled: the compiler exited with status 1: \"x\"");
        assert!(text(24, "").contains("more than 120 s of CPU time"));
        assert!(text(6, "").contains("more than 2 GB of memory"));
    }

    #[test]
    fn a_child_that_reads_nothing_does_not_block() {
        let component = vec![0; 1 << 20];
        let error = compile_in_child(Path::new("/bin/false"), &component, "p").err().unwrap();
        assert!(matches!(error, ComponentError::Compile(_)), "{error}");
    }
}
