//! The timeline of msprof in slices, which it writes where one file would be too large: `msprof_slice_<n>_<time>.json`
//! (Ascend/msprof `docs/en/user_guide/profile_data_file_references.md`). Each is a list of events by itself, and names the
//! processes again; one after the other, they are one list.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::source::open_trace_file;

/// How much of a slice's end holds the bracket of its list.
const TAIL: u64 = 4096;

/// The slices of a directory in order, if they are those of one timeline: all of one time, from the first on.
pub(super) fn order_slices(mut timelines: Vec<PathBuf>) -> Option<Vec<PathBuf>> {
    let number = |path: &PathBuf| -> Option<(String, u64)> {
        let name = path.file_name()?.to_str()?.strip_prefix("msprof_slice_")?.strip_suffix(".json")?;
        let (number, time) = name.split_once('_')?;
        Some((time.to_owned(), number.parse().ok()?))
    };
    timelines.sort_by_key(number);
    let numbers: Vec<(String, u64)> = timelines.iter().map(number).collect::<Option<_>>()?;
    let (time, first) = numbers.first()?;
    let follows = |(i, (other, n)): (usize, &(String, u64))| other == time && *n == first + i as u64;
    (*first <= 1 && numbers.iter().enumerate().all(follows)).then_some(timelines)
}

/// Opens slices as one text, and gives their size together.
///
/// # Errors
/// What the system says.
pub fn open_slices(paths: &[PathBuf]) -> io::Result<(Box<dyn Read + Send>, u64)> {
    let (mut text, mut size): (Box<dyn Read + Send>, u64) = (Box::new(io::empty()), 0);
    for (i, path) in paths.iter().enumerate() {
        let (file, length) = open_trace_file(path)?;
        size += length;
        text = Box::new(text.chain(open_part(file, length, i == 0, i + 1 == paths.len())?));
    }
    Ok((text, size))
}

/// A slice without the brackets that stand between it and the others.
fn open_part(mut file: File, length: u64, first: bool, last: bool) -> io::Result<Box<dyn Read + Send>> {
    let mut end = length;
    if !last {
        let from = length.saturating_sub(TAIL);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&mut file).take(TAIL).read_to_end(&mut tail)?;
        // Of a slice that breaks off, nothing is taken away: the reader says where.
        if let Some(at) = tail.iter().rposition(|b| !b.is_ascii_whitespace()).filter(|at| tail[*at] == b']') {
            end = from + at as u64;
        }
        file.rewind()?;
    }
    let mut separator: &[u8] = b"";
    let mut start = 0;
    if !first {
        let mut head = Vec::new();
        (&mut file).take(TAIL).read_to_end(&mut head)?;
        if let Some(at) = head.iter().position(|b| !b.is_ascii_whitespace()).filter(|at| head[*at] == b'[') {
            start = at as u64 + 1;
            // A slice without events adds nothing, and no comma either.
            let is_empty = head[at + 1..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b']');
            separator = if is_empty { b"\n" } else { b",\n" };
        }
    }
    file.seek(SeekFrom::Start(start))?;
    Ok(Box::new(separator.chain(file.take(end.saturating_sub(start)))))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn joined(slices: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = |i: usize| dir.path().join(format!("msprof_slice_{i}_20250101.json"));
        let paths: Vec<PathBuf> = (0..slices.len()).map(path).collect();
        paths.iter().zip(slices).for_each(|(path, text)| std::fs::write(path, text).unwrap());
        let ordered = order_slices(paths.iter().rev().cloned().collect()).unwrap();
        assert_eq!(ordered, paths);
        let (mut text, size) = open_slices(&ordered).unwrap();
        assert_eq!(size, slices.iter().map(|s| s.len() as u64).sum::<u64>());
        let mut whole = String::new();
        text.read_to_string(&mut whole).unwrap();
        whole
    }

    #[test]
    fn slices_are_one_list() {
        assert_eq!(joined(&["[1, 2]\n", " [3]", "[4]"]), "[1, 2,\n3,\n4]");
        assert_eq!(joined(&["[1]", "[ ]", "[2]"]), "[1\n ,\n2]");
        assert_eq!(joined(&["[1]"]), "[1]");
        // One that breaks off is seen.
        assert_eq!(joined(&["[1, {", "[2]"]), "[1, {,\n2]");
    }

    #[test]
    fn only_the_slices_of_one_timeline_belong_together() {
        let order = |names: &[&str]| order_slices(names.iter().map(PathBuf::from).collect());
        let all: Vec<String> = (0..12).rev().map(|i| format!("msprof_slice_{i}_9.json")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(order(&all).unwrap()[10], Path::new("msprof_slice_10_9.json"));
        assert_eq!(order(&["msprof_slice_0_8.json", "msprof_slice_1_9.json"]), None);
        assert_eq!(order(&["msprof_slice_0_9.json", "msprof_slice_2_9.json"]), None);
        assert_eq!(order(&["msprof_slice_2_9.json", "msprof_slice_3_9.json"]), None);
        assert_eq!(order(&["msprof_9.json", "msprof_slice_0_9.json"]), None);
    }
}
