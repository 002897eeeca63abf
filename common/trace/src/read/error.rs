//! Errors of reading, and where they are.

use std::fmt;
use std::io;

use common::text::without_error_numbers;

use crate::model::Defect;

/// A place in the (uncompressed) input. Lines and columns count from one, columns in bytes; both are 0 where the input is
/// no text, and the byte is 0 where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputPosition {
    /// Line, counted from one.
    pub line: u64,
    /// Column in bytes, counted from one.
    pub column: u64,
    /// Bytes before it.
    pub offset: u64,
}

/// Reading stopped here, for this reason. Boxed, so that the scanner's results fit into registers: errors are
/// rare, and tokens are many.
#[derive(Debug)]
pub struct ReadError(Box<LocatedFault>);

/// The content of a [`ReadError`].
#[derive(Debug)]
pub struct LocatedFault {
    pub at: InputPosition,
    pub fault: ReadFault,
}

impl std::ops::Deref for ReadError {
    type Target = LocatedFault;

    fn deref(&self) -> &LocatedFault {
        &self.0
    }
}

/// Why reading stopped.
#[derive(Debug)]
pub enum ReadFault {
    /// The input is not a trace.
    NotATrace(String),
    /// The text ends inside something.
    Truncated(&'static str),
    /// The archive ends inside one of its files, or inside its header.
    TruncatedArchive(String),
    /// Reading is strict, and this had to be repaired.
    Rejected(Defect),
    /// The compressed stream ends too early.
    TruncatedGzip,
    /// The compressed stream is damaged.
    BadGzip(String),
    /// A file that is no text is damaged; what follows is the whole message.
    Damaged(String),
    /// The system could not read on.
    Io(io::Error),
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATrace(what) | Self::Damaged(what) => f.write_str(what),
            Self::Truncated(inside) => write!(f, "the file ends inside {inside}"),
            Self::TruncatedArchive(inside) => write!(f, "the archive ends inside {inside}"),
            Self::Rejected(defect) => write!(f, "rejected by --strict: {}", defect.describe()),
            Self::TruncatedGzip => f.write_str("the compressed data ends early"),
            Self::BadGzip(what) => write!(f, "the compressed data is damaged: {what}"),
            Self::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for ReadFault {}

impl From<io::Error> for ReadFault {
    /// Separates faults that a decompressor or an archive found from I/O errors.
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::UnexpectedEof => Self::TruncatedGzip,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Self::BadGzip(e.to_string()),
            _ => e.downcast().unwrap_or_else(Self::Io),
        }
    }
}

impl From<ReadFault> for io::Error {
    /// Takes a fault of an archive through [`io::Read`], from which [`ReadFault::from`] gets it back.
    fn from(fault: ReadFault) -> Self {
        Self::other(fault)
    }
}

impl ReadError {
    /// A fault at a place.
    pub fn new(at: InputPosition, fault: ReadFault) -> Self {
        Self(Box::new(LocatedFault { at, fault }))
    }

    /// The message, with the line and the column where they say something, without the numbers of the system's errors.
    pub fn with_place(&self) -> String {
        match self.at.line {
            0 => without_error_numbers(&self.to_string()),
            line => {
                format!("line {line} column {}: {}", self.at.column, without_error_numbers(&self.to_string()))
            }
        }
    }

    /// `:LINE:COLUMN`, to stand behind the file's name; empty where the place says nothing.
    pub fn place(&self) -> String {
        match self.fault {
            ReadFault::NotATrace(_) => String::new(),
            _ if self.at.line == 0 => String::new(),
            _ => format!(":{}:{}", self.at.line, self.at.column),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ReadFault::NotATrace(what) = &self.fault {
            return f.write_str(what);
        }
        if self.at == InputPosition::default() {
            return write!(f, "{}", self.fault);
        }
        write!(f, "{} (byte {})", self.fault, self.at.offset)
    }
}

impl std::error::Error for ReadError {}

/// Reading stops because of the input, or because the sink cannot go on.
pub(super) enum ReadStop {
    Read(ReadError),
    Sink(anyhow::Error),
}

impl From<ReadError> for ReadStop {
    fn from(e: ReadError) -> Self {
        Self::Read(e)
    }
}
