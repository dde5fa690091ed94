//! The terminal as a screen: keys without Enter, and afterwards what was there before.

use agent_core::formats::diagnose::{Diagnose, FailureKind};
use agent_engine::world::interrupt::Interrupt;
use agent_engine::world::{event_loop, stdout};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::io::{IsTerminal as _, Read as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// The alternate screen, without a cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";
/// The byte of Ctrl-C while the terminal makes no signal of it.
const CONTROL_C: u8 = 3;
/// The size where a terminal does not know its own.
const USUAL_SIZE: (usize, usize) = (80, 24);

#[derive(Debug, thiserror::Error)]
#[error("cannot use the terminal as a screen: {0}")]
pub struct ScreenError(#[from] std::io::Error);

impl Diagnose for ScreenError {
    fn kind(&self) -> FailureKind {
        FailureKind::Surroundings
    }
}

/// The event that ends the wait for the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Key(u8),
    /// Ctrl-C, or a signal that ends the process.
    Interrupted,
    /// The time is over.
    Elapsed,
}

/// The terminal's modes and its content are restored when this is dropped.
#[derive(Debug)]
pub struct Screen {
    before: Termios,
    events: Receiver<Event>,
}

/// Whether there is a terminal to read keys from and to write to.
pub fn is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

impl Screen {
    pub fn open() -> Result<Self, ScreenError> {
        let before = tcgetattr(std::io::stdin()).map_err(std::io::Error::from)?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        let (sender, events) = channel();
        // before the terminal is changed: a signal then ends a screen in an orderly way
        forward_signals(sender.clone());
        forward_keys(sender);
        let screen = Self { before, events };
        tcsetattr(std::io::stdin(), OptionalActions::Now, &modes).map_err(std::io::Error::from)?;
        stdout::write_all(ENTER)?;
        Ok(screen)
    }

    pub fn wait(&self, longest: Duration) -> Event {
        match self.events.recv_timeout(longest) {
            Ok(Event::Key(CONTROL_C)) => Event::Interrupted,
            Ok(event) => event,
            Err(_) => Event::Elapsed,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = stdout::write_all(LEAVE);
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// Columns and lines.
pub fn size() -> (usize, usize) {
    let size = tcgetwinsize(std::io::stdout()).ok();
    let known = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or(USUAL_SIZE, |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// The thread ends with the process: a read of the terminal cannot be taken back.
fn forward_keys(events: Sender<Event>) {
    std::thread::spawn(move || {
        for byte in std::io::stdin().lock().bytes() {
            let event = byte.map_or(Event::Interrupted, Event::Key);
            if events.send(event).is_err() || event == Event::Interrupted {
                return;
            }
        }
        // the terminal is gone
        let _ = events.send(Event::Interrupted);
    });
}

fn forward_signals(events: Sender<Event>) {
    std::thread::spawn(move || {
        let received = event_loop::block_on(async {
            if let Ok(mut interrupt) = Interrupt::expected() {
                interrupt.received().await;
                let _ = events.send(Event::Interrupted);
            }
        });
        drop(received);
    });
}
