# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_profctl_global_optspecs
    string join \n hostname= hosts= port= certs-dir= key-passphrase-file= server-name= tls-min= timeout= width= format= color= q/quiet v/verbose h/help V/version
end

function __fish_profctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_profctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_profctl_using_subcommand
    set -l cmd (__fish_profctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c profctl -n "__fish_profctl_needs_command" -l hostname -d 'Host of the daemon: a name or an address, with `:PORT` if need be' -r
complete -c profctl -n "__fish_profctl_needs_command" -l hosts -d 'Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input' -r
complete -c profctl -n "__fish_profctl_needs_command" -l port -d 'TCP port of the daemon, where the host does not name one' -r
complete -c profctl -n "__fish_profctl_needs_command" -l certs-dir -d 'Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects' -r -F
complete -c profctl -n "__fish_profctl_needs_command" -l key-passphrase-file -d 'File with the passphrase of an encrypted client.key; its last line end is not part of it' -r -F
complete -c profctl -n "__fish_profctl_needs_command" -l server-name -d 'Name that the daemon\'s certificate must be good for, when it is not the host: through a tunnel' -r
complete -c profctl -n "__fish_profctl_needs_command" -l tls-min -d 'Lowest TLS version to speak; 1.2 is for daemons that have no other' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_needs_command" -l timeout -d 'Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h' -r
complete -c profctl -n "__fish_profctl_needs_command" -l width -d 'How many daemons to ask at the same time' -r
complete -c profctl -n "__fish_profctl_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_needs_command" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_needs_command" -s V -l version -d 'Print version'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "status" -d 'Print the state of the daemon and of the processes it knows'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "version" -d 'Print the version of the daemon'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "gputrace" -d 'Ask PyTorch processes for a trace'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "nputrace" -d 'Ask processes on Ascend devices for a trace'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "npu-monitor" -d 'Switch continuous monitoring of Ascend devices on or off'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "dcgm-pause" -d 'Pause the daemon\'s DCGM profiling, so that other tools can use the counters'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "dcgm-resume" -d 'Resume the daemon\'s DCGM profiling'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c profctl -n "__fish_profctl_using_subcommand status" -l hostname -d 'Host of the daemon: a name or an address, with `:PORT` if need be' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l hosts -d 'Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l port -d 'TCP port of the daemon, where the host does not name one' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l certs-dir -d 'Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand status" -l key-passphrase-file -d 'File with the passphrase of an encrypted client.key; its last line end is not part of it' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand status" -l server-name -d 'Name that the daemon\'s certificate must be good for, when it is not the host: through a tunnel' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l tls-min -d 'Lowest TLS version to speak; 1.2 is for daemons that have no other' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand status" -l timeout -d 'Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l width -d 'How many daemons to ask at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand status" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand status" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand status" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand version" -l hostname -d 'Host of the daemon: a name or an address, with `:PORT` if need be' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l hosts -d 'Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l port -d 'TCP port of the daemon, where the host does not name one' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l certs-dir -d 'Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand version" -l key-passphrase-file -d 'File with the passphrase of an encrypted client.key; its last line end is not part of it' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand version" -l server-name -d 'Name that the daemon\'s certificate must be good for, when it is not the host: through a tunnel' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l tls-min -d 'Lowest TLS version to speak; 1.2 is for daemons that have no other' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand version" -l timeout -d 'Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l width -d 'How many daemons to ask at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand version" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand version" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand version" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l job-id -d 'Job to trace: the process\'s SLURM_JOB_ID, or 0 outside Slurm' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l pids -d 'Processes to trace, separated by commas; 0 means all of the job' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l duration-ms -d 'Length of the trace, milliseconds; without effect with --iterations' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l iterations -d 'Training iterations to trace; when not positive, --duration-ms counts' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l log-file -d 'File for the traces; _PID is put before its .json' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l profile-start-time -d 'When to start, milliseconds since 1970, for processes to start together; 0 means now' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l profile-start-iteration-roundup -d 'Start at an iteration that is a multiple of this; with --iterations' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l process-limit -d 'Trace at most so many processes' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l wait-timeout -d 'Longest wait; by default the recording and 60 s, or 10 min when it is counted in steps' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l hostname -d 'Host of the daemon: a name or an address, with `:PORT` if need be' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l hosts -d 'Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l port -d 'TCP port of the daemon, where the host does not name one' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l certs-dir -d 'Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l key-passphrase-file -d 'File with the passphrase of an encrypted client.key; its last line end is not part of it' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l server-name -d 'Name that the daemon\'s certificate must be good for, when it is not the host: through a tunnel' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l tls-min -d 'Lowest TLS version to speak; 1.2 is for daemons that have no other' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l timeout -d 'Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l width -d 'How many daemons to ask at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l record-shapes -d 'Record the shapes and types of operator inputs'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l profile-memory -d 'Record allocations of memory'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l with-stacks -d 'Record Python call stacks'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l with-flops -d 'Record the floating-point operations that operators amount to'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l with-modules -d 'Record the modules that operators belong to'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l fail-on-no-process -d 'Accepted and without effect: when no process matches, the exit status is always 1'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l wait -d 'Wait until the traces are complete, and print their paths'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l job-id -d 'Job to trace; processes of msMonitor are all of job 0' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l pids -d 'Processes to trace, separated by commas; 0 means all of the job' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l duration-ms -d 'Length of the trace, milliseconds, where --iterations is not given' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l iterations -d 'Training steps to trace, at least 1' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l log-file -d 'Directory for the traces' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l profile-start-time -d 'When to start, milliseconds since 1970; 0 means now; where --iterations is not given' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l start-step -d 'Step to start with; -1 means the next one' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l process-limit -d 'Trace at most so many processes' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l activities -d 'What to record' -r -f -a "CPU\,NPU\t''
NPU\,CPU\t''
CPU\t''
NPU\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l profiler-level -d 'How much to record on the device' -r -f -a "Level0\t''
Level1\t''
Level2\t''
Level_none\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l aic-metrics -d 'Which AI core counters to read' -r -f -a "AiCoreNone\t''
PipeUtilization\t''
ArithmeticUtilization\t''
Memory\t''
MemoryL0\t''
ResourceConflictRatio\t''
MemoryUB\t''
L2Cache\t''
MemoryAccess\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l gc-detect-threshold -d 'Record garbage collections of at least so many milliseconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l data-simplification -d 'Let the process delete raw data after the analysis' -r -f -a "true\t''
false\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l export-type -d 'Form of the analysed trace' -r -f -a "Text\t''
Db\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l host-sys -d 'What to record of the host, separated by commas' -r -f -a "cpu\t''
mem\t''
disk\t''
network\t''
osrt\t''
None\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l mstx-domain-include -d 'Domains of markers to record, separated by commas' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l mstx-domain-exclude -d 'Domains of markers to leave out, separated by commas' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l rank-list -d 'Only these ranks record, separated by commas' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l wait-timeout -d 'Longest wait; by default the recording and 60 s, or 10 min when it is counted in steps' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l hostname -d 'Host of the daemon: a name or an address, with `:PORT` if need be' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l hosts -d 'Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l port -d 'TCP port of the daemon, where the host does not name one' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l certs-dir -d 'Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l key-passphrase-file -d 'File with the passphrase of an encrypted client.key; its last line end is not part of it' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l server-name -d 'Name that the daemon\'s certificate must be good for, when it is not the host: through a tunnel' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l tls-min -d 'Lowest TLS version to speak; 1.2 is for daemons that have no other' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l timeout -d 'Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l width -d 'How many daemons to ask at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l record-shapes -d 'Record the shapes and types of operator inputs'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l profile-memory -d 'Record allocations of memory'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l with-stack -d 'Record Python call stacks'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l with-flops -d 'Record the floating-point operations that operators amount to'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l with-modules -d 'Record the modules that operators belong to'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l analyse -d 'Let the process analyse the trace when it has it'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l async-mode -d 'Let it do so beside the training'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l l2-cache -d 'Record the L2 cache'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l op-attr -d 'Record attributes of operators'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l msprof-tx -d 'Record markers of the program'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l sys-io -d 'Record network cards and storage'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l sys-interconnection -d 'Record links between devices'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l wait -d 'Wait until the traces are complete, and print their paths'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l report-interval-s -d 'How often processes report, seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l duration -d 'Stop by itself after so many seconds; 0 means never' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l mspti-activity-kind -d 'What to monitor, separated by commas' -r -f -a "Marker\t''
Kernel\t''
API\t''
Hccl\t''
Memory\t''
MemSet\t''
MemCpy\t''
Communication\t''
AclAPI\t''
NodeAPI\t''
RuntimeAPI\t''"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l log-file -d 'Directory for the activities themselves; without it, sums go to the daemon' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l export-type -d 'Form of the files below --log-file' -r -f -a "DB\t''
Jsonl\t''"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l json-rotate-log-lines -d 'Lines in one Jsonl file, 100 to 500000' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l json-rotate-log-files -d 'Jsonl files to keep, at least 2; -1 keeps all' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l filter -d 'Only activities whose name contains one of these: `Kind:name[,name][;Kind:name…]`, at most 1024 bytes' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l hostname -d 'Host of the daemon: a name or an address, with `:PORT` if need be' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l hosts -d 'Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l port -d 'TCP port of the daemon, where the host does not name one' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l certs-dir -d 'Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l key-passphrase-file -d 'File with the passphrase of an encrypted client.key; its last line end is not part of it' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l server-name -d 'Name that the daemon\'s certificate must be good for, when it is not the host: through a tunnel' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l tls-min -d 'Lowest TLS version to speak; 1.2 is for daemons that have no other' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l timeout -d 'Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l width -d 'How many daemons to ask at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l npu-monitor-start -d 'Start monitoring, or change what is monitored'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l npu-monitor-stop -d 'Stop monitoring'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l duration-s -d 'How long to pause, seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l hostname -d 'Host of the daemon: a name or an address, with `:PORT` if need be' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l hosts -d 'Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l port -d 'TCP port of the daemon, where the host does not name one' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l certs-dir -d 'Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l key-passphrase-file -d 'File with the passphrase of an encrypted client.key; its last line end is not part of it' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l server-name -d 'Name that the daemon\'s certificate must be good for, when it is not the host: through a tunnel' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l tls-min -d 'Lowest TLS version to speak; 1.2 is for daemons that have no other' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l timeout -d 'Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l width -d 'How many daemons to ask at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l hostname -d 'Host of the daemon: a name or an address, with `:PORT` if need be' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l hosts -d 'Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l port -d 'TCP port of the daemon, where the host does not name one' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l certs-dir -d 'Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l key-passphrase-file -d 'File with the passphrase of an encrypted client.key; its last line end is not part of it' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l server-name -d 'Name that the daemon\'s certificate must be good for, when it is not the host: through a tunnel' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l tls-min -d 'Lowest TLS version to speak; 1.2 is for daemons that have no other' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l timeout -d 'Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l width -d 'How many daemons to ask at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor dcgm-pause dcgm-resume help" -f -a "status" -d 'Print the state of the daemon and of the processes it knows'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor dcgm-pause dcgm-resume help" -f -a "version" -d 'Print the version of the daemon'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor dcgm-pause dcgm-resume help" -f -a "gputrace" -d 'Ask PyTorch processes for a trace'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor dcgm-pause dcgm-resume help" -f -a "nputrace" -d 'Ask processes on Ascend devices for a trace'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor dcgm-pause dcgm-resume help" -f -a "npu-monitor" -d 'Switch continuous monitoring of Ascend devices on or off'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor dcgm-pause dcgm-resume help" -f -a "dcgm-pause" -d 'Pause the daemon\'s DCGM profiling, so that other tools can use the counters'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor dcgm-pause dcgm-resume help" -f -a "dcgm-resume" -d 'Resume the daemon\'s DCGM profiling'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor dcgm-pause dcgm-resume help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
