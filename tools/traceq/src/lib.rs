//! `traceq`: what is in these traces?
//!
//! The crate `trace` reads the formats and sums up; `analysis` has what only this tool computes; `write` and the records of `common` show
//! them; `cmd` has one file per subcommand and ties the rest together.

mod analysis;
mod cmd;
mod write;

use clap::{Parser, Subcommand};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

pub use cmd::Format;

/// Say what is in profiler traces
#[derive(Parser, Debug)]
#[command(name = "traceq", version, max_term_width = 100, arg_required_else_help = false)]
#[command(after_long_help = "Examples:\n  \
    traceq info log_4242.json.gz\n  \
    traceq sum rank*.json.gz\n  \
    traceq top --by kernel -n 10 log_4242.json.gz\n  \
    traceq cat --format csv --category kernel log_4242.json.gz > kernels.csv")]
pub struct Cli {
    #[command(flatten)]
    global: Global<Format>,
    #[command(subcommand)]
    cmd: TraceqCommand,
}

#[derive(Subcommand, Debug)]
enum TraceqCommand {
    Info(cmd::info::InfoArgs),
    Sum(cmd::sum::SumArgs),
    Top(cmd::top::TopArgs),
    Cat(cmd::cat::CatArgs),
    Check(cmd::check::CheckArgs),
    Rules(cmd::rules::TraceRulesArgs),
}

impl Tool for Cli {
    const NAME: &'static str = "traceq";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let format = self.global.format;
        match self.cmd {
            TraceqCommand::Info(cmd) => cmd.run(out, format),
            TraceqCommand::Sum(cmd) => cmd.run(out, format),
            TraceqCommand::Top(cmd) => cmd.run(out, format),
            TraceqCommand::Cat(cmd) => cmd.run(out, format),
            TraceqCommand::Check(cmd) => cmd.run(out, format),
            TraceqCommand::Rules(cmd) => cmd.run(out, format),
        }
    }
}

/// Reads any bytes as a trace, with everything that the subcommands do with one. For fuzzing: never panics, and
/// ends.
#[doc(hidden)]
pub fn fuzz_trace(bytes: &[u8]) {
    use analysis::rank::{ListOrder, ListedKind, Ranking};
    let options = trace::analysis::collect::CollectOptions::default();
    let mut collected = options.collector();
    let kinds = [ListedKind::Kernel, ListedKind::Op, ListedKind::Other];
    let mut ranking = Ranking::new(&kinds, &options);
    let mut rows = FuzzRows;
    let mut both = (&mut ranking, &mut rows);
    let outcome = trace::read::read_trace(
        Box::new(std::io::Cursor::new(bytes.to_vec())),
        &trace::read::ReadOptions::default(),
        &mut (&mut collected, &mut both),
    );
    let Ok(outcome) = outcome else { return };
    let resolved = trace::analysis::resolve::resolve(collected, outcome.meta.dialect, !outcome.complete);
    let sums = resolved.and_then(|r| trace::analysis::sum::sum_trace(r, false));
    let (steps, totals) = sums.map_or_else(|_| (Vec::new(), Vec::new()), |s| (s.steps, s.totals));
    for split in steps.iter().filter_map(|r| r.split).chain(totals.iter().filter_map(|r| r.split)) {
        let parts = [split.compute, split.exposed_communication, split.exposed_memcpy, split.idle()];
        assert_eq!(parts.iter().sum::<i64>(), split.total, "the parts make the whole");
    }
    if let Ok(ranked) = ranking.finish() {
        kinds.iter().for_each(|by| _ = ranked.top(*by, 0, ListOrder::Total, 10));
    }
}

/// Shows every event in every form.
struct FuzzRows;

impl trace::model::EventSink for FuzzRows {
    fn event(&mut self, event: &trace::model::Event<'_>) -> anyhow::Result<()> {
        let mut line = Vec::new();
        write::line::write_line(&mut line, event);
        trace::rows::write_csv_row(&mut line, event, "", true);
        line.clear();
        trace::rows::write_record(&mut line, event, None, true);
        serde_json::from_slice::<common::record::traceq::Event>(&line)?;
        Ok(())
    }
}
