//! A line typed on the terminal without echo.

use std::fs::File;
use std::io::{self, Read, Write};

use anyhow::{Context, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// A terminal without echo, until dropped.
struct SilentTerminal<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> SilentTerminal<'a> {
    /// Signal keys come as bytes too, so that no Ctrl-C leaves the terminal without echo.
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for SilentTerminal<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
        let _ = (&mut &*self.terminal).write_all(b"\n");
    }
}

/// Asks on the terminal, not on standard input or output.
///
/// # Errors
/// No terminal, the user ended the input, or it is longer than `limit` bytes.
pub fn prompt_on_terminal(text: &str, limit: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let terminal =
        File::options().read(true).write(true).open("/dev/tty").context("no terminal to prompt on")?;
    (&mut &terminal).write_all(text.as_bytes())?;
    let silent = SilentTerminal::new(&terminal)?;
    let bytes = read_keys(&mut &terminal, limit)?;
    drop(silent);
    Ok(bytes)
}

fn read_keys(terminal: &mut impl Read, limit: usize) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const KILL: u8 = 0x15;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 2));
    let mut key = [0];
    loop {
        ensure!(terminal.read(&mut key)? == 1, "the input ended");
        match key[0] {
            b'\r' | b'\n' => return Ok(bytes),
            INTERRUPT | END => bail!("interrupted"),
            KILL => bytes.clear(),
            // A character is all bytes up to one that does not continue it.
            0x08 | 0x7f => while bytes.pop().is_some_and(|b| b & 0xc0 == 0x80) {},
            key if bytes.len() < limit => bytes.push(key),
            _ => bail!("the passphrase is longer than {limit} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_edit_the_line() {
        let typed = |text: &str| {
            read_keys(&mut text.as_bytes(), 1024).map(|b| String::from_utf8(b.to_vec()).unwrap())
        };
        assert_eq!(typed("aä\x7fb\n").unwrap(), "ab");
        assert_eq!(typed("old\x15new\r").unwrap(), "new");
        assert!(typed("a\x03").is_err() && typed("a").is_err());
    }
}
