# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tracewhy_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_tracewhy_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tracewhy_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tracewhy_using_subcommand
    set -l cmd (__fish_tracewhy_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tracewhy -n "__fish_tracewhy_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'
junit\t'JUnit XML, one test case per kind of condition, for pipelines'
folded\t'Folded stacks: frames joined by `;`, and their time, as flamegraph.pl and others read'
speedscope\t'JSON of <https://www.speedscope.app>'"
complete -c tracewhy -n "__fish_tracewhy_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -s V -l version -d 'Print version'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "ranks" -d 'Say which ranks of a job are slow, and why'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "comm" -d 'Say what the collectives of a job cost, and how fast they are'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "idle" -d 'Say why devices are idle'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "modules" -d 'Say which module, annotation and phase of the program device time belongs to'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "diff" -d 'Say what became slower between two traces, or two sets of traces'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "report" -d 'Write a report of a job: one file of HTML that needs neither network nor server'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "stacks" -d 'Write stacks of the host with the time that they take, for flame graphs'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "mem" -d 'Say how much memory was allocated over time, and what held the most'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "critical" -d 'Say what a step waits for from its beginning to its end, over hosts, devices and ranks'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "flops" -d 'Say how much of the peak performance of devices operators reach: MFU, and a roofline'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "part" -d 'Write what is kept of the traces of some ranks into a file, for `tracewhy` elsewhere'
complete -c tracewhy -n "__fish_tracewhy_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand ranks" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand comm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand idle" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand modules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -l fail-on -d 'Exit with status 1 if an item became slower by more than this, beyond noise, such as `step>5%` or `idle>2ms`' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'
junit\t'JUnit XML, one test case per kind of condition, for pipelines'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -s o -l output -d 'File to write; `-` is standard output' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l base -d 'Compare with this trace, or with the traces in this directory' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l findings -d 'Show what `traceq --format json check` found; `-` is standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l title -d 'Title; default: the names of the traces' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l by -d 'Time that stacks have: of the device or of the host' -r -f -a "device\t'Of device work, under the stack that launched it'
host\t'Of the host itself, without that of the frames within'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l format -d 'Form of the result on standard output' -r -f -a "folded\t'Folded stacks: frames joined by `;`, and their time, as flamegraph.pl and others read'
speedscope\t'JSON of <https://www.speedscope.app>'
json\t'For programs: JSON Lines, as described in profguard-records(7)'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand stacks" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l points -d 'Points of the timeline of a device, each the highest of its time; 0 is every allocation and release' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand mem" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -s n -l number -d 'Of how many operators to say what a step would gain' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand critical" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l peak -d 'Read what devices can do from FILE (TOML), before what is known' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l device-name -d 'The device that the job ran on, where the trace does not name it, or names it wrongly' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand flops" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -s o -l output -d 'File to write; `-` is standard output' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -l class -d 'Count device work whose name matches REGEX as CLASS: communication, copy, compute or ignore' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -l step-name -d 'Take ranges on the host whose name matches REGEX for the steps' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -l config -d 'Read more --class and --step-name from FILE (TOML)' -r -F
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -l max-memory -d 'Memory that the analysis may use, such as 512MiB or 4GiB [default: 1GiB]' -r
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: sentences and tables. Not stable between versions'
json\t'For programs: JSON Lines, as described in profguard-records(7)'
md\t'Markdown, of bounded length, for pull requests, chats and assistants'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -l strict -d 'Reject a trace at the first place that has to be repaired, with exit status 2'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -s v -l verbose -d 'Say on standard error what is being done'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand part" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "ranks" -d 'Say which ranks of a job are slow, and why'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "comm" -d 'Say what the collectives of a job cost, and how fast they are'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "idle" -d 'Say why devices are idle'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "modules" -d 'Say which module, annotation and phase of the program device time belongs to'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "diff" -d 'Say what became slower between two traces, or two sets of traces'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "report" -d 'Write a report of a job: one file of HTML that needs neither network nor server'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "stacks" -d 'Write stacks of the host with the time that they take, for flame graphs'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "mem" -d 'Say how much memory was allocated over time, and what held the most'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "critical" -d 'Say what a step waits for from its beginning to its end, over hosts, devices and ranks'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "flops" -d 'Say how much of the peak performance of devices operators reach: MFU, and a roofline'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "part" -d 'Write what is kept of the traces of some ranks into a file, for `tracewhy` elsewhere'
complete -c tracewhy -n "__fish_tracewhy_using_subcommand help; and not __fish_seen_subcommand_from ranks comm idle modules diff report stacks mem critical flops part help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
