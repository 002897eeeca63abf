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
complete -c permck -n "__fish_permck_needs_command" -f -a "fix" -d 'Fix findings of an audit by removing permissions, and record each change'
complete -c permck -n "__fish_permck_needs_command" -f -a "undo" -d 'Undo the changes of `permck fix`'
complete -c permck -n "__fish_permck_needs_command" -f -a "baseline" -d 'Record the findings of an audit, so that later audits report only new ones'
complete -c permck -n "__fish_permck_needs_command" -f -a "rules" -d 'List the rules of audits, or explain some of them'
complete -c permck -n "__fish_permck_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c permck -n "__fish_permck_using_subcommand audit" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l owner -d 'Allowed owner of entries besides root: a user name or id [default: from the policy, or the owner of each PATH]' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l policy -d 'Policy file; its rows take precedence over those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l profile -d 'Built-in policy to apply' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit owned by the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l threads -d 'Number of threads [default: one per processor]' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l baseline -d 'Report only findings that are not in FILE, written by `permck baseline`' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -s o -l output -d 'Write the report to FILE instead of standard output' -r -F
complete -c permck -n "__fish_permck_using_subcommand audit" -l fail-on -d 'Lowest severity that makes the exit status 1, or that is critical with --format nagios' -r -f -a "note\t'Worth knowing; changes nothing'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed first: the exit status is 1, and a daemon does not start'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l show -d 'Lowest severity to print; findings that --fail-on counts are always printed' -r -f -a "note\t'Worth knowing; changes nothing'
warning\t'Allowed, and probably not meant'
error\t'Must be fixed first: the exit status is 1, and a daemon does not start'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l limit -d 'Maximum number of findings to print per rule in text; 0 prints all' -r
complete -c permck -n "__fish_permck_using_subcommand audit" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c permck -n "__fish_permck_using_subcommand audit" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand audit" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c permck -n "__fish_permck_using_subcommand audit" -l no-content -d 'Do not read files: classify by name only, and do not search for private keys'
complete -c permck -n "__fish_permck_using_subcommand audit" -l cross-mounts -d 'Enter mounts below a PATH'
complete -c permck -n "__fish_permck_using_subcommand audit" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand audit" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand fix" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l owner -d 'Allowed owner of entries besides root: a user name or id [default: from the policy, or the owner of each PATH]' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l policy -d 'Policy file; its rows take precedence over those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l profile -d 'Built-in policy to apply' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit owned by the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand fix" -l threads -d 'Number of threads [default: one per processor]' -r
complete -c permck -n "__fish_permck_using_subcommand fix" -l record -d 'Record changes in FILE, for `permck undo` [default: permck-fix-TIME.jsonl]' -r -F
complete -c permck -n "__fish_permck_using_subcommand fix" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand fix" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand fix" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c permck -n "__fish_permck_using_subcommand fix" -l no-content -d 'Do not read files: classify by name only, and do not search for private keys'
complete -c permck -n "__fish_permck_using_subcommand fix" -l cross-mounts -d 'Enter mounts below a PATH'
complete -c permck -n "__fish_permck_using_subcommand fix" -s n -l dry-run -d 'Show what would be changed, and change nothing'
complete -c permck -n "__fish_permck_using_subcommand fix" -l system -d 'Allow system paths'
complete -c permck -n "__fish_permck_using_subcommand fix" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand fix" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand fix" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand undo" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand undo" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand undo" -s n -l dry-run -d 'Show what would be undone, and change nothing'
complete -c permck -n "__fish_permck_using_subcommand undo" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand undo" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l files-from -d 'Read more paths from FILE, one per line; `-` for standard input' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l owner -d 'Allowed owner of entries besides root: a user name or id [default: from the policy, or the owner of each PATH]' -r
complete -c permck -n "__fish_permck_using_subcommand baseline" -l policy -d 'Policy file; its rows take precedence over those of profiles' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l profile -d 'Built-in policy to apply' -r -f -a "profguard\t'an installation of these tools'
msmonitor\t'an installation of msMonitor'
certs\t'a certificate directory'
ascend\t'an output tree of the Ascend profiler'
cann\t'a CANN toolkit owned by the unprivileged user who runs the tools'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -l threads -d 'Number of threads [default: one per processor]' -r
complete -c permck -n "__fish_permck_using_subcommand baseline" -s o -l output -d 'The baseline to write; an existing file is replaced in one step' -r -F
complete -c permck -n "__fish_permck_using_subcommand baseline" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'
sarif\t'SARIF 2.1.0, for code scanning'
junit\t'JUnit XML, one test case per rule, for pipelines'
prometheus\t'Prometheus text format, for node_exporter\'s textfile collector'
nagios\t'One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand baseline" -s 0 -l null -d 'Paths in --files-from end with NUL instead of newline, and are taken as they stand'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l no-content -d 'Do not read files: classify by name only, and do not search for private keys'
complete -c permck -n "__fish_permck_using_subcommand baseline" -l cross-mounts -d 'Enter mounts below a PATH'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand baseline" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand rules" -l format -d 'Form of the result on standard output' -r -f -a "text\t'For people, grouped by finding. Not stable between versions'
json\t'JSON Lines, as described in profguard-records(7)'"
complete -c permck -n "__fish_permck_using_subcommand rules" -l color -d 'When to colour the output' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c permck -n "__fish_permck_using_subcommand rules" -s q -l quiet -d 'Say nothing on standard error but errors'
complete -c permck -n "__fish_permck_using_subcommand rules" -s v -l verbose -d 'Say on standard error what is being done'
complete -c permck -n "__fish_permck_using_subcommand rules" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules help" -f -a "audit" -d 'Check every entry of trees against the class that it belongs to'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules help" -f -a "fix" -d 'Fix findings of an audit by removing permissions, and record each change'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules help" -f -a "undo" -d 'Undo the changes of `permck fix`'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules help" -f -a "baseline" -d 'Record the findings of an audit, so that later audits report only new ones'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules help" -f -a "rules" -d 'List the rules of audits, or explain some of them'
complete -c permck -n "__fish_permck_using_subcommand help; and not __fish_seen_subcommand_from audit fix undo baseline rules help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
