//! Takes gzip off: one member after the other, and what may stand behind the last.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The text of all members of a gzip file (RFC 1952, section 2.2). Zeros behind the last are padding, as `gzip` takes
/// them; anything else is an error.
pub(super) struct GzipMembers<R: BufRead> {
    /// The member that is being read, or the input between two.
    state: MemberState<R>,
}

enum MemberState<R: BufRead> {
    Inside(Box<GzDecoder<R>>),
    Between(R),
    Ended,
}

impl<R: BufRead> GzipMembers<R> {
    pub(super) fn new(input: R) -> Self {
        Self { state: MemberState::Inside(Box::new(GzDecoder::new(input))) }
    }

    /// Begins the next member, or ends.
    fn step_over_padding(&mut self, mut input: R) -> io::Result<()> {
        loop {
            let bytes = match input.fill_buf() {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            match bytes.first() {
                None => return Ok(()),
                Some(0) => {
                    let zeros = bytes.iter().take_while(|b| **b == 0).count();
                    input.consume(zeros);
                }
                Some(0x1f) => {
                    self.state = MemberState::Inside(Box::new(GzDecoder::new(input)));
                    return Ok(());
                }
                Some(_) => {
                    let what = "something that is not compressed follows";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            }
        }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, MemberState::Ended) {
                MemberState::Inside(mut member) => match member.read(buf) {
                    Ok(0) if !buf.is_empty() => self.state = MemberState::Between(member.into_inner()),
                    read => {
                        if read.is_ok() {
                            self.state = MemberState::Inside(member);
                        }
                        return read;
                    }
                },
                MemberState::Between(input) => self.step_over_padding(input)?,
                MemberState::Ended => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    pub(in super::super) fn member(text: impl AsRef<[u8]>) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_ref()).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(bytes: &[u8]) -> (String, Option<String>) {
        let mut text = String::new();
        let result = GzipMembers::new(bytes).read_to_string(&mut text);
        (text, result.err().map(|e| e.to_string()))
    }

    #[test]
    fn members_and_padding_are_read_and_other_things_are_not() {
        let two = [member("a"), member(""), member("bc")].concat();
        assert_eq!(inflate(&two), ("abc".to_owned(), None));
        assert_eq!(inflate(&[&two[..], &[0; 700]].concat()), ("abc".to_owned(), None));
        let (text, error) = inflate(&[&two[..], b"x"].concat());
        assert_eq!((text.as_str(), error.unwrap().contains("not compressed")), ("abc", true));
        let cut = GzipMembers::new(&two[..two.len() - 1]).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }
}
