//! A language server session, as an editor has it: a file is opened, its diagnostics awaited, the file closed,
//! the server told to leave. `lean --server` and the worker it starts end by `_Exit`, unlike a plain `lean`.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a session brought.
#[derive(Debug)]
pub struct Session {
    /// How the server ended.
    pub status: ExitStatus,
    /// The messages of the last diagnostics before the answer that all are there.
    pub diagnostics: Vec<String>,
    /// The server's standard error.
    pub stderr: String,
}

/// Runs the server that `command` starts on the file `file` (an absolute path); panics when an answer is not
/// there within a minute.
///
/// A worker ends by itself after its file is closed, but a server that leaves kills the workers it still has.
/// `worker_left` is asked, for up to a minute, whether the worker has done what it does at its end.
pub fn session(command: &mut Command, file: &Path, worker_left: impl Fn() -> bool) -> Session {
    run(command, file, None, &worker_left)
}

/// The same, but when the diagnostics are there `meanwhile` is called, the line `edit` is written to the end of the
/// file as it is in the editor, and the diagnostics of that are awaited.
pub fn session_with_edit(
    command: &mut Command,
    file: &Path,
    edit: &str,
    meanwhile: &dyn Fn(),
    worker_left: impl Fn() -> bool,
) -> Session {
    run(command, file, Some((edit, meanwhile)), &worker_left)
}

fn run(
    command: &mut Command,
    file: &Path,
    edit: Option<(&str, &dyn Fn())>,
    worker_left: &dyn Fn() -> bool,
) -> Session {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let messages = receive(BufReader::new(child.stdout.take().expect("a pipe")));
    let uri = format!("file://{}", file.display());
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));

    send(
        &mut stdin,
        request(
            1,
            "initialize",
            json!({"processId": null, "rootUri": null, "capabilities": {}}),
        ),
    );
    answer(&messages, 1, &mut Vec::new());
    send(
        &mut stdin,
        json!({"jsonrpc": "2.0", "method": "initialized", "params": {}}),
    );
    let document = json!({"uri": uri, "languageId": "lean4", "version": 1, "text": text});
    let open = json!({"textDocument": document});
    send(
        &mut stdin,
        json!({"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": open}),
    );
    send(
        &mut stdin,
        request(
            2,
            "textDocument/waitForDiagnostics",
            json!({"uri": uri, "version": 1}),
        ),
    );
    let mut diagnostics = Vec::new();
    answer(&messages, 2, &mut diagnostics);
    if let Some((edit, meanwhile)) = edit {
        meanwhile();
        let end = json!({"line": text.lines().count(), "character": 0});
        let change = json!({"range": {"start": end, "end": end}, "text": format!("{edit}\n")});
        let params = json!({"textDocument": {"uri": uri, "version": 2}, "contentChanges": [change]});
        send(
            &mut stdin,
            json!({"jsonrpc": "2.0", "method": "textDocument/didChange", "params": params}),
        );
        let wait = json!({"uri": uri, "version": 2});
        send(&mut stdin, request(4, "textDocument/waitForDiagnostics", wait));
        answer(&messages, 4, &mut diagnostics);
    }
    let close = json!({"textDocument": {"uri": uri}});
    send(
        &mut stdin,
        json!({"jsonrpc": "2.0", "method": "textDocument/didClose", "params": close}),
    );
    let closed = Instant::now();
    while !worker_left() {
        assert!(
            closed.elapsed() < PATIENCE,
            "the worker does not leave after its file was closed"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    send(&mut stdin, request(3, "shutdown", Value::Null));
    answer(&messages, 3, &mut Vec::new());
    send(&mut stdin, json!({"jsonrpc": "2.0", "method": "exit"}));

    let mut stderr = Vec::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_end(&mut stderr)
        .expect("reading a pipe");
    let status = child.wait().expect("waiting for a child");
    Session {
        status,
        diagnostics,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

fn request(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn send(stdin: &mut ChildStdin, message: Value) {
    let body = message.to_string();
    write!(stdin, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("writing to the server");
    stdin.flush().expect("writing to the server");
}

/// Messages until the answer to request `id`; `diagnostics` is replaced by each set that comes by.
fn answer(messages: &Receiver<Value>, id: u64, diagnostics: &mut Vec<String>) {
    loop {
        let message = messages
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|e| panic!("no answer to request {id} from the language server: {e}"));
        if message["method"] == "textDocument/publishDiagnostics" {
            let all = message["params"]["diagnostics"]
                .as_array()
                .expect("diagnostics are an array");
            *diagnostics = all
                .iter()
                .map(|d| d["message"].as_str().expect("a text").to_owned())
                .collect();
        }
        if message["id"] == id && message["method"].is_null() {
            assert!(message["error"].is_null(), "request {id}: {message}");
            return;
        }
    }
}

/// A thread that takes the server's messages apart, until its output ends.
fn receive(mut stdout: impl BufRead + Send + 'static) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        while let Some(message) = next_message(&mut stdout) {
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

fn next_message(stdout: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stdout.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
