# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hostck_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_hostck_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hostck_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hostck_using_subcommand
    set -l cmd (__fish_hostck_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hostck -n "__fish_hostck_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c hostck -n "__fish_hostck_needs_command" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c hostck -n "__fish_hostck_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c hostck -n "__fish_hostck_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c hostck -n "__fish_hostck_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hostck -n "__fish_hostck_needs_command" -s V -l version -d 'Print version'
complete -c hostck -n "__fish_hostck_needs_command" -f -a "check" -d 'Audit the host: account, umask, kernel settings, listeners, firewall, units, CANN, clock'
complete -c hostck -n "__fish_hostck_needs_command" -f -a "netaddr" -d 'List public network addresses in configuration and scripts'
complete -c hostck -n "__fish_hostck_needs_command" -f -a "rules" -d 'List the rules of `hostck check`, or explain some of them'
complete -c hostck -n "__fish_hostck_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hostck -n "__fish_hostck_using_subcommand check" -l root -d 'Audit the system image below DIR instead of the running host' -r -F
complete -c hostck -n "__fish_hostck_using_subcommand check" -l user -d 'Account that runs the tools [default: the account that runs hostck; none with --root]' -r
complete -c hostck -n "__fish_hostck_using_subcommand check" -l port -d 'TCP port of the daemon [default: those that its units give it, or 1778]' -r
complete -c hostck -n "__fish_hostck_using_subcommand check" -l exceptions -d 'Accept findings as FILE says: TOML with `[[exception]]`, each with `rules`, `reason`, `until` and, for some subjects only, `match`, as in profguard-policy(5); paths of an image may be written as the image has them' -r -F
complete -c hostck -n "__fish_hostck_using_subcommand check" -l baseline -d 'Accept the findings in FILE, written by `hostck check --format json --show note`' -r -F
complete -c hostck -n "__fish_hostck_using_subcommand check" -l fail-on -d 'Lowest severity that makes the exit status 1, or that is critical with --format nagios' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c hostck -n "__fish_hostck_using_subcommand check" -l show -d 'Lowest severity to print; findings that --fail-on counts are always printed' -r -f -a "note\t'Worth knowing; not necessarily wrong'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed'"
complete -c hostck -n "__fish_hostck_using_subcommand check" -s o -l output -d 'Write the report to FILE instead of standard output' -r -F
complete -c hostck -n "__fish_hostck_using_subcommand check" -l limit -d 'Maximum number of findings to print per rule in text; 0 prints all' -r
complete -c hostck -n "__fish_hostck_using_subcommand check" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c hostck -n "__fish_hostck_using_subcommand check" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c hostck -n "__fish_hostck_using_subcommand check" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c hostck -n "__fish_hostck_using_subcommand check" -s v -l verbose -d 'Say on standard error what is being done'
complete -c hostck -n "__fish_hostck_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -l allow -d 'File of allowed hosts, *.domains, addresses, networks and ranges, one per line; may be repeated' -r -F
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -l all-scopes -d 'Also print addresses that are not public'
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -l all-files -d 'Read every text file, not only configuration and scripts'
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -s v -l verbose -d 'Say on standard error what is being done'
complete -c hostck -n "__fish_hostck_using_subcommand netaddr" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hostck -n "__fish_hostck_using_subcommand rules" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c hostck -n "__fish_hostck_using_subcommand rules" -l color -d 'When to color the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c hostck -n "__fish_hostck_using_subcommand rules" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c hostck -n "__fish_hostck_using_subcommand rules" -s v -l verbose -d 'Say on standard error what is being done'
complete -c hostck -n "__fish_hostck_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hostck -n "__fish_hostck_using_subcommand help; and not __fish_seen_subcommand_from check netaddr rules help" -f -a "check" -d 'Audit the host: account, umask, kernel settings, listeners, firewall, units, CANN, clock'
complete -c hostck -n "__fish_hostck_using_subcommand help; and not __fish_seen_subcommand_from check netaddr rules help" -f -a "netaddr" -d 'List public network addresses in configuration and scripts'
complete -c hostck -n "__fish_hostck_using_subcommand help; and not __fish_seen_subcommand_from check netaddr rules help" -f -a "rules" -d 'List the rules of `hostck check`, or explain some of them'
complete -c hostck -n "__fish_hostck_using_subcommand help; and not __fish_seen_subcommand_from check netaddr rules help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
