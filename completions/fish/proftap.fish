# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_proftap_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_proftap_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_proftap_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_proftap_using_subcommand
    set -l cmd (__fish_proftap_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c proftap -n "__fish_proftap_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "json\t'JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c proftap -n "__fish_proftap_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c proftap -n "__fish_proftap_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c proftap -n "__fish_proftap_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c proftap -n "__fish_proftap_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c proftap -n "__fish_proftap_needs_command" -s V -l version -d 'Print version'
complete -c proftap -n "__fish_proftap_needs_command" -f -a "run" -d 'Register with the daemon, print each request, and send status and metrics from standard input'
complete -c proftap -n "__fish_proftap_needs_command" -f -a "demo" -d 'Train a small model that can be profiled on demand'
complete -c proftap -n "__fish_proftap_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c proftap -n "__fish_proftap_using_subcommand run" -l job-id -d 'Job id that this process registers with [default: $SLURM_JOB_ID, else 0]' -r
complete -c proftap -n "__fish_proftap_using_subcommand run" -l device -d 'Index of the device that this process uses' -r
complete -c proftap -n "__fish_proftap_using_subcommand run" -l socket -d 'Socket of the daemon: `abstract`, a socket file, or a directory that contains the socket `dynolog`' -r -F
complete -c proftap -n "__fish_proftap_using_subcommand run" -l poll-interval -d 'Interval between polls for requests, 10ms to 50s' -r
complete -c proftap -n "__fish_proftap_using_subcommand run" -l daemon-uid -d 'Also trust a daemon that runs as this user [default: the user of this process, and root]' -r
complete -c proftap -n "__fish_proftap_using_subcommand run" -l format -d 'Form of the result on standard output' -r -f -a "json\t'JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c proftap -n "__fish_proftap_using_subcommand run" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c proftap -n "__fish_proftap_using_subcommand run" -l exit-on-eof -d 'Exit when standard input has ended and all messages are sent'
complete -c proftap -n "__fish_proftap_using_subcommand run" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c proftap -n "__fish_proftap_using_subcommand run" -s v -l verbose -d 'Say on standard error what is being done'
complete -c proftap -n "__fish_proftap_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l steps -d 'Number of steps to train; 0 trains until a signal arrives' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l step-time -d 'Minimum time per step, 0 to 60s; a faster step waits for its data' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l batch -d 'Number of samples per batch, 1 to 4096; determines the amount of computation' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l rank -d 'Rank of this process, from 0' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l world-size -d 'Number of processes in the job, 1 to 1024; the gradients of the others are simulated' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l job-id -d 'Job id that this process registers with [default: $SLURM_JOB_ID, else 0]' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l device -d 'Index of the device that this process uses' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l socket -d 'Socket of the daemon: `abstract`, a socket file, or a directory that contains the socket `dynolog`' -r -F
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l poll-interval -d 'Interval between polls for requests, 10ms to 50s' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l daemon-uid -d 'Also trust a daemon that runs as this user [default: the user of this process, and root]' -r
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l format -d 'Form of the result on standard output' -r -f -a "json\t'JSON Lines, one record per line, as described in profguard-records(7)'"
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c proftap -n "__fish_proftap_using_subcommand demo" -l npu -d 'Report the status of nputrace and npu-monitor, and accept requests for them'
complete -c proftap -n "__fish_proftap_using_subcommand demo" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c proftap -n "__fish_proftap_using_subcommand demo" -s v -l verbose -d 'Say on standard error what is being done'
complete -c proftap -n "__fish_proftap_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c proftap -n "__fish_proftap_using_subcommand help; and not __fish_seen_subcommand_from run demo help" -f -a "run" -d 'Register with the daemon, print each request, and send status and metrics from standard input'
complete -c proftap -n "__fish_proftap_using_subcommand help; and not __fish_seen_subcommand_from run demo help" -f -a "demo" -d 'Train a small model that can be profiled on demand'
complete -c proftap -n "__fish_proftap_using_subcommand help; and not __fish_seen_subcommand_from run demo help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
