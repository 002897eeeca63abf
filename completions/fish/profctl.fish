# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_profctl_global_optspecs
    string join \n hostname= hosts= slurm= k8s= k8s-namespace= k8s-address= all-addresses port= certs-dir= passphrase-file= max-crl-bytes= server-name= tls-min= timeout= parallel= retries= deadline= format= color= q/quiet v/verbose h/help V/version
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

complete -c profctl -n "__fish_profctl_needs_command" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_needs_command" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_needs_command" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_needs_command" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_needs_command" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_needs_command" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_needs_command" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_needs_command" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_needs_command" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_needs_command" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_needs_command" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_needs_command" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_needs_command" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_needs_command" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_needs_command" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_needs_command" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_needs_command" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_needs_command" -s V -l version -d 'Print version'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "status" -d 'Print the state of the daemon and of its registered processes'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "version" -d 'Print the version of the daemon'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "gputrace" -d 'Request a trace from PyTorch processes'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "nputrace" -d 'Request a trace from processes on Ascend devices'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "npu-monitor" -d 'Start or stop continuous monitoring of Ascend devices'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "monitor" -d 'Monitor Ascend devices for a limited time, and always stop monitoring afterwards'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "metrics" -d 'Print what processes have sent to a daemon, and the last samples of its host'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "watch" -d 'Show the processes of the daemons, and update them until Ctrl-C'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "schedule" -d 'Send a request at intervals, or when a condition on the training steps is met'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "dcgm-pause" -d 'Pause the daemon\'s DCGM profiling, so that other tools can use the GPU counters'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "dcgm-resume" -d 'Resume the daemon\'s DCGM profiling'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "audit" -d 'Print the audit trail of profd'
complete -c profctl -n "__fish_profctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c profctl -n "__fish_profctl_using_subcommand status" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand status" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand status" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand status" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand status" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand status" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand status" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand status" -l processes -d 'Print a table of the processes: user, job, rank, device, state, step, and what became of the last request'
complete -c profctl -n "__fish_profctl_using_subcommand status" -l health -d 'Print whether the daemon is ready, and its problems; from profd only'
complete -c profctl -n "__fish_profctl_using_subcommand status" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand status" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand status" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand version" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand version" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand version" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand version" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand version" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand version" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand version" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand version" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand version" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand version" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l job-id -d 'Job id of the processes: their SLURM_JOB_ID, or 0 outside Slurm and for processes of msMonitor [default: 0]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l pids -d 'Pids of the processes or of ancestors of theirs, separated by commas; 0 selects all processes of the job' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l rank -d 'Ranks of the processes in their job, such as 0,8 or 0-7; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l name -d 'Name of the script or program that the processes run, such as \'train*.py\'; may be repeated; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l pid -d 'Exactly these pids, separated by commas, and not the descendants of these processes; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l user -d 'Select only processes of this user of the daemon\'s host, by name or uid; from profd only [default: all users]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l process-limit -d 'Maximum number of processes to trace on each host [default: 3]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l duration-ms -d 'Duration of the trace, in milliseconds or with a unit, such as 5s [default: 500]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l iterations -d 'Number of training iterations to trace; 0 or less: trace for --duration-ms instead' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l log-file -d 'Trace file; each process inserts _PID before .json' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l profile-start-time -d 'Start time, in milliseconds since the Unix epoch; 0 starts now' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l profile-start-iteration-roundup -d 'With --iterations, start at the next iteration that is a multiple of N' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l config -d 'Add KEY=VALUE to the config, for settings of the profiler that have no option here; may be repeated' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l start-in -d 'With --synchronized, time from the request to the start [default: 12s]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l wait-timeout -d 'Maximum time to wait, such as 30s or 5m [default: recording time + 60s; 10m with --iterations]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l collect -d 'Wait for the traces, and copy them into this directory as HOST_FILE; each copy is verified by its SHA-256' -r -f -a "(__fish_complete_directories)"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l collect-with -d 'How to reach the traces: in a directory that this machine shares, with ssh, or with rsync over ssh' -r -f -a "shared\t'In a directory that this machine shares with the hosts'
ssh\t'`ssh HOST cat FILE`'
rsync\t'`rsync HOST:FILE`'"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l max-trace-bytes -d 'Maximum size of a trace that is copied with ssh or rsync' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l record-shapes -d 'Record the shapes and types of operator inputs'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l profile-memory -d 'Record memory allocations and deallocations'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l with-stacks -d 'Record Python call stacks'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l with-flops -d 'Estimate the floating-point operations of operators'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l with-modules -d 'Record the module hierarchy of operators'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l synchronized -d 'Start at the same moment on all hosts, whatever their clocks show; for traces by duration'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l fail-on-no-process -d 'Ignored, for compatibility: the exit status is always 1 when no process matches'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l wait -d 'Wait until the traces are complete, and print their paths'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand gputrace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l job-id -d 'Job id of the processes: their SLURM_JOB_ID, or 0 outside Slurm and for processes of msMonitor [default: 0]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l pids -d 'Pids of the processes or of ancestors of theirs, separated by commas; 0 selects all processes of the job' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l rank -d 'Ranks of the processes in their job, such as 0,8 or 0-7; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l name -d 'Name of the script or program that the processes run, such as \'train*.py\'; may be repeated; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l pid -d 'Exactly these pids, separated by commas, and not the descendants of these processes; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l user -d 'Select only processes of this user of the daemon\'s host, by name or uid; from profd only [default: all users]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l process-limit -d 'Maximum number of processes to trace on each host [default: 3]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l duration-ms -d 'Duration of the trace, in milliseconds or with a unit, such as 5s [default: 500]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l iterations -d 'Number of training steps to trace, at least 1' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l log-file -d 'Directory for the traces; %h, %H, %p, %j and %r in it are replaced as for gputrace, from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l profile-start-time -d 'Start time, in milliseconds since the Unix epoch; 0 starts now; ignored with --iterations' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l start-step -d 'First step to trace; -1 is the next one' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l config -d 'Add KEY=VALUE to the config, for settings of the profiler that have no option here; may be repeated' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l activities -d 'Sides to record: the host (CPU), the device (NPU) or both' -r -f -a "CPU\,NPU\t''
NPU\,CPU\t''
CPU\t''
NPU\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l profiler-level -d 'Level of detail of the device activities' -r -f -a "Level0\t''
Level1\t''
Level2\t''
Level_none\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l aic-metrics -d 'AI core metrics to collect' -r -f -a "AiCoreNone\t''
PipeUtilization\t''
ArithmeticUtilization\t''
Memory\t''
MemoryL0\t''
ResourceConflictRatio\t''
MemoryUB\t''
L2Cache\t''
MemoryAccess\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l gc-detect-threshold -d 'Record garbage collections that take at least this time, in milliseconds or with a unit [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l data-simplification -d 'Delete raw data after the analysis' -r -f -a "true\t''
false\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l export-type -d 'Format of the analyzed trace' -r -f -a "Text\t''
Db\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l host-sys -d 'Host resources to record, separated by commas' -r -f -a "cpu\t''
mem\t''
disk\t''
network\t''
osrt\t''
None\t''"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l mstx-domain-include -d 'mstx domains to record, separated by commas [default: all]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l mstx-domain-exclude -d 'mstx domains to exclude, separated by commas' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l rank-list -d 'Ranks that record, separated by commas [default: all]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l wait-timeout -d 'Maximum time to wait, such as 30s or 5m [default: recording time + 60s; 10m with --iterations]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l collect -d 'Wait for the traces, and copy them into this directory as HOST_FILE; each copy is verified by its SHA-256' -r -f -a "(__fish_complete_directories)"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l collect-with -d 'How to reach the traces: in a directory that this machine shares, with ssh, or with rsync over ssh' -r -f -a "shared\t'In a directory that this machine shares with the hosts'
ssh\t'`ssh HOST cat FILE`'
rsync\t'`rsync HOST:FILE`'"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l max-trace-bytes -d 'Maximum size of a trace that is copied with ssh or rsync' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l align-step -d 'Start at one step on all hosts: the first one that no process has reached when it has fetched the request'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l record-shapes -d 'Record the shapes and types of operator inputs'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l profile-memory -d 'Record memory allocations and deallocations'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l with-stack -d 'Record Python call stacks'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l with-flops -d 'Estimate the floating-point operations of operators'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l with-modules -d 'Record the module hierarchy of operators'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l analyse -d 'Analyze the trace in the process after recording'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l async-mode -d 'Run the analysis asynchronously while training continues'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l l2-cache -d 'Record L2 cache metrics'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l op-attr -d 'Record operator attributes'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l msprof-tx -d 'Record msproftx and mstx markers of the program'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l sys-io -d 'Record network and RoCE interfaces'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l sys-interconnection -d 'Record interconnect bandwidth (HCCS, PCIe)'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l wait -d 'Wait until the traces are complete, and print their paths'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand nputrace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l report-interval-s -d 'Interval of reports, in seconds or with a unit, such as 1m' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l duration -d 'Duration of monitoring, in seconds or with a unit, such as 10m; 0 monitors until --npu-monitor-stop' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l mspti-activity-kind -d 'Kinds of activities to monitor, separated by commas' -r -f -a "Marker\t''
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
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l log-file -d 'Directory for files of single activities [default: send metrics to the daemon]' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l export-type -d 'Format of the files below --log-file' -r -f -a "DB\t''
Jsonl\t''"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l json-rotate-log-lines -d 'Maximum number of lines in a Jsonl file, 100 to 500000 [default: 10000]' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l json-rotate-log-files -d 'Number of Jsonl files to keep, at least 2; -1 keeps all [default: all]' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l filter -d 'Monitor only activities whose name contains one of these texts, at most 1024 bytes' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l process-limit -d 'Maximum number of processes to monitor on each host [default: all]' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l config -d 'Add KEY=VALUE to the config, for settings of the profiler that have no option here; may be repeated' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l rank -d 'Ranks of the processes in their job, such as 0,8 or 0-7; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l name -d 'Name of the script or program that the processes run, such as \'train*.py\'; may be repeated; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l pid -d 'Exactly these pids, separated by commas, and not the descendants of these processes; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l user -d 'Select only processes of this user of the daemon\'s host, by name or uid; from profd only [default: all users]' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l npu-monitor-start -d 'Start monitoring; without it and --npu-monitor-stop, the options of running monitoring are changed'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l npu-monitor-stop -d 'Stop monitoring'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand npu-monitor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l kind -d 'Kinds of activities to monitor, separated by commas' -r -f -a "Marker\t''
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
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l interval -d 'Time between the reports of the processes, at least 1s' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l duration -d 'Duration of monitoring [default: until Ctrl-C]' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l process-limit -d 'Maximum number of processes to monitor on each host [default: all]' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l rank -d 'Ranks of the processes in their job, such as 0,8 or 0-7; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l name -d 'Name of the script or program that the processes run, such as \'train*.py\'; may be repeated; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l pid -d 'Exactly these pids, separated by commas, and not the descendants of these processes; from profd only' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l user -d 'Select only processes of this user of the daemon\'s host, by name or uid; from profd only [default: all users]' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand monitor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l host-only -d 'Print the samples of the host only'
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand metrics" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l interval -d 'Time between updates' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l count -d 'Number of updates [default: until Ctrl-C]' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand watch" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand watch" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand watch" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l every -d 'Time from one run to the next; with --when, the minimum' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l times -d 'Maximum number of runs' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l when -d 'Run when this holds: step:N, stalled:TIME or slow:FACTOR' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l check-interval -d 'With --when, interval between two queries for the steps of the processes' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l within -d 'Time after which no run begins' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand schedule" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l duration-s -d 'Duration of the pause, in seconds or with a unit, such as 10m' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-pause" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand dcgm-resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l since -d 'Print only lines since this time: RFC 3339 such as 2026-03-01T12:00:00Z, or an age such as 90m, 12h or 7d' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l until -d 'Print only lines before this time' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l client -d 'Print only lines of clients whose subject contains TEXT, or whose fingerprint or address begins with it' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l job-id -d 'Print only requests for this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l user -d 'Print only requests that matched processes of this user, by name or uid' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l answer -d 'Print only lines with this answer; may be repeated: done, declined, rejected, or a code such as busy or forbidden' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l function -d 'Print only requests for this function, such as getStatus, or http, handshake or connection' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l hostname -d 'Host of the daemon: a name or an address, optionally followed by `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l hosts -d 'Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l slurm -d 'Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l k8s -d 'Nodes of the running pods that a label selector selects, from `kubectl`' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l k8s-namespace -d 'Namespace of the pods [default: that of the current context of kubectl]' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l k8s-address -d 'Where the daemon of a pod runs: on its node, or in the pod' -r -f -a "node\t'On the node of the pod'
pod\t'In the pod itself'"
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l port -d 'TCP port of the daemon, for hosts without `:PORT`' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l certs-dir -d 'Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l passphrase-file -d 'Read the passphrase of the private key from the first line of FILE' -r -F
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l max-crl-bytes -d 'Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l server-name -d 'Name to verify the daemon\'s certificate against [default: the host]' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l tls-min -d 'Minimum TLS version; 1.2 is for daemons without TLS 1.3' -r -f -a "1.2\t'TLS 1.2, for old peers'
1.3\t'TLS 1.3'"
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l timeout -d 'Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l parallel -d 'Maximum number of daemons to query at the same time' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l retries -d 'Number of times to try again to connect to a daemon that cannot be reached or is busy' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l deadline -d 'Time limit for the requests to all daemons together [default: none]' -r
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people: tables and sentences. Not stable between versions'
json\t'For programs: JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c profctl -n "__fish_profctl_using_subcommand audit" -l all-addresses -d 'Query every address of a host name, as a daemon of its own'
complete -c profctl -n "__fish_profctl_using_subcommand audit" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c profctl -n "__fish_profctl_using_subcommand audit" -s v -l verbose -d 'Say on standard error what is being done'
complete -c profctl -n "__fish_profctl_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "status" -d 'Print the state of the daemon and of its registered processes'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "version" -d 'Print the version of the daemon'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "gputrace" -d 'Request a trace from PyTorch processes'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "nputrace" -d 'Request a trace from processes on Ascend devices'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "npu-monitor" -d 'Start or stop continuous monitoring of Ascend devices'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "monitor" -d 'Monitor Ascend devices for a limited time, and always stop monitoring afterwards'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "metrics" -d 'Print what processes have sent to a daemon, and the last samples of its host'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "watch" -d 'Show the processes of the daemons, and update them until Ctrl-C'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "schedule" -d 'Send a request at intervals, or when a condition on the training steps is met'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "dcgm-pause" -d 'Pause the daemon\'s DCGM profiling, so that other tools can use the GPU counters'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "dcgm-resume" -d 'Resume the daemon\'s DCGM profiling'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "audit" -d 'Print the audit trail of profd'
complete -c profctl -n "__fish_profctl_using_subcommand help; and not __fish_seen_subcommand_from status version gputrace nputrace npu-monitor monitor metrics watch schedule dcgm-pause dcgm-resume audit help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
