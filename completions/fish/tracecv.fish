# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tracecv_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_tracecv_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tracecv_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tracecv_using_subcommand
    set -l cmd (__fish_tracecv_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tracecv -n "__fish_tracecv_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c tracecv -n "__fish_tracecv_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracecv -n "__fish_tracecv_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracecv -n "__fish_tracecv_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracecv -n "__fish_tracecv_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracecv -n "__fish_tracecv_needs_command" -s V -l version -d 'Print version'
complete -c tracecv -n "__fish_tracecv_needs_command" -f -a "convert" -d 'Write traces in another format'
complete -c tracecv -n "__fish_tracecv_needs_command" -f -a "cut" -d 'Write a part of a trace, or divide it into pieces, as Chrome traces (JSON)'
complete -c tracecv -n "__fish_tracecv_needs_command" -f -a "merge" -d 'Write the traces of many ranks as one Chrome trace (JSON), on one clock'
complete -c tracecv -n "__fish_tracecv_needs_command" -f -a "repair" -d 'Write a damaged trace as a Chrome trace (JSON) that every reader takes'
complete -c tracecv -n "__fish_tracecv_needs_command" -f -a "anon" -d 'Write a trace without the names that identify its owner, as a Chrome trace (JSON)'
complete -c tracecv -n "__fish_tracecv_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l to -d 'Format to write' -r -f -a "chrome\t'Chrome trace (JSON), for chrome://tracing, Perfetto, TensorBoard and every analysis of PyTorch traces'
jsonl\t'JSON lines: one `traceq.event` record for each event, as of `traceq cat --format json`'
csv\t'Comma-separated values with a header, as of `traceq cat --format csv`'
perfetto\t'Perfetto trace (protobuf), for ui.perfetto.dev and trace_processor'
folded\t'Folded stacks with their own time in nanoseconds, for flamegraph.pl, inferno and speedscope'
speedscope\t'The JSON format of speedscope'
otlp\t'OpenTelemetry traces (OTLP in JSON): slices as spans'
sqlite\t'SQLite database with a table of events, for sqlite3 and everything that reads such'
ascend-db\t'SQLite database with the tables of Ascend\'s profilers and msMonitor, for MindStudio Insight'
arrow\t'Arrow\'s IPC file format (Feather version 2), for pyarrow, Polars, pandas and whatever maps columns into memory'
parquet\t'A data set of Parquet files for any number of traces, in a directory: for DuckDB, Spark, Polars, pandas'"
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -s o -l output -d 'File to write, compressed if its name ends with .gz; `-` is standard output; a directory, or a name with a slash at its end, gets a file for each trace' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l run -d 'Name of the run in a data set, which becomes the column `run` [default: 1]' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l shard -d 'Write only part I of N of a data set, from every N-th trace, so that N nodes write it together' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracecv -n "__fish_tracecv_using_subcommand convert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l from-ns -d 'Only events that end after this time' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l to-ns -d 'Only events that start before this time' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l steps -d 'Only these steps, such as 12 or 12-14: what starts in them on the host, and what that launched' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l name -d 'Only events whose name contains TEXT' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l max-size -d 'Divide the trace into pieces of about SIZE, such as 50MB, by time' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -s o -l output -d 'File to write, compressed if its name ends with .gz; `-` is standard output; with --max-size, a directory' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracecv -n "__fish_tracecv_using_subcommand cut" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -s o -l output -d 'File to write, compressed if its name ends with .gz' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracecv -n "__fish_tracecv_using_subcommand merge" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -s o -l output -d 'File to write, compressed if its name ends with .gz; `-` is standard output' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracecv -n "__fish_tracecv_using_subcommand repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -s o -l output -d 'File to write, compressed if its name ends with .gz; `-` is standard output' -r -F
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -l kernels -d 'Replace the names of kernels, too, but for those of collectives and copies'
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracecv -n "__fish_tracecv_using_subcommand anon" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracecv -n "__fish_tracecv_using_subcommand help; and not __fish_seen_subcommand_from convert cut merge repair anon help" -f -a "convert" -d 'Write traces in another format'
complete -c tracecv -n "__fish_tracecv_using_subcommand help; and not __fish_seen_subcommand_from convert cut merge repair anon help" -f -a "cut" -d 'Write a part of a trace, or divide it into pieces, as Chrome traces (JSON)'
complete -c tracecv -n "__fish_tracecv_using_subcommand help; and not __fish_seen_subcommand_from convert cut merge repair anon help" -f -a "merge" -d 'Write the traces of many ranks as one Chrome trace (JSON), on one clock'
complete -c tracecv -n "__fish_tracecv_using_subcommand help; and not __fish_seen_subcommand_from convert cut merge repair anon help" -f -a "repair" -d 'Write a damaged trace as a Chrome trace (JSON) that every reader takes'
complete -c tracecv -n "__fish_tracecv_using_subcommand help; and not __fish_seen_subcommand_from convert cut merge repair anon help" -f -a "anon" -d 'Write a trace without the names that identify its owner, as a Chrome trace (JSON)'
complete -c tracecv -n "__fish_tracecv_using_subcommand help; and not __fish_seen_subcommand_from convert cut merge repair anon help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
