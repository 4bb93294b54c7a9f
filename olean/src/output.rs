//! Where results go: standard output, buffered, without colour where none is wanted.

use crate::error::Result;
use anstream::AutoStream;
use serde::Serialize;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// Columns of a pipe, and of a terminal that does not tell.
const DEFAULT_WIDTH: usize = 100;
/// Narrower terminals wrap.
const MIN_WIDTH: usize = 40;

/// Standard output.
pub struct Output {
    stream: BufWriter<AutoStream<StdoutLock<'static>>>,
    json: bool,
    terminal: bool,
}

impl Output {
    /// Standard output; `json` says what the user wants to see.
    pub fn new(json: bool) -> Self {
        let stdout = io::stdout().lock();
        let terminal = stdout.is_terminal();
        Self {
            stream: BufWriter::new(AutoStream::auto(stdout)),
            json,
            terminal,
        }
    }

    /// Whether one JSON document is wanted.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether somebody watches.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns of a line.
    pub fn width(&self) -> usize {
        if !self.terminal {
            return DEFAULT_WIDTH;
        }
        terminal_size::terminal_size_of(io::stdout())
            .map_or(DEFAULT_WIDTH, |(w, _)| usize::from(w.0).max(MIN_WIDTH))
    }

    /// Writes a JSON document.
    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer_pretty(&mut self.stream, value).map_err(io::Error::from)?;
        self.stream.write_all(b"\n")?;
        Ok(())
    }

    /// Writes bytes that are no text.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.flush()?;
        let mut stdout = io::stdout();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        Ok(())
    }

    /// Writes out what is left.
    pub fn finish(&mut self) -> Result<()> {
        Ok(self.stream.flush()?)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
