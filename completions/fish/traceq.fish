# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_traceq_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_traceq_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_traceq_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_traceq_using_subcommand
    set -l cmd (__fish_traceq_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c traceq -n "__fish_traceq_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'
csv\t'Comma-separated values'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c traceq -n "__fish_traceq_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c traceq -n "__fish_traceq_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c traceq -n "__fish_traceq_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c traceq -n "__fish_traceq_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c traceq -n "__fish_traceq_needs_command" -s V -l version -d 'Print version'
complete -c traceq -n "__fish_traceq_needs_command" -f -a "info" -d 'Say what a trace is: format, producer, rank, devices, time span, steps, completeness'
complete -c traceq -n "__fish_traceq_needs_command" -f -a "sum" -d 'Sum up where the time went: compute, exposed communication, overlap, copies, idle'
complete -c traceq -n "__fish_traceq_needs_command" -f -a "top" -d 'List the kernels and operators that take the most time'
complete -c traceq -n "__fish_traceq_needs_command" -f -a "cat" -d 'Write the events, as they stand in the file: text, JSON Lines or CSV'
complete -c traceq -n "__fish_traceq_needs_command" -f -a "check" -d 'Check whether traces can be analyzed: complete, linked, on one clock, of one window'
complete -c traceq -n "__fish_traceq_needs_command" -f -a "rules" -d 'List the rules of `traceq check`, or explain some of them'
complete -c traceq -n "__fish_traceq_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c traceq -n "__fish_traceq_using_subcommand info" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand info" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'"
complete -c traceq -n "__fish_traceq_using_subcommand info" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c traceq -n "__fish_traceq_using_subcommand info" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c traceq -n "__fish_traceq_using_subcommand info" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c traceq -n "__fish_traceq_using_subcommand info" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c traceq -n "__fish_traceq_using_subcommand info" -s v -l verbose -d 'Say on standard error what is being done'
complete -c traceq -n "__fish_traceq_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l by -d 'Put the times of all traces together instead: by step, rank, phase, module, annotation or stream' -r -f -a "step\t'Each step, of all ranks beside each other: the least, the median and the most, and who has it'
rank\t'Each rank: the mean of its steps, or the whole where there are none'
phase\t'Forward, recompute, backward, optimizer, communication, data, other'
module\t'Modules (nn.Module) of traces that have them'
annotation\t'Ranges that the program or its framework marked'
stream\t'Each stream of each device'"
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c traceq -n "__fish_traceq_using_subcommand sum" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c traceq -n "__fish_traceq_using_subcommand sum" -l include-unlinked -d 'Count device work too that nothing in the trace launched: left over from before the recording'
complete -c traceq -n "__fish_traceq_using_subcommand sum" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c traceq -n "__fish_traceq_using_subcommand sum" -s v -l verbose -d 'Say on standard error what is being done'
complete -c traceq -n "__fish_traceq_using_subcommand sum" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c traceq -n "__fish_traceq_using_subcommand top" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand top" -l by -d 'Kinds to list; may be repeated. Default: kernel and op, or other if there are none of both' -r -f -a "kernel\t'Work on a device: kernels, copies, fills, collectives'
op\t'Framework operators on the host'
runtime\t'Calls of the device runtime and driver'
python\t'Python functions'
api\t'Calls of other programming interfaces, such as CANN\'s'
marker\t'Ranges that the user marked'
other\t'Everything else that has a duration'
collective-call\t'Collectives as the host calls them: c10d operators, record_param_comms, ranges such as nccl:all_reduce'"
complete -c traceq -n "__fish_traceq_using_subcommand top" -s n -l number -d 'Maximum number to list of each kind; 0 lists all' -r
complete -c traceq -n "__fish_traceq_using_subcommand top" -l sort -d 'Order of the list' -r -f -a "total\t'Sum of durations'
self\t'Sum of self times; for device work, of durations'
count\t'How many there are'"
complete -c traceq -n "__fish_traceq_using_subcommand top" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c traceq -n "__fish_traceq_using_subcommand top" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c traceq -n "__fish_traceq_using_subcommand top" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand top" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c traceq -n "__fish_traceq_using_subcommand top" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c traceq -n "__fish_traceq_using_subcommand top" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c traceq -n "__fish_traceq_using_subcommand top" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c traceq -n "__fish_traceq_using_subcommand top" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c traceq -n "__fish_traceq_using_subcommand top" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c traceq -n "__fish_traceq_using_subcommand top" -s v -l verbose -d 'Say on standard error what is being done'
complete -c traceq -n "__fish_traceq_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l category -d 'Only events of these categories' -r -f -a "step\t'One training step on the host'
cpu_op\t'A framework operator on the host'
python\t'A Python function'
runtime\t'A device runtime or driver call on the host'
kernel\t'Computation on a device'
memcpy\t'A copy on a device'
memset\t'A fill on a device'
collective\t'A collective or point-to-point transfer between devices'
api\t'A call of another programming interface (CANN layers, task queue)'
marker\t'A range or point that the user or the profiler marked'
memory\t'An allocation or release'
counter\t'Values over time'
flow\t'An arrow between two events'
other\t'Anything else'"
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l name -d 'Only events whose name contains TEXT' -r
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l steps -d 'Only events of these steps, such as 12 or 12-14: on the host those that start in them, on a device those that they launched' -r
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l from-ns -d 'Only events that end after this time' -r
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l to-ns -d 'Only events that start before this time' -r
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
csv\t'Comma-separated values'"
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c traceq -n "__fish_traceq_using_subcommand cat" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c traceq -n "__fish_traceq_using_subcommand cat" -l no-args -d 'Leave out the arguments'
complete -c traceq -n "__fish_traceq_using_subcommand cat" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c traceq -n "__fish_traceq_using_subcommand cat" -s v -l verbose -d 'Say on standard error what is being done'
complete -c traceq -n "__fish_traceq_using_subcommand cat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c traceq -n "__fish_traceq_using_subcommand check" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand check" -l fail-on -d 'Lowest severity that makes the exit status 1, or that is critical with --format nagios' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c traceq -n "__fish_traceq_using_subcommand check" -l show -d 'Lowest severity to print; findings that --fail-on counts are always printed' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c traceq -n "__fish_traceq_using_subcommand check" -s o -l output -d 'Write the report to FILE instead of standard output' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand check" -l limit -d 'Maximum number of findings to print per rule in text; 0 prints all' -r
complete -c traceq -n "__fish_traceq_using_subcommand check" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c traceq -n "__fish_traceq_using_subcommand check" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c traceq -n "__fish_traceq_using_subcommand check" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c traceq -n "__fish_traceq_using_subcommand check" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c traceq -n "__fish_traceq_using_subcommand check" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c traceq -n "__fish_traceq_using_subcommand check" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c traceq -n "__fish_traceq_using_subcommand check" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c traceq -n "__fish_traceq_using_subcommand check" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c traceq -n "__fish_traceq_using_subcommand check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c traceq -n "__fish_traceq_using_subcommand check" -s v -l verbose -d 'Say on standard error what is being done'
complete -c traceq -n "__fish_traceq_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c traceq -n "__fish_traceq_using_subcommand rules" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'"
complete -c traceq -n "__fish_traceq_using_subcommand rules" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c traceq -n "__fish_traceq_using_subcommand rules" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c traceq -n "__fish_traceq_using_subcommand rules" -s v -l verbose -d 'Say on standard error what is being done'
complete -c traceq -n "__fish_traceq_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c traceq -n "__fish_traceq_using_subcommand help; and not __fish_seen_subcommand_from info sum top cat check rules help" -f -a "info" -d 'Say what a trace is: format, producer, rank, devices, time span, steps, completeness'
complete -c traceq -n "__fish_traceq_using_subcommand help; and not __fish_seen_subcommand_from info sum top cat check rules help" -f -a "sum" -d 'Sum up where the time went: compute, exposed communication, overlap, copies, idle'
complete -c traceq -n "__fish_traceq_using_subcommand help; and not __fish_seen_subcommand_from info sum top cat check rules help" -f -a "top" -d 'List the kernels and operators that take the most time'
complete -c traceq -n "__fish_traceq_using_subcommand help; and not __fish_seen_subcommand_from info sum top cat check rules help" -f -a "cat" -d 'Write the events, as they stand in the file: text, JSON Lines or CSV'
complete -c traceq -n "__fish_traceq_using_subcommand help; and not __fish_seen_subcommand_from info sum top cat check rules help" -f -a "check" -d 'Check whether traces can be analyzed: complete, linked, on one clock, of one window'
complete -c traceq -n "__fish_traceq_using_subcommand help; and not __fish_seen_subcommand_from info sum top cat check rules help" -f -a "rules" -d 'List the rules of `traceq check`, or explain some of them'
complete -c traceq -n "__fish_traceq_using_subcommand help; and not __fish_seen_subcommand_from info sum top cat check rules help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
