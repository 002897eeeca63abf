//! Tells a directory's class from its files, and finds the keys that lie among other things.

use common::policy::Class;

use super::{Told, told};

/// What a directory's own files are, counted while it is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    private: u32,
    keys: u32,
    programs: u32,
    configs: u32,
    logs: u32,
    debug: u32,
    data: u32,
    /// The first private key's name.
    key: Option<Box<[u8]>>,
}

/// A private key in a directory that is mainly for other things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    /// The first one's name.
    pub(crate) name: Box<[u8]>,
    pub(crate) keys: u32,
    /// The entries that are neither keys nor certificates.
    pub(crate) others: u32,
}

impl Census {
    /// Counts one file.
    pub(crate) fn add(&mut self, file: Told, name: &[u8]) {
        let private = file.by.contains("private") || file.by.contains("store");
        let field = match file.class {
            Class::KeyFile if private => {
                self.key.get_or_insert_with(|| name.into());
                &mut self.private
            }
            Class::KeyFile => &mut self.keys,
            Class::ProgramFile | Class::CryptoScript => &mut self.programs,
            Class::ConfigFile => &mut self.configs,
            Class::LogArchived | Class::LogRecording => &mut self.logs,
            Class::DebugFile => &mut self.debug,
            _ => &mut self.data,
        };
        *field = field.saturating_add(1);
    }

    /// The private keys, where more than half of a directory is something else; `dirs` is how many directories are
    /// in it.
    pub(crate) fn stray(&self, dirs: u32) -> Option<Stray> {
        let others = [self.programs, self.configs, self.logs, self.debug, self.data, dirs];
        let others = others.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
        let keys = self.private.saturating_add(self.keys);
        let name = self.key.clone().filter(|_| others > keys)?;
        Some(Stray { name, keys: self.private, others })
    }

    /// Tells the directory's class: private keys make it a key directory, unless it mainly holds other things;
    /// otherwise what most of its files are; otherwise its name.
    pub(crate) fn dir(&self, name: &[u8], dirs: u32) -> Told {
        if self.private > 0 && self.stray(dirs).is_none() {
            return told(Class::KeyDir, "the private keys that it mainly holds");
        }
        let counts = [
            (self.keys, told(Class::KeyDir, "the certificates in it")),
            (self.programs, told(Class::ProgramDir, "the programs in it")),
            (self.logs, told(Class::LogDir, "the logs in it")),
            (self.configs, told(Class::ConfigDir, "the configuration in it")),
            (self.debug, told(Class::DebugDir, "the debug files in it")),
            (self.data, told(Class::DataDir, "the data in it")),
        ];
        // Of equal counts the first, which is the stricter.
        let most = counts.iter().rev().max_by_key(|(n, _)| *n).filter(|(n, _)| *n > 0);
        named_dir(name).or(most.map(|(_, t)| *t)).unwrap_or(told(Class::DataDir, "nothing special about it"))
    }
}

/// Directories whose purpose their name tells better than their content.
fn named_dir(name: &[u8]) -> Option<Told> {
    let name = name.rsplit(|&b| b == b'/').find(|n| !n.is_empty()).unwrap_or(name);
    Some(match name.to_ascii_lowercase().as_slice() {
        b".ssh" | b".gnupg" => told(Class::KeyDir, "its name"),
        b"tmp" | b"temp" => told(Class::TmpDir, "its name"),
        b"upgrade" | b"patch" | b"maintenance" => told(Class::UpgradeDir, "its name"),
        b"log" | b"logs" => told(Class::LogDir, "its name"),
        b"debug" | b"coredump" => told(Class::DebugDir, "its name"),
        _ => return None,
    })
}
