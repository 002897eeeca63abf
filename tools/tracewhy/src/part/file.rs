//! Part files: what is kept of ranks, written where their traces lie, and read where ranks come together.
//!
//! JSON lines in gzip, whose checksum reveals damage. The first line says what it is and of which version; families of calls
//! are numbered as they come; what stands before the line of a rank belongs to it; the last line says how many ranks there
//! are, so that a file that was cut off is rejected. Everything is checked before any of it counts.

use std::io::{self, BufRead, BufReader, Read, Write};

use anyhow::{Context, bail, ensure};
use flate2::Compression;
use flate2::read::{GzDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use trace::model::is_plausible_time;
use trace::program::{PartTime, PathTime, ProgramPart};
use trace::spool::{MemoryLimit, Spool};

use super::call::{CallFamily, CallPlace, CollectiveKind, FamilyTable};
use super::kept::Arrival;
use super::longest::LongKernel;
use super::named::{ItemKind, NamedTime};
use super::{IdleCause, MOST_RANKS, RankPart, StepPart, StepTimes, sum_times};

/// The kind of file that the first line names.
const KIND: &str = "tracewhy.part";
/// The version of the lines. A file of another is rejected.
const VERSION: u32 = 5;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum PartLine {
    Family {
        kind: String,
        group: String,
        members: String,
        size: Option<u64>,
        bytes: Option<u64>,
        pair: Option<(i64, i64)>,
    },
    /// A call: `[family, matching, place, count, numbered, start, end, exposed, awaited, step]`.
    Call(u32, u32, i64, u64, bool, i64, i64, i64, i64, i64),
    /// A step: `[number, kernels, compute, communication, exposed communication, exposed copy, idle, idle before it]`.
    Step(i64, u64, i64, i64, i64, i64, [i64; IdleCause::ALL.len()], i64),
    /// A computation that took longer than usual: `[step, name, time, usual]`.
    LongKernel(i64, String, i64, i64),
    /// A part of the program: `[part, name, own, total, count]`.
    Program(String, String, i64, i64, u64),
    /// Work of a path of ranges: `[path, time, count]`.
    Path(Vec<String>, i64, u64),
    /// A kernel, operator, collective or part of the program in a step: `[kind, name, step, time, calls]`.
    Named(String, String, i64, i64, u64),
    Rank {
        path: String,
        /// As the trace says; without, its place counts.
        rank: Option<i64>,
        world_size: Option<i64>,
        on_device: bool,
        has_steps: bool,
        calls: u64,
        /// Names that were too many, and are one.
        other_names: u64,
        /// The first moment, in nanoseconds since the Unix epoch.
        begin: Option<i64>,
        events: u64,
        complete: bool,
    },
    End {
        ranks: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct HeadLine {
    r#type: String,
    v: u32,
}

/// Writes a part file.
pub(crate) struct PartWriter<W: Write> {
    to: GzEncoder<W>,
    /// Families that are written, by their numbers in the job: their numbers in the file.
    families: std::collections::BTreeMap<u32, u32>,
    ranks: u64,
}

impl<W: Write> PartWriter<W> {
    /// Begins the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn new(to: W) -> io::Result<Self> {
        let mut to = GzEncoder::new(to, Compression::new(6));
        write_line(&mut to, &HeadLine { r#type: KIND.to_owned(), v: VERSION })?;
        Ok(Self { to, families: std::collections::BTreeMap::new(), ranks: 0 })
    }

    fn family(&mut self, number: u32, table: &FamilyTable) -> io::Result<u32> {
        if let Some(&known) = self.families.get(&number) {
            return Ok(known);
        }
        let CallFamily { kind, group, members, group_size, bytes, pair } = table.get(number).clone();
        let kind = kind.name().to_owned();
        write_line(&mut self.to, &PartLine::Family { kind, group, members, size: group_size, bytes, pair })?;
        let own = u32::try_from(self.families.len()).unwrap_or(u32::MAX);
        self.families.insert(number, own);
        Ok(own)
    }

    /// Writes a call of the rank that is next.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_call(
        &mut self,
        table: &FamilyTable,
        call: &Arrival,
        place: &CallPlace,
    ) -> io::Result<()> {
        let family = self.family(call.family, table)?;
        let matching = self.family(place.matching, table)?;
        let CallPlace { place, count, numbered, .. } = *place;
        let Arrival { start, end, exposed, awaited, step, .. } = *call;
        write_line(
            &mut self.to,
            &PartLine::Call(family, matching, place, count, numbered, start, end, exposed, awaited, step),
        )
    }

    /// Writes a rank behind its calls.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_rank(
        &mut self,
        part: &RankPart,
        rank: Option<i64>,
        (events, complete): (u64, bool),
    ) -> io::Result<()> {
        let to = &mut self.to;
        for StepPart { number, times, kernels } in &part.steps {
            let StepTimes { compute, communication, exposed_communication, exposed_copy, idle, before } =
                *times;
            let line = PartLine::Step(
                *number,
                *kernels,
                compute,
                communication,
                exposed_communication,
                exposed_copy,
                idle,
                before,
            );
            write_line(to, &line)?;
        }
        for (step, LongKernel { name, time, usual }) in &part.long_kernels {
            write_line(to, &PartLine::LongKernel(*step, name.clone(), *time, *usual))?;
        }
        for ((part, name), PartTime { own, total, count }) in &part.program {
            write_line(to, &PartLine::Program(part.name().to_owned(), name.clone(), *own, *total, *count))?;
        }
        for PathTime { path, time, count } in &part.paths {
            write_line(to, &PartLine::Path(path.clone(), *time, *count))?;
        }
        for NamedTime { kind, name, step, time, calls } in &part.named {
            write_line(to, &PartLine::Named(kind.name().to_owned(), name.clone(), *step, *time, *calls))?;
        }
        let RankPart { path, world_size, on_device, has_steps, calls, other_names, begin, .. } = part;
        let line = PartLine::Rank {
            path: path.clone(),
            rank,
            world_size: *world_size,
            on_device: *on_device,
            has_steps: *has_steps,
            calls: *calls,
            other_names: *other_names,
            begin: begin.filter(|begin| is_plausible_time(*begin)),
            events,
            complete,
        };
        self.ranks += 1;
        write_line(to, &line)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        write_line(&mut self.to, &PartLine::End { ranks: self.ranks })?;
        self.to.finish()
    }
}

fn write_line(to: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line).map_err(io::Error::from)?;
    to.write_all(b"\n")
}

/// Bytes of an input that decide whether it is a part file.
const HEAD_BYTES: u64 = 512;

/// Distinguishes a part file from a trace by its first bytes, and returns the whole input.
///
/// # Errors
/// It cannot be read.
pub(crate) fn recognize(mut bytes: Box<dyn Read + Send>) -> io::Result<(bool, Box<dyn Read + Send>)> {
    let mut head = Vec::new();
    (&mut bytes).take(HEAD_BYTES).read_to_end(&mut head)?;
    let mut text = Vec::new();
    if head.starts_with(&[0x1f, 0x8b]) {
        // What is cut off is an error behind what was read.
        let _ = GzDecoder::new(head.as_slice()).take(64).read_to_end(&mut text);
    }
    let is_part = text.starts_with(format!(r#"{{"type":"{KIND}","#).as_bytes());
    Ok((is_part, Box::new(io::Cursor::new(head).chain(bytes))))
}

/// A rank of a part file.
pub(crate) struct LoadedRank {
    pub(crate) part: RankPart,
    /// Its number, if its trace says.
    pub(crate) rank: Option<i64>,
    pub(crate) events: u64,
    pub(crate) complete: bool,
}

/// The content of a part file.
pub(crate) struct LoadedParts {
    pub(crate) ranks: Vec<LoadedRank>,
    /// Calls; `part` is the place of the rank in the file.
    pub(crate) calls: Spool<Arrival, 7>,
}

/// Reads a part file. Families of calls become those of the job.
///
/// # Errors
/// It is damaged, of another version, or not possible; a temporary file cannot be used.
pub(crate) fn load_parts(
    bytes: impl Read,
    families: &mut FamilyTable,
    memory: MemoryLimit,
) -> anyhow::Result<LoadedParts> {
    let mut lines = PartLines { reader: BufReader::new(MultiGzDecoder::new(bytes)), number: 0 };
    let head: HeadLine = lines.next()?;
    ensure!(head.r#type == KIND, "is not a part file");
    ensure!(
        head.v == VERSION,
        "is a part file of version {}; this program reads {VERSION}: write it again",
        head.v
    );
    let mut loader = PartLoader {
        families,
        numbers: Vec::new(),
        current: RankPart::default(),
        loaded: LoadedParts { ranks: Vec::new(), calls: Spool::new(memory) },
        left: memory.of_tables(),
    };
    loop {
        let line: PartLine = lines.next()?;
        if let PartLine::End { ranks } = line {
            ensure!(
                ranks == loader.loaded.ranks.len() as u64,
                "says that it has {ranks} ranks, and has others"
            );
            // What cannot be read is no part of it either.
            ensure!(matches!(lines.reader.read(&mut [0]), Ok(0)), "has more behind its end");
            return Ok(loader.loaded);
        }
        loader.take(line).with_context(|| format!("line {}", lines.number))?;
    }
}

struct PartLines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> PartLines<R> {
    fn next<T: for<'a> Deserialize<'a>>(&mut self) -> anyhow::Result<T> {
        const MOST_BYTES: u64 = 1 << 20;
        let mut line = Vec::new();
        self.number += 1;
        let read = (&mut self.reader).take(MOST_BYTES).read_until(b'\n', &mut line);
        read.with_context(|| format!("is damaged or cut off behind line {}", self.number - 1))?;
        ensure!(!line.is_empty(), "ends before its last line");
        if line.pop() != Some(b'\n') {
            bail!("line {} is cut off or too long", self.number);
        }
        serde_json::from_slice(&line).with_context(|| format!("is damaged in line {}", self.number))
    }
}

/// Checks lines, and keeps what they say.
struct PartLoader<'a> {
    families: &'a mut FamilyTable,
    /// Numbers in the job, by those in the file.
    numbers: Vec<u32>,
    current: RankPart,
    loaded: LoadedParts,
    /// Bytes that tables may still take.
    left: u64,
}

/// No sum of times is longer: 30,000 years.
const LONGEST: i64 = 1_000_000_000_000_000_000;

fn check_time(time: i64) -> anyhow::Result<i64> {
    ensure!((0..=LONGEST).contains(&time), "{time} ns is not a valid time");
    Ok(time)
}

impl PartLoader<'_> {
    fn spend(&mut self, bytes: usize) -> anyhow::Result<()> {
        let left = self.left.checked_sub(bytes as u64);
        self.left = left.context("holds more than --max-memory allows")?;
        Ok(())
    }

    fn family(&self, number: u32) -> anyhow::Result<u32> {
        self.numbers.get(number as usize).copied().with_context(|| format!("there is no family {number}"))
    }

    fn take(&mut self, line: PartLine) -> anyhow::Result<()> {
        match line {
            PartLine::Family { kind, group, members, size, bytes, pair } => {
                self.spend(group.len() + members.len() + 128)?;
                let kind =
                    CollectiveKind::parse(&kind).with_context(|| format!("`{kind}` is not a collective"))?;
                let family = CallFamily { kind, group, members, group_size: size, bytes, pair };
                let number = self.families.intern(&family);
                self.numbers.push(number);
            }
            PartLine::Call(family, matching, place, count, numbered, start, end, exposed, awaited, step) => {
                let possible = is_plausible_time(start) && is_plausible_time(end) && start <= end;
                let possible = possible && (0..=end - start).contains(&exposed);
                ensure!(possible && (0..=exposed).contains(&awaited), "a call has impossible times");
                let (family, matching) = (self.family(family)?, self.family(matching)?);
                let key = CallPlace { matching, place, count, numbered }.key();
                let part = u32::try_from(self.loaded.ranks.len())?;
                self.loaded.calls.push(Arrival { key, start, end, exposed, awaited, part, family, step })?;
            }
            PartLine::Step(
                number,
                kernels,
                compute,
                communication,
                exposed_communication,
                exposed_copy,
                idle,
                before,
            ) => {
                self.spend(size_of::<StepPart>())?;
                let all =
                    [compute, communication, exposed_communication, exposed_copy].into_iter().chain(idle);
                all.map(check_time).try_for_each(|time| time.map(|_| ()))?;
                ensure!(
                    exposed_communication <= communication,
                    "a step has more exposed communication than it has"
                );
                ensure!(
                    (0..=sum_times(idle)).contains(&before),
                    "a step has more idle time before it than it has"
                );
                let times =
                    StepTimes { compute, communication, exposed_communication, exposed_copy, idle, before };
                self.current.steps.push(StepPart { number, times, kernels });
            }
            PartLine::LongKernel(step, name, time, usual) => {
                self.spend(name.len() + 128)?;
                ensure!((0..=check_time(time)?).contains(&usual), "a computation has impossible times");
                self.current.long_kernels.insert(step, LongKernel { name, time, usual });
            }
            PartLine::Program(part, name, own, total, count) => {
                self.spend(name.len() + 128)?;
                let part = ProgramPart::parse(&part)
                    .with_context(|| format!("`{part}` is not a part of a program"))?;
                let time = PartTime { own: check_time(own)?, total: check_time(total)?, count };
                self.current.program.insert((part, name), time);
            }
            PartLine::Path(path, time, count) => {
                self.spend(path.iter().map(|name| name.len() + size_of::<String>()).sum::<usize>() + 128)?;
                self.current.paths.push(PathTime { path, time: check_time(time)?, count });
            }
            PartLine::Named(kind, name, step, time, calls) => {
                self.spend(name.len() + 128)?;
                let kind =
                    ItemKind::parse(&kind).with_context(|| format!("`{kind}` is not a kind of item"))?;
                self.current.named.push(NamedTime { kind, name, step, time: check_time(time)?, calls });
            }
            PartLine::Rank {
                path,
                rank,
                world_size,
                on_device,
                has_steps,
                calls,
                other_names,
                begin,
                events,
                complete,
            } => {
                self.spend(path.len() + 512)?;
                ensure!(self.loaded.ranks.len() < MOST_RANKS, "there are more than {MOST_RANKS} ranks");
                ensure!(begin.is_none_or(is_plausible_time), "a rank begins at an impossible time");
                let kept = std::mem::take(&mut self.current);
                let part =
                    RankPart { path, world_size, on_device, has_steps, calls, other_names, begin, ..kept };
                self.loaded.ranks.push(LoadedRank { part, rank, events, complete });
            }
            PartLine::End { .. } => bail!("has an end within"),
        }
        Ok(())
    }
}
