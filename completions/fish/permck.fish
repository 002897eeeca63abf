# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_permck_global_optspecs
    string join \n format= color= q/quiet v/verbose h/help V/version
end

function __fish_permck_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_permck_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_permck_using_subcommand
    set -l cmd (__fish_permck_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c permck -n "__fish_permck_needs_command" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c permck -n "__fish_permck_needs_command" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_needs_command" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_needs_command" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_needs_command" -s V -l version -d 'Print version'
complete -c permck -n "__fish_permck_needs_command" -f -a "audit" -d 'Check every entry of trees against the class that it belongs to'
complete -c permck -n "__fish_permck_needs_command" -f -a "fix" -d 'Tighten what an audit finds, and write each change down'
complete -c permck -n "__fish_permck_needs_command" -f -a "undo" -d 'Put back what `permck fix` changed'
complete -c permck -n "__fish_permck_needs_command" -f -a "baseline" -d 'Record what an audit finds today, so that later audits report only what is new'
complete -c permck -n "__fish_permck_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c permck -n "__fish_permck_using_subcommand audit" -l files-from -d 'Read more paths from FILE, one per line; `-` is standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l owner -d 'Who may own entries, besides root: a name or number. Default: what the policy says, or the owner of each PATH. Where a policy asks for the account that runs the tools, as the profile cann does, it is this one, without root' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l policy -d 'A policy file; its rows decide before those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l profile -d 'A built-in policy' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit that belongs to the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l threads -d 'Threads that walk. Default: one per processor' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l baseline -d 'Report only what is not in FILE, which `permck baseline` wrote' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -s o -l output -d 'Write the report to FILE, replaced in one step, instead of standard output' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l fail-on -d 'Least severity that makes the exit status 1; with --format nagios, that is critical' -r -f -a "note\t'Worth knowing; changes nothing'
warning\t'Allowed, and probably not meant'
error\t'Must not be deployed: the exit status is 1, and a daemon does not start'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l show -d 'Least severity that is shown' -r -f -a "note\t'Worth knowing; changes nothing'
warning\t'Allowed, and probably not meant'
error\t'Must not be deployed: the exit status is 1, and a daemon does not start'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l limit -d 'Findings shown per rule in text; 0 shows all' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand audit" -s 0 -l null -d 'Paths in --files-from end with a NUL byte instead of a line end'
complete -c permck -n "__fish_permck_using_subcommand audit" -l no-content -d 'Do not look into files: tell classes by names only, and see no keys in wrong places'
complete -c permck -n "__fish_permck_using_subcommand audit" -l cross-mounts -d 'Look at what is mounted below a PATH, too: directories and files'
complete -c permck -n "__fish_permck_using_subcommand audit" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand audit" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand fix" -l files-from -d 'Read more paths from FILE, one per line; `-` is standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l owner -d 'Who may own entries, besides root: a name or number. Default: what the policy says, or the owner of each PATH. Where a policy asks for the account that runs the tools, as the profile cann does, it is this one, without root' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l policy -d 'A policy file; its rows decide before those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l profile -d 'A built-in policy' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit that belongs to the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand fix" -l threads -d 'Threads that walk. Default: one per processor' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l record -d 'Where changes are written down, for `permck undo`. Default: permck-fix-TIME.jsonl' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand fix" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand fix" -s 0 -l null -d 'Paths in --files-from end with a NUL byte instead of a line end'
complete -c permck -n "__fish_permck_using_subcommand fix" -l no-content -d 'Do not look into files: tell classes by names only, and see no keys in wrong places'
complete -c permck -n "__fish_permck_using_subcommand fix" -l cross-mounts -d 'Look at what is mounted below a PATH, too: directories and files'
complete -c permck -n "__fish_permck_using_subcommand fix" -s n -l dry-run -d 'Change nothing, show what would be changed'
complete -c permck -n "__fish_permck_using_subcommand fix" -l system -d 'Tighten paths of the system, too'
complete -c permck -n "__fish_permck_using_subcommand fix" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand fix" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand fix" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand undo" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand undo" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand undo" -s n -l dry-run -d 'Change nothing, show what would be put back'
complete -c permck -n "__fish_permck_using_subcommand undo" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand undo" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l files-from -d 'Read more paths from FILE, one per line; `-` is standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l owner -d 'Who may own entries, besides root: a name or number. Default: what the policy says, or the owner of each PATH. Where a policy asks for the account that runs the tools, as the profile cann does, it is this one, without root' -r
complete -c permck -n "__fish_permck_using_subcommand baseline" -l policy -d 'A policy file; its rows decide before those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l profile -d 'A built-in policy' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit that belongs to the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -l threads -d 'Threads that walk. Default: one per processor' -r
complete -c permck -n "__fish_permck_using_subcommand baseline" -s o -l output -d 'Where to write it; replaced in one step' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -s 0 -l null -d 'Paths in --files-from end with a NUL byte instead of a line end'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l no-content -d 'Do not look into files: tell classes by names only, and see no keys in wrong places'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l cross-mounts -d 'Look at what is mounted below a PATH, too: directories and files'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline help" -f -a "audit" -d 'Check every entry of trees against the class that it belongs to'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline help" -f -a "fix" -d 'Tighten what an audit finds, and write each change down'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline help" -f -a "undo" -d 'Put back what `permck fix` changed'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline help" -f -a "baseline" -d 'Record what an audit finds today, so that later audits report only what is new'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
