//! What the tests of authorities and of fetching share.

#![allow(dead_code, reason = "each test uses a part")]

use std::io::{Read, Write};
use std::path::Path;

use serde_json::Value;

use crate::command::{json, run};

/// A place for a test's files.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With an authority and its directories in `pki`.
    pub(crate) fn minted(options: &[&str]) -> Self {
        let place = Self::new();
        run(&[&["mint", &place.at("pki")], options].concat()).ok();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// The only certificate, CRL or key of a file.
    pub(crate) fn shown(&self, name: &str, kind: &str) -> Value {
        json(&["show", &self.at(name)]).ok().records(kind)[0].clone()
    }

    pub(crate) fn certificate(&self, name: &str) -> Value {
        self.shown(name, "certck.certificate")
    }

    /// The number of a CRL and how many it revokes.
    pub(crate) fn crl(&self, name: &str) -> (String, usize) {
        let crl = self.shown(name, "certck.crl");
        (crl["number"].as_str().unwrap().to_owned(), crl["revoked"].as_array().unwrap().len())
    }

    /// A passphrase's file.
    pub(crate) fn passphrase(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.at(name), text).unwrap();
        std::fs::set_permissions(self.at(name), PermissionsExt::from_mode(0o600)).unwrap();
        self.at(name)
    }

    /// Runs openssl below the place; `None`, and the test is reported as skipped, where it is not on PATH.
    #[track_caller]
    pub(crate) fn openssl(&self, args: &[&str]) -> Option<(bool, String)> {
        let output = std::process::Command::new(testkit::require("openssl")?)
            .args(args)
            .current_dir(self.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }
}

/// Serves answers in turn, each with its status line and further headers, and says at which port.
pub(crate) fn serve(answers: Vec<(String, Vec<u8>)>) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (head, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head =
                format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    port
}

/// [`serve`] for documents.
pub(crate) fn documents(documents: Vec<Vec<u8>>) -> String {
    let port = serve(documents.into_iter().map(|d| ("200 OK".to_owned(), d)).collect());
    format!("http://127.0.0.1:{port}/ca.crl")
}
