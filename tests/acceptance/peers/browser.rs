//! Chromium without a window, driven as the W3C's WebDriver says, through Debian's `chromedriver`.
//!
//! A [`Browser`] notes each host that a page asks, each violation of its policy and each message of its console, so that a
//! test can say that there were none.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::require;
use crate::harness::{Child, Folder, eventually, ports};

/// The Tab key, as WebDriver names it.
pub(crate) const TAB: &str = "\u{e004}";
/// The Enter key.
pub(crate) const ENTER: &str = "\u{e007}";

/// Runs in each page before anything of the page does.
const BEFORE: &str = "window.__violations = []; document.addEventListener('securitypolicyviolation', (event) => \
                      window.__violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));";

/// A window of a browser of its own.
#[derive(Debug)]
pub(crate) struct Browser {
    _driver: Child,
    _folder: Folder,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts a browser with an empty window of this size. It finds the hosts of `elsewhere` on this machine.
    pub(crate) fn start((width, height): (u32, u32), elsewhere: &str) -> Self {
        let folder = Folder::new("browser");
        let port = ports::free();
        let mut command = Command::new(require("chromedriver"));
        command.arg(format!("--port={port}")).env("HOME", folder.path()).env("TMPDIR", folder.path());
        let driver = Child::start("chromedriver", &mut command, &folder.join("driver.log"));
        eventually("chromedriver", || TcpStream::connect(("127.0.0.1", port)).ok());
        let options = json!({
            "binary": require("chromium"),
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                format!("--user-data-dir={}", folder.join("profile").display()),
                format!("--window-size={width},{height}"), format!("--host-resolver-rules=MAP {elsewhere} 127.0.0.1"),
            ],
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let answer = call(port, "POST", "/session", Some(&wanted));
        let session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {answer}")).to_owned();
        let browser = Self { _driver: driver, _folder: folder, port, session };
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": BEFORE }));
        // The page that a new window shows is the browser's own.
        browser.open("about:blank");
        drop((browser.requests(), browser.console()));
        browser
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        call(self.port, method, &format!("/session/{}{path}", self.session), body)
    }

    /// Opens a page, and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) {
        self.command("POST", "/url", Some(&json!({ "url": url })));
    }

    /// What a function with this body returns in the page.
    #[track_caller]
    pub(crate) fn run(&self, body: &str) -> Value {
        self.command("POST", "/execute/sync", Some(&json!({ "script": body, "args": [] })))
    }

    /// The text that is seen of the page, or of the first element of a selector.
    #[track_caller]
    pub(crate) fn text(&self, selector: &str) -> String {
        let body =
            format!("const node = document.querySelector({}); return node ? node.innerText : null;", json!(selector));
        self.run(&body).as_str().unwrap_or_else(|| panic!("nothing at {selector}")).to_owned()
    }

    /// Waits until the function with this body returns something other than null and false.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, body: &str) -> Value {
        eventually(what, || Some(self.run(body)).filter(|found| *found != Value::Null && *found != Value::Bool(false)))
    }

    /// Presses keys, one after the other, where the focus is.
    pub(crate) fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })))
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.command("POST", "/actions", Some(&body));
    }

    /// Writes what is seen to a file.
    pub(crate) fn screenshot(&self, file: &Path) {
        let image = self.devtools("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }));
        let image = BASE64.decode(image["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, image).unwrap();
    }

    /// Makes the page as wide as this, in CSS pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// The reader prefers this: `prefers-color-scheme` or another feature, and its value.
    pub(crate) fn prefer(&self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", Some(&json!({ "cmd": command, "params": parameters })))
    }

    /// The addresses of all requests since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", Some(&json!({ "type": "performance" })));
        let events = log.as_array().unwrap().iter();
        let events = events.map(|entry| serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap());
        let sent = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the console said since the last call.
    pub(crate) fn console(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", Some(&json!({ "type": "browser" })));
        log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.command("DELETE", "", None);
        }
    }
}

/// Asks the driver at a port; gives the value of its answer.
#[track_caller]
fn call(port: u16, method: &str, path: &str, body: Option<&Value>) -> Value {
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (String::new(), 0);
    reader.read_line(&mut status).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(status.contains(" 200 "), "{method} {path} {body:.300}: {status}{answer}");
    answer["value"].clone()
}

/// Where screenshots are kept for those who look at a run.
pub(crate) fn screenshots() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots")
}
