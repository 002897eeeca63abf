//! The passphrase that a new key is encrypted with.

use anyhow::{Context, ensure};
use common::pki::passphrase::MAX_BYTES;
use common::pki::prompt::prompt_on_terminal;
use common::pki::{Passphrase, PassphraseArgs};

/// Reads the passphrase of a new key. On the terminal it is asked for twice: with a typing error, the key could never
/// be decrypted.
///
/// # Errors
/// As [`PassphraseArgs::read`]; or the two are not the same.
pub(crate) fn read_new_passphrase(args: &PassphraseArgs) -> anyhow::Result<Option<Passphrase>> {
    let first = args.read()?;
    let is_typed = args.ask_passphrase && args.passphrase_file.is_none() && args.passphrase_fd.is_none();
    if let Some(first) = first.as_ref().filter(|_| is_typed) {
        let again = prompt_on_terminal("The same passphrase again: ", MAX_BYTES).context("passphrase")?;
        ensure!(again == first.0, "passphrase: the two are not the same");
    }
    Ok(first)
}

/// Whether one of the passphrase options is given.
pub(crate) fn is_passphrase_given(args: &PassphraseArgs) -> bool {
    args.passphrase_file.is_some() || args.passphrase_fd.is_some() || args.ask_passphrase
}
