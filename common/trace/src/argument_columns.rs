//! Common arguments of events that have columns of their own in a data set, by their spelling in libkineto's traces
//! (pytorch/kineto `libkineto/src/output_json.cpp`, pytorch `torch/csrc/profiler`). Writer and reader share them.

/// An argument that has a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgumentColumn {
    /// The argument's name.
    pub key: &'static str,
    /// The column's name.
    pub column: &'static str,
    /// It holds whole numbers, otherwise texts, and lists as JSON.
    pub whole_number: bool,
}

const fn int(key: &'static str, column: &'static str) -> ArgumentColumn {
    ArgumentColumn { key, column, whole_number: true }
}

const fn text(key: &'static str, column: &'static str) -> ArgumentColumn {
    ArgumentColumn { key, column, whole_number: false }
}

/// All of them, in the order of the columns.
pub const ARGUMENT_COLUMNS: [ArgumentColumn; 16] = [
    text("Collective name", "collective"),
    text("Process Group Name", "group_name"),
    text("Process Group Ranks", "group_ranks"),
    int("Group size", "group_size"),
    int("Seq", "sequence"),
    int("In msg nelems", "in_elements"),
    int("Out msg nelems", "out_elements"),
    text("dtype", "dtype"),
    int("bytes", "bytes"),
    int("Sequence number", "autograd_sequence"),
    int("Fwd thread id", "forward_thread"),
    int("Python id", "python_id"),
    int("Python parent id", "python_parent_id"),
    text("Input Dims", "input_dims"),
    text("Input type", "input_types"),
    text("Call stack", "call_stack"),
];

/// Arguments that columns of every event hold, in their order: `correlation`, `external_id`, `device`, `stream`.
pub const NUMBER_KEYS: [&str; 4] = ["correlation", "External id", "device", "stream"];

/// The member of `other` that lists which of [`NUMBER_KEYS`] an event does not have as arguments, though their columns have
/// a number: it follows from the process or the thread. If there are several such members, it is the last.
pub const NO_ARGUMENTS: &str = "no_args";

/// Spellings of an argument that one of those columns holds, its own first.
pub fn spellings_of_number(key: &str) -> &'static [&'static str] {
    match key {
        "correlation" => &["correlation", "correlation_id"],
        "External id" => &["External id", "external id"],
        "stream" => &["stream", "stream_id"],
        _ => &["device"],
    }
}
